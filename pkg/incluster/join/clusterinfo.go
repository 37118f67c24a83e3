package join

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// The ConfigMaps of kubeadm that name the endpoint (kubeadm#905, #1955).
const (
	clusterInfo          = "cluster-info"
	clusterInfoKey       = "kubeconfig"
	kubeadmConfig        = "kubeadm-config"
	kubeadmConfigKey     = "ClusterConfiguration"
	controlPlaneEndpoint = "controlPlaneEndpoint"
)

// document is one ConfigMap with a place for the endpoint.
type document struct {
	namespace, name, key string
	// set returns the text with the endpoint, and whether that is a change.
	set func(text string, c *v1alpha1.Cluster) (string, bool, error)
}

func documents() []document {
	return []document{
		{metav1.NamespacePublic, clusterInfo, clusterInfoKey, func(text string, c *v1alpha1.Cluster) (string, bool, error) {
			return server(text, "https://"+c.EndpointFor(v1alpha1.UseForKubelets))
		}},
		{metav1.NamespaceSystem, kubeadmConfig, kubeadmConfigKey, func(text string, c *v1alpha1.Cluster) (string, bool, error) {
			return setEndpoint(text, c.Endpoint())
		}},
	}
}

// setEndpoint sets controlPlaneEndpoint in kubeadm's ClusterConfiguration.
func setEndpoint(text, endpoint string) (string, bool, error) {
	fields := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &fields); err != nil {
		return "", false, fmt.Errorf("the ClusterConfiguration can't be read: %w", err)
	}
	if fields[controlPlaneEndpoint] == endpoint {
		return text, false, nil
	}
	fields[controlPlaneEndpoint] = endpoint
	out, err := yaml.Marshal(fields)
	return string(out), true, err
}

// change reads a document and returns the ConfigMap with the endpoint set.
func (d document) change(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster) (*corev1.ConfigMap, bool, error) {
	config, err := kube.CoreV1().ConfigMaps(d.namespace).Get(ctx, d.name, metav1.GetOptions{})
	if err != nil {
		return nil, false, fmt.Errorf("read %s/%s: %w", d.namespace, d.name, err)
	}
	text, changed, err := d.set(config.Data[d.key], c)
	if err != nil {
		return nil, false, fmt.Errorf("%s/%s: %w", d.namespace, d.name, err)
	}
	if changed {
		config.Data[d.key] = text
	}
	return config, changed, nil
}

func observeClusterInfo(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster) (string, error) {
	for _, d := range documents() {
		_, changed, err := d.change(ctx, kube, c)
		if err != nil {
			return "", err
		}
		if changed {
			return d.namespace + "/" + d.name + " does not name " + c.EndpointFor(v1alpha1.UseForKubelets), nil
		}
	}
	return "", nil
}

func fixClusterInfo(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	message := ""
	for _, d := range documents() {
		config, changed, err := d.change(ctx, t.Clients.Kube, t.Cluster)
		if err != nil {
			return engine.Outcome{}, err
		}
		if !changed {
			continue
		}
		if _, err := t.Clients.Kube.CoreV1().ConfigMaps(d.namespace).Update(ctx, config, metav1.UpdateOptions{FieldManager: apply.FieldManager}); err != nil {
			return engine.Outcome{}, fmt.Errorf("write %s/%s: %w", d.namespace, d.name, err)
		}
		message = "now " + t.Cluster.EndpointFor(v1alpha1.UseForKubelets)
	}
	return engine.Outcome{Message: message}, nil
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
		return nil, fmt.Errorf("%s/%s: %w", metav1.NamespacePublic, clusterInfo, err)
	}
	return ca, nil
}
