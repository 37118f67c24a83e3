package bootstrap

import (
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// port is a TCP port that something of the cluster listens on.
type port struct {
	number int32
	// process is who listens there once the cluster runs, as the kernel names
	// it: at most 15 characters.
	process string
	// from are those who must reach it from other hosts; nobody does when all
	// its clients are on the host itself.
	from func(v1alpha1.Host) bool
}

// The kernel cuts process names (TASK_COMM_LEN).
const commLength = 15

// portsOf lists the ports of a host's roles.
// https://kubernetes.io/docs/reference/networking/ports-and-protocols/
func portsOf(c *v1alpha1.Cluster, h v1alpha1.Host) []port {
	member := func(o v1alpha1.Host) bool { return isIn(c.EtcdMembers(), o) }
	controlPlane := func(o v1alpha1.Host) bool { return o.Has(v1alpha1.RoleControlPlane) }
	anyNode := func(o v1alpha1.Host) bool { return isIn(c.Nodes(), o) }
	var out []port
	if member(h) {
		out = append(out,
			port{2379, "etcd", func(o v1alpha1.Host) bool { return controlPlane(o) || member(o) }},
			port{2380, "etcd", member},
			port{2381, "etcd", nil})
	}
	if isIn(c.Nodes(), h) {
		out = append(out, port{10250, "kubelet", controlPlane}, port{10248, "kubelet", nil},
			port{10249, "kube-proxy", nil}, port{10256, "kube-proxy", nil})
	}
	if controlPlane(h) {
		out = append(out, port{c.Spec.APIServerPort, "kube-apiserver", anyNode},
			port{10257, "kube-controller-manager", nil}, port{10259, "kube-scheduler", nil})
	}
	return out
}

func ports(c *v1alpha1.Cluster, h v1alpha1.Host) []int32 {
	var out []int32
	for _, p := range portsOf(c, h) {
		out = append(out, p.number)
	}
	if h.Has(v1alpha1.RoleControlPlane) {
		out = append(out, BlobPort)
	}
	return out
}

// is tells whether a listener, "etcd (pid 352)", is the one that belongs on the port.
func (p port) is(listener string) bool {
	process, _, _ := strings.Cut(listener, " (")
	return process != "" && process[:min(len(process), commLength)] == p.process[:min(len(p.process), commLength)]
}

func isIn(hosts []v1alpha1.Host, h v1alpha1.Host) bool {
	return slices.ContainsFunc(hosts, func(o v1alpha1.Host) bool { return o.Name == h.Name })
}
