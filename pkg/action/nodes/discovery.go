package nodes

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// discovery makes what new kubelets join with: a bootstrap token, which is a secret, and the
// fingerprint of the cluster's CA.
func discovery(kube kubernetes.Interface) func(context.Context) (token, caHash string, err error) {
	return func(ctx context.Context) (string, string, error) {
		hash, err := caHash(ctx, kube)
		if err != nil {
			return "", "", err
		}
		token, err := bootstrap.NewToken(ctx, kube)
		return token, hash, err
	}
}

// caHash is the fingerprint of the cluster's CA, as a joining kubeadm finds it.
func caHash(ctx context.Context, kube kubernetes.Interface) (string, error) {
	m, err := kube.CoreV1().ConfigMaps(metav1.NamespacePublic).Get(ctx, "cluster-info", metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read the cluster's CA: %w", err)
	}
	kubeconfig, err := clientcmd.Load([]byte(m.Data["kubeconfig"]))
	if err != nil {
		return "", fmt.Errorf("kube-public/cluster-info: %w", err)
	}
	for _, c := range kubeconfig.Clusters {
		return pki.CertHash(c.CertificateAuthorityData)
	}
	return "", errors.New("kube-public/cluster-info has no cluster in it")
}
