// Package endpoint says what the restart of an apiserver costs whoever reaches the API by its
// stable endpoint, where others keep that: it is not moved away first, and notices by its own
// means. It is pure.
package endpoint

import (
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// Kind is what a cluster's endpoint is.
type Kind string

// The kinds.
const (
	// Ours is a virtual IP that kubectl-ha keeps.
	Ours Kind = "ours"
	// VirtualIP is an address that moves between the control planes, by somebody else's means.
	VirtualIP Kind = "virtual-ip"
	// Node is the address of one node, which no other one takes over.
	Node Kind = "node"
	// Local is each host's own: localhost.
	Local Kind = "local"
	// Elsewhere is a name, or an address that no control plane is known to hold: a load balancer.
	Elsewhere Kind = "elsewhere"
)

// Of is the kind of a cluster's endpoint.
func Of(c *v1alpha1.Cluster) Kind {
	host := c.EndpointHost()
	switch {
	case c.KeepsVirtualIP():
		return Ours
	case v1alpha1.IsLocal(host):
		return Local
	case Owner(c) != "":
		return Node
	case c.Spec.VirtualIP == host:
		return VirtualIP
	}
	return Elsewhere
}

// Owner is the host whose own address or name the endpoint is; empty for none.
func Owner(c *v1alpha1.Cluster) string {
	at := c.EndpointHost()
	for _, h := range c.Spec.Hosts {
		if h.Address == at || h.Name == at {
			return h.Name
		}
	}
	return ""
}

// Cost says what the restart of a control plane's apiserver costs at an endpoint that others
// keep; it is for the plan, before anybody says yes. Empty for one of ours, which is moved
// away first.
func Cost(c *v1alpha1.Cluster, node string) string {
	at := c.Endpoint()
	switch Of(c) {
	case VirtualIP:
		return fmt.Sprintf("the virtual IP %s is not kubectl ha's and is not moved: it notices by itself, and requests through it can fail while it is on %s", at, node)
	case Node:
		if owner := Owner(c); owner != node {
			return fmt.Sprintf("the endpoint %s is the own address of %s, where requests go on", at, owner)
		}
		return fmt.Sprintf("the endpoint %s is the own address of %s: all requests fail until its apiserver is back", at, node)
	case Local:
		return fmt.Sprintf("the endpoint %s is each host's own: requests from %s fail until its apiserver is back, unless a proxy there knows others", at, node)
	case Elsewhere:
		return fmt.Sprintf("the endpoint %s is not kubectl ha's: it notices by itself, and requests through it can fail until it does", at)
	}
	return ""
}

// Restart is Cost as the end of a step's title; empty for an endpoint of ours.
func Restart(c *v1alpha1.Cluster, node string) string {
	if cost := Cost(c, node); cost != "" {
		return " (" + cost + ")"
	}
	return ""
}
