package join

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/kubeadmconfig"
)

// The ConfigMap from which a kubelet that joins takes the endpoint, and the cluster's CA.
// kubeadm's configuration names the endpoint as well (kubeadm#905, #1955).
const (
	clusterInfo     = "cluster-info"
	clusterInfoKey  = "kubeconfig"
	clusterInfoPath = metav1.NamespacePublic + "/" + clusterInfo
)

// readClusterInfo returns cluster-info with the endpoint set, and whether that is a change.
func readClusterInfo(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster) (*corev1.ConfigMap, bool, error) {
	config, err := kube.CoreV1().ConfigMaps(metav1.NamespacePublic).Get(ctx, clusterInfo, metav1.GetOptions{})
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", clusterInfoPath, err)
	}
	text, changed, err := server(config.Data[clusterInfoKey], c.URLFor(v1alpha1.UseForKubelets))
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", clusterInfoPath, err)
	}
	if changed {
		config.Data[clusterInfoKey] = text
	}
	return config, changed, nil
}

func observeClusterInfo(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster) (string, error) {
	if _, changed, err := readClusterInfo(ctx, kube, c); err != nil || changed {
		return clusterInfoPath + " does not name " + c.EndpointFor(v1alpha1.UseForKubelets), err
	}
	var doc struct {
		Endpoint string `json:"controlPlaneEndpoint"`
	}
	if err := kubeadmconfig.Read(ctx, kube, &doc); err != nil || doc.Endpoint != c.Endpoint() {
		return kubeadmconfig.Path + " does not name " + c.Endpoint(), err
	}
	return "", nil
}

func fixClusterInfo(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	config, changed, err := readClusterInfo(ctx, t.Clients.Kube, t.Cluster)
	if err != nil {
		return engine.Outcome{}, err
	}
	if changed {
		if _, err := t.Clients.Kube.CoreV1().ConfigMaps(config.Namespace).Update(ctx, config, metav1.UpdateOptions{FieldManager: apply.FieldManager}); err != nil {
			return engine.Outcome{}, fmt.Errorf("write %s: %w", clusterInfoPath, err)
		}
	}
	noted, err := kubeadmconfig.Change(ctx, t.Clients.Kube, withEndpoint(t.Cluster.Endpoint()))
	if err != nil || !changed && !noted {
		return engine.Outcome{}, err
	}
	return engine.Outcome{Message: "now " + t.Cluster.EndpointFor(v1alpha1.UseForKubelets)}, nil
}

// withEndpoint sets the endpoint in kubeadm's configuration. It is pure.
func withEndpoint(endpoint string) func(kubeadmconfig.Fields) (bool, error) {
	const field = "controlPlaneEndpoint"
	return func(fields kubeadmconfig.Fields) (bool, error) {
		changed := fields[field] != endpoint
		fields[field] = endpoint
		return changed, nil
	}
}

// clusterCA is the cluster's CA as a joining kubeadm finds it in cluster-info.
func clusterCA(ctx context.Context, kube kubernetes.Interface) ([]byte, error) {
	config, err := kube.CoreV1().ConfigMaps(metav1.NamespacePublic).Get(ctx, clusterInfo, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the cluster's CA: %w", err)
	}
	ca, err := certificateAuthority(config.Data[clusterInfoKey])
	if err == nil && len(ca) == 0 {
		err = errors.New("there is no CA in it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", clusterInfoPath, err)
	}
	return ca, nil
}
