package adopt

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/adopt"
)

// TestLostLabel: a control plane whose label was removed is not adopted as a worker.
func TestLostLabel(t *testing.T) {
	const label = "node-role.kubernetes.io/control-plane"
	seen := adopt.Observation{Flags: map[string][]string{"m1": {"kube-apiserver"}, "m2": {"kube-apiserver"}}}
	seen.Kubeadm.ControlPlaneEndpoint, seen.Kubeadm.KubernetesVersion = "192.0.2.100:6443", "v1.36.3"
	seen.Kubeadm.Networking.PodSubnet, seen.Kubeadm.Networking.ServiceSubnet = "10.1.0.0/16", "10.2.0.0/16"
	for name, address := range map[string]string{"m1": "192.0.2.1", "m2": "192.0.2.2"} {
		n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{label: ""}}}
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
		seen.Nodes = append(seen.Nodes, n)
	}
	if err := new(Plan).decide(seen); err != nil {
		t.Fatal(err)
	}
	for i := range seen.Nodes {
		if seen.Nodes[i].Name == "m2" {
			delete(seen.Nodes[i].Labels, label)
		}
	}
	if err := new(Plan).decide(seen); err == nil || !strings.Contains(err.Error(), "kubectl label node m2 "+label+"=") {
		t.Errorf("got %v", err)
	}
}
