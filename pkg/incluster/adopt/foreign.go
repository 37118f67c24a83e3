package adopt

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// ForeignError is a cluster that kubeadm has not made. Nothing here knows how to run it.
type ForeignError struct {
	// Name is what made it; empty when that is not known.
	Name string
}

// Error names it.
func (e *ForeignError) Error() string {
	if e.Name == "" {
		return "kubeadm did not make this cluster (there is no ConfigMap kube-system/kubeadm-config); nothing was changed\nnext: use the tool that made it"
	}
	return "this is a cluster of " + e.Name + ", which runs its control plane in its own way; kubectl ha runs clusters that kubeadm made, and nothing was changed\nnext: use the tools of " + e.Name
}

// distributions are known by what their kubelets or their nodes say of themselves: a part of the
// kubelet's version, or a label, or the start of the node's OS image.
var distributions = []struct{ name, version, label, image string }{
	{name: "k3s", version: "+k3s"},
	{name: "RKE2", version: "+rke2"},
	{name: "k0s", version: "+k0s"},
	{name: "EKS", version: "-eks-", label: "eks.amazonaws.com/nodegroup"},
	{name: "GKE", version: "-gke.", label: "cloud.google.com/gke-nodepool"},
	{name: "AKS", label: "kubernetes.azure.com/cluster"},
	{name: "OpenShift", label: "node.openshift.io/os_id"},
	{name: "MicroK8s", label: "microk8s.io/cluster"},
	{name: "Talos Linux", image: "Talos"},
}

// Distribution is the name of what made a cluster, where that is not kubeadm; empty for none that
// is known. It is pure.
func Distribution(nodes []corev1.Node) string {
	for _, n := range nodes {
		for _, d := range distributions {
			_, labelled := n.Labels[d.label]
			switch info := n.Status.NodeInfo; {
			case d.version != "" && strings.Contains(info.KubeletVersion, d.version),
				d.label != "" && labelled,
				d.image != "" && strings.HasPrefix(info.OSImage, d.image):
				return d.name
			}
		}
	}
	return ""
}
