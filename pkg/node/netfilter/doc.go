// Package netfilter takes the rules that Kubernetes puts into the kernel's
// packet filter out of it again, and nothing else: chains and tables by their
// well-known names, and the rules elsewhere that lead into them.
package netfilter

import "strings"

// prefixes of chains' names that kube-proxy, the kubelet, the reference CNI
// plugins, flannel and Calico make, in whatever table:
// pkg/proxy/iptables in Kubernetes, plugins/meta/portmap and pkg/ip in
// containernetworking/plugins, pkg/trafficmngr in flannel, felix/rules in Calico.
var prefixes = []string{"KUBE-", "CNI-", "FLANNEL-", "cali-"}

// tables are those that are Kubernetes' as a whole: of kube-proxy's nftables mode
// (KEP-3866), of flannel's, and of the virtual IP's moves.
var tables = []string{"kube-proxy", "flannel-ipv4", "flannel-ipv6", "kubectl-ha-vip"}

// ours tells whether a chain is one of Kubernetes'.
func ours(chain string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(chain, p) {
			return true
		}
	}
	return false
}

// Found is what is there of Kubernetes.
type Found struct {
	// Tables are removed as a whole, Chains with their rules, Rules are those of
	// other chains that lead into them, Empty the base chains and tables that are
	// of no use any more.
	Tables, Chains, Empty []string
	Rules                 int
}

// Nothing tells whether there is nothing.
func (f Found) Nothing() bool {
	return len(f.Tables) == 0 && len(f.Chains) == 0 && f.Rules == 0 && len(f.Empty) == 0
}
