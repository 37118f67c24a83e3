package bootstrap

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/kubeadm"
)

const (
	// tokenLife is how long the token lives with which kubelets join.
	tokenLife = 20 * time.Minute
	// apiWait bounds the wait for an API that a host which is starting has not yet.
	apiWait = 2 * time.Minute
	apiPoll = time.Second
)

// newBootstrapToken makes a token on a running cluster.
// https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/#bootstrap-token-secret-format
func newBootstrapToken(ctx context.Context, client kubernetes.Interface, now time.Time) (string, error) {
	token, err := kubeadm.NewToken()
	if err != nil {
		return "", err
	}
	if err := waitForAPI(ctx, client); err != nil {
		return "", err
	}
	id, secret, _ := strings.Cut(token, ".")
	_, err = client.CoreV1().Secrets(metav1.NamespaceSystem).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + id, Namespace: metav1.NamespaceSystem},
		Type:       corev1.SecretTypeBootstrapToken,
		StringData: map[string]string{
			"token-id":                       id,
			"token-secret":                   secret,
			"description":                    "kubectl ha bootstrap",
			"expiration":                     now.Add(tokenLife).UTC().Format(time.RFC3339),
			"usage-bootstrap-authentication": "true",
			"usage-bootstrap-signing":        "true",
			"auth-extra-groups":              "system:bootstrappers:kubeadm:default-node-token",
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("make a bootstrap token in the cluster: %w", err)
	}
	return token, nil
}

// waitForAPI waits until the API answers a read.
func waitForAPI(ctx context.Context, client kubernetes.Interface) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, apiPoll, apiWait, true, func(ctx context.Context) (bool, error) {
		_, last = client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
		if apierrors.IsForbidden(last) || apierrors.IsUnauthorized(last) {
			return false, last
		}
		return last == nil, nil
	})
	if err != nil && last != nil {
		return fmt.Errorf("the API does not answer: %w", last)
	}
	return err
}
