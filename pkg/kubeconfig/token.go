package kubeconfig

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// AdminAccount is the name of the service account that the dashboard's set-up
// makes for people, and that access goes by when it exists.
const AdminAccount = "admin-user"

// AdminAccounts are the namespaces in which it is looked for, the first one
// wins. An account of that name elsewhere belongs to somebody else.
func AdminAccounts() []string {
	return []string{manifests.DashboardNamespace, v1alpha1.SystemNamespace, "kubernetes-dashboard", metav1.NamespaceSystem}
}

// adminAccount finds the account, nil when there is none.
func adminAccount(ctx context.Context, client kubernetes.Interface) (*corev1.ServiceAccount, error) {
	for _, namespace := range AdminAccounts() {
		account, err := client.CoreV1().ServiceAccounts(namespace).Get(ctx, AdminAccount, metav1.GetOptions{})
		switch {
		case err == nil && account.DeletionTimestamp == nil:
			return account, nil
		case err != nil && !apierrors.IsNotFound(err):
			return nil, fmt.Errorf("look for the service account %s/%s: %w", namespace, AdminAccount, err)
		}
	}
	return nil, nil
}

// issueToken asks for a token of the account.
func issueToken(ctx context.Context, client kubernetes.Interface, account *corev1.ServiceAccount, ca []byte, o Options) (*Issued, error) {
	duration := o.Duration
	if duration == 0 {
		duration = DefaultToken
	}
	seconds := int64(duration.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	name := account.Namespace + "/" + account.Name
	got, err := client.CoreV1().ServiceAccounts(account.Namespace).CreateToken(ctx, account.Name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask for a token of the service account %s: %w", name, err)
	}
	if got.Status.Token == "" {
		return nil, fmt.Errorf("the API server gave an empty token of the service account %s", name)
	}
	return &Issued{
		Config:   build(o, ca, &clientcmdapi.AuthInfo{Token: got.Status.Token}),
		Identity: "service account " + name + " (token)",
		Username: "system:serviceaccount:" + account.Namespace + ":" + account.Name,
		Expires:  got.Status.ExpirationTimestamp.Time,
		Admin:    true,
	}, nil
}
