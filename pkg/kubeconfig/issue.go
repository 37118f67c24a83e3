package kubeconfig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Durations of an identity.
const (
	// DefaultCertificate is how long a client certificate lives: it can't be revoked.
	DefaultCertificate = 30 * 24 * time.Hour
	// DefaultToken is how long a service account's token lives.
	DefaultToken = 8 * time.Hour
	// MinDuration is the shortest that the API server grants, for either.
	// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#signer-control-plane
	MinDuration = 10 * time.Minute
	// MaxDuration is a year, what kube-controller-manager signs for at most by default.
	MaxDuration = 365 * 24 * time.Hour
)

// Kind is a kind of identity.
type Kind int

const (
	// KindAny is the service account's when there is one, else a certificate of AdminGroup.
	KindAny Kind = iota
	// KindCertificate is a client certificate of the user and the groups that are asked for.
	KindCertificate
	// KindAccount is the service account's; without one it is an error.
	KindAccount
)

// ErrNoAccount: there is no service account for people.
var ErrNoAccount = errors.New("there is no service account " + AdminAccount)

// Options say what kubeconfig is wanted.
type Options struct {
	// Cluster names the cluster in the file and, with the user, the login.
	Cluster string
	// Context names the context. Empty: as the cluster.
	Context string
	// Kind of the identity.
	Kind Kind
	// Groups are those of a KindCertificate; others are of AdminGroup. None: it may do
	// what everybody may who has logged in.
	Groups []string
	// Server is the URL to point at: https://192.0.2.10:6443.
	Server string
	// User is the caller's login name, the certificate's common name.
	User string
	// Duration of the identity. Zero: DefaultToken or DefaultCertificate.
	Duration time.Duration
	// SignTimeout bounds the wait for the certificate. Zero: 30 seconds.
	SignTimeout time.Duration
}

// Issued is a kubeconfig with its identity.
type Issued struct {
	// Config is a complete kubeconfig: a secret.
	Config *clientcmdapi.Config
	// Identity says who it is, for people: "user alice (client certificate)".
	Identity string
	// Username is the name under which the API server will know it.
	Username string
	// Expires is when the identity ends; the API server may have shortened it.
	Expires time.Time
	// Admin tells whether it is meant to be able to do everything.
	Admin bool
}

// Issue gets an identity for the caller with the given access and makes a
// kubeconfig of it: the token of the service account admin-user when there is
// one (AdminAccounts), else a client certificate of the group AdminGroup.
func Issue(ctx context.Context, access *rest.Config, o Options) (*Issued, error) {
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return nil, fmt.Errorf("use the access that there is: %w", err)
	}
	return issue(ctx, client, access, o)
}

func issue(ctx context.Context, client kubernetes.Interface, access *rest.Config, o Options) (*Issued, error) {
	if o.Cluster == "" || o.Server == "" || o.User == "" {
		return nil, errors.New("a kubeconfig needs the cluster's name, its address and the caller's name")
	}
	if o.Duration != 0 && (o.Duration < MinDuration || o.Duration > MaxDuration) {
		return nil, fmt.Errorf("an identity lives %s to %s, not %s", MinDuration, MaxDuration, o.Duration)
	}
	ca, err := clusterCA(ctx, client, access)
	if err != nil {
		return nil, err
	}
	if o.Kind == KindCertificate {
		return issueCertificate(ctx, client, ca, o)
	}
	account, err := adminAccount(ctx, client)
	switch {
	case err != nil:
		return nil, err
	case account != nil:
		return issueToken(ctx, client, account, ca, o)
	case o.Kind == KindAccount:
		return nil, fmt.Errorf("%w in %s", ErrNoAccount, strings.Join(AdminAccounts(), ", "))
	}
	o.Groups = []string{AdminGroup}
	return issueCertificate(ctx, client, ca, o)
}

// clusterCA is the certificate that the API servers' certificates are verified
// with, as the cluster itself gives it to all its pods; while the controller
// that does so has not got that far, the one that the access has.
func clusterCA(ctx context.Context, client kubernetes.Interface, access *rest.Config) ([]byte, error) {
	const name, key = "kube-root-ca.crt", "ca.crt"
	cm, err := client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
	if err == nil && cm.Data[key] != "" {
		return []byte(cm.Data[key]), nil
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read the cluster's CA (ConfigMap %s/%s): %w", metav1.NamespaceSystem, name, err)
	}
	if len(access.CAData) > 0 {
		return access.CAData, nil
	}
	if access.CAFile != "" {
		data, err := os.ReadFile(access.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the cluster's CA: %w", err)
		}
		return data, nil
	}
	return nil, fmt.Errorf("the cluster's CA is in no ConfigMap %s/%s yet; is kube-controller-manager running?", metav1.NamespaceSystem, name)
}

// build puts a kubeconfig together.
func build(o Options, ca []byte, login *clientcmdapi.AuthInfo) *clientcmdapi.Config {
	user := o.Cluster + "-" + o.User
	c := clientcmdapi.NewConfig()
	c.Clusters[o.Cluster] = &clientcmdapi.Cluster{Server: o.Server, CertificateAuthorityData: ca}
	c.AuthInfos[user] = login
	c.CurrentContext = o.Context
	if c.CurrentContext == "" {
		c.CurrentContext = o.Cluster
	}
	c.Contexts[c.CurrentContext] = &clientcmdapi.Context{Cluster: o.Cluster, AuthInfo: user, Namespace: corev1.NamespaceDefault}
	return c
}
