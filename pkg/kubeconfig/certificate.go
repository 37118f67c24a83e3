package kubeconfig

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// AdminGroup is the group of the certificates, and the name of the
// ClusterRoleBinding that binds it to cluster-admin. Unlike system:masters,
// what it may do can be changed or taken away: delete the binding.
const AdminGroup = "kubectl-ha:admins"

const (
	defaultSignTimeout = 30 * time.Second
	signPoll           = 200 * time.Millisecond
	cleanUpTimeout     = 10 * time.Second
	// fieldOwner names us in managedFields.
	fieldOwner = "kubectl-ha"
)

// issueCertificate makes a key here and has its certificate signed by the
// cluster, through its CSR API.
func issueCertificate(ctx context.Context, client kubernetes.Interface, ca []byte, o Options) (*Issued, error) {
	admin := slices.Contains(o.Groups, AdminGroup)
	if admin {
		if err := ensureAdmins(ctx, client); err != nil {
			return nil, err
		}
	}
	key, request, err := newRequest(o.User, o.Groups)
	if err != nil {
		return nil, err
	}
	certificate, err := sign(ctx, client, request, o)
	if err != nil {
		return nil, err
	}
	parsed, err := cert.ParseCertsPEM(certificate)
	if err != nil {
		return nil, fmt.Errorf("read the certificate that the cluster signed: %w", err)
	}
	return &Issued{
		Config:   build(o, ca, &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}),
		Identity: identity(o.User, o.Groups),
		Username: o.User,
		Expires:  parsed[0].NotAfter,
		Admin:    admin,
	}, nil
}

// identity says who a certificate is for.
func identity(user string, groups []string) string {
	switch len(groups) {
	case 0:
		return fmt.Sprintf("user %s of no group (client certificate)", user)
	case 1:
		return fmt.Sprintf("user %s of group %s (client certificate)", user, groups[0])
	}
	return fmt.Sprintf("user %s of groups %s (client certificate)", user, strings.Join(groups, ", "))
}

// ensureAdmins binds the group to cluster-admin unless the binding is there:
// then somebody may have changed it on purpose, and it is left as it is.
func ensureAdmins(ctx context.Context, client kubernetes.Interface) error {
	bindings := client.RbacV1().ClusterRoleBindings()
	_, err := bindings.Get(ctx, AdminGroup, metav1.GetOptions{})
	if err == nil {
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("look for the ClusterRoleBinding %s: %w", AdminGroup, err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: AdminGroup, Labels: map[string]string{"app.kubernetes.io/managed-by": fieldOwner}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: AdminGroup}},
	}
	_, err = bindings.Create(ctx, binding, metav1.CreateOptions{FieldManager: fieldOwner})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("bind the group %s to cluster-admin: %w", AdminGroup, err)
	}
	return nil
}

// newRequest makes a key that never leaves this process but into the
// kubeconfig, and the request for its certificate; both PEM.
func newRequest(user string, groups []string) (key, request []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	if key, err = keyutil.MarshalPrivateKeyToPEM(private); err != nil {
		return nil, nil, fmt.Errorf("write the key: %w", err)
	}
	request, err = cert.MakeCSR(private, &pkix.Name{CommonName: user, Organization: groups}, nil, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("make the certificate request: %w", err)
	}
	return key, request, nil
}

// sign sends the request, approves it, waits for the certificate, and removes
// the request whatever came of it.
func sign(ctx context.Context, client kubernetes.Interface, request []byte, o Options) (certificate []byte, err error) {
	duration, timeout := o.Duration, o.SignTimeout
	if duration == 0 {
		duration = DefaultCertificate
	}
	if timeout == 0 {
		timeout = defaultSignTimeout
	}
	seconds := int32(duration.Seconds())
	csrs := client.CertificatesV1().CertificateSigningRequests()
	csr, err := csrs.Create(ctx, &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "kubectl-ha-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:           request,
			SignerName:        certificatesv1.KubeAPIServerClientSignerName,
			ExpirationSeconds: &seconds,
			Usages:            []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}, metav1.CreateOptions{FieldManager: fieldOwner})
	if err != nil {
		return nil, fmt.Errorf("ask the cluster for a client certificate: %w", err)
	}
	name := csr.Name
	defer func() {
		cleanUp, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
		defer cancel()
		gone := csrs.Delete(cleanUp, name, metav1.DeleteOptions{})
		if gone != nil && !apierrors.IsNotFound(gone) {
			err = errors.Join(err, fmt.Errorf("remove the certificate request %s: %w", name, gone))
		}
	}()
	csr.Status.Conditions = append(csr.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue,
		Reason: "KubectlHA", Message: "approved by the administrator who asked for it",
	})
	if _, err := csrs.UpdateApproval(ctx, name, csr, metav1.UpdateOptions{FieldManager: fieldOwner}); err != nil {
		return nil, fmt.Errorf("approve the certificate request %s: %w", name, err)
	}
	return waitSigned(ctx, client, name, timeout)
}

// waitSigned waits until the signer has signed the request or refused it.
func waitSigned(ctx context.Context, client kubernetes.Interface, name string, timeout time.Duration) ([]byte, error) {
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var certificate []byte
	var last error
	err := wait.PollUntilContextCancel(waiting, signPoll, true, func(ctx context.Context) (bool, error) {
		csr, err := client.CertificatesV1().CertificateSigningRequests().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, fmt.Errorf("the certificate request %s was removed by somebody else", name)
		}
		if last = err; err != nil {
			return false, nil
		}
		for _, c := range csr.Status.Conditions {
			if c.Type == certificatesv1.CertificateDenied || c.Type == certificatesv1.CertificateFailed {
				return false, fmt.Errorf("the certificate request %s was not signed: %s (%s: %s)", name, c.Type, c.Reason, c.Message)
			}
		}
		certificate = csr.Status.Certificate
		return len(certificate) > 0, nil
	})
	switch {
	case err == nil:
		return certificate, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case waiting.Err() != nil && last != nil:
		return nil, fmt.Errorf("no client certificate within %s; the last look at the request failed: %w", timeout, last)
	case waiting.Err() != nil:
		return nil, fmt.Errorf("no client certificate within %s: it is approved but not signed; kube-controller-manager does that, is it running?", timeout)
	default:
		return nil, err
	}
}
