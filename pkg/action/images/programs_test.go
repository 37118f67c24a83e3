package images

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// TestAddPrograms: those of Kubernetes only, of the nodes' architecture, and for
// every node, also where all images are in place.
func TestAddPrograms(t *testing.T) {
	binary := func(name, component, arch string) bundle.Binary {
		return bundle.Binary{Name: name, Component: component, Arch: arch}
	}
	c := bundle.Contents{KubernetesVersion: "v1.36.3", Arch: "amd64", Binaries: []bundle.Binary{
		binary("kubelet", bundle.ComponentKubernetes, ""), binary("kubeadm", bundle.ComponentKubernetes, ""), binary("runc", bundle.ComponentRunc, "")}}
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{Architecture: "amd64"}}}
	pushes := []Push{{Arch: "amd64"}}
	if err := addPrograms(pushes, c, []corev1.Node{node}); err != nil {
		t.Fatal(err)
	}
	if p := pushes[0]; len(p.Programs) != 2 || !slices.Equal(p.Targets, []string{"n1"}) {
		t.Errorf("programs %+v to %v", p.Programs, p.Targets)
	}
	if err := addPrograms([]Push{{Arch: "amd64"}}, bundle.Contents{Arch: "amd64"}, []corev1.Node{node}); err == nil {
		t.Error("a bundle of images only has programs")
	}
}
