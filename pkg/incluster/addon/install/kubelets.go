package install

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/kubeletcert"
)

const (
	// kubeletConfigMap is where kubeadm takes the configuration of kubelets from, of
	// nodes that join and at upgrades.
	kubeletConfigMap = "kubelet-config"
	kubeletConfigKey = "kubelet"

	kubeletTimeout = 4 * time.Minute
)

func installing(t engine.Turn) bool { return t.Operation.Spec.Addon.Action == v1alpha1.AddonInstall }

// setKubeletConfig sets serverTLSBootstrap for kubelets that come later.
func setKubeletConfig(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	api := t.Clients.Kube.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	config, err := api.Get(ctx, kubeletConfigMap, metav1.GetOptions{})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("read kubeadm's configuration of kubelets: %w", err)
	}
	after, err := kubeletcert.SetServing([]byte(config.Data[kubeletConfigKey]), installing(t))
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("configmap %s/%s: %w", config.Namespace, config.Name, err)
	}
	if string(after) == config.Data[kubeletConfigKey] {
		return engine.Outcome{Message: "nothing to change"}, nil
	}
	config.Data[kubeletConfigKey] = string(after)
	if _, err := api.Update(ctx, config, metav1.UpdateOptions{}); err != nil {
		return engine.Outcome{}, fmt.Errorf("write kubeadm's configuration of kubelets: %w", err)
	}
	return engine.Outcome{Message: "1 change"}, nil
}

// serveKubelet is a node's request.
func serveKubelet(ctx context.Context, t engine.Turn) (node.Request, error) {
	n, err := t.Clients.Kube.CoreV1().Nodes().Get(ctx, t.Step.Node, metav1.GetOptions{})
	if err != nil {
		return node.Request{}, fmt.Errorf("read node %s: %w", t.Step.Node, err)
	}
	spec := kubeletcert.ServingSpec{FromCluster: installing(t)}
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP && spec.Address == "" {
			spec.Address = a.Address
		}
	}
	if spec.Address == "" {
		return node.Request{}, fmt.Errorf("node %s reports no internal address", n.Name)
	}
	return node.NewRequest(tasks.ServeKubelet, kubeletTimeout, spec)
}
