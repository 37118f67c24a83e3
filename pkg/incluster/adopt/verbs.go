package adopt

import (
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/endpoint"
)

// Verb is what a command does about what is others' in a cluster.
type Verb struct{ Command, Does string }

// Verbs says so of each command that changes a cluster, before it is adopted. It is pure.
func Verbs(c *v1alpha1.Cluster) []Verb {
	if c.KeepsVirtualIP() {
		return nil
	}
	restart := "each apiserver restarts once, where it is: the endpoint notices by itself"
	switch endpoint.Of(c) {
	case endpoint.Node:
		restart = "each apiserver restarts once; at that of " + endpoint.Owner(c) + " the API is away meanwhile"
	case endpoint.Local:
		restart = "each apiserver restarts once; requests on its own host fail meanwhile, unless a proxy there knows others"
	}
	balancer := "refused: clients would not find it, since the endpoint leads elsewhere"
	if c.Spec.VirtualIP != "" {
		balancer = "on the control planes, at the virtual IP, on a port that is free; the endpoint stays"
	}
	return []Verb{
		{"upgrade, certs rotate-ca", restart + ". kube-proxy, cluster-info and CoreDNS are left to kubeadm"},
		{"certs renew, etcd, backup", "nothing of the endpoint is touched"},
		{"node add, remove, replace", "you tell your endpoint's mechanism of control planes; one that is there is removed by kubeadm reset first"},
		{"loadbalancer install", balancer},
		{"bootstrap, uninstall", "refused: others made this cluster. adopt --release takes kubectl ha out of it"},
	}
}
