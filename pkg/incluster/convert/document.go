package convert

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/endpoint"
)

// ErrNothing: the cluster was not converted, so there is no way back.
var ErrNothing = errors.New("this cluster has no endpoint of before")

// Wanted is the Cluster document as the Operation leaves it. It is pure.
func Wanted(c *v1alpha1.Cluster, spec *v1alpha1.ConvertSpec) *v1alpha1.Cluster {
	switch {
	case spec.Back:
		return before(c)
	case c.KeepsVirtualIP():
		return c // An earlier attempt has recorded it.
	}
	return after(c, spec)
}

// Lasting is the document with an endpoint that answers from the Operation's beginning to its end,
// for those who carry it out: on the way back that is the former one. It is pure.
func Lasting(c *v1alpha1.Cluster, spec *v1alpha1.ConvertSpec) *v1alpha1.Cluster {
	if spec.Back {
		return before(c)
	}
	return c
}

// after is the document with the virtual IP, and the endpoint of before as a former one.
func after(c *v1alpha1.Cluster, spec *v1alpha1.ConvertSpec) *v1alpha1.Cluster {
	out := copied(c)
	kind := endpoint.Of(c)
	former := []v1alpha1.FormerEndpoint{{Address: c.Endpoint(), Moves: kind == endpoint.VirtualIP}}
	for _, f := range c.Spec.Endpoint.Former {
		if f.Address != c.Endpoint() {
			former = append(former, f)
		}
	}
	out.Spec.Endpoint = v1alpha1.Endpoint{Former: former}
	out.Spec.VirtualIP = spec.VirtualIP
	out.Spec.Keepalived = v1alpha1.Keepalived{Interface: spec.Interface, RouterID: spec.RouterID}
	// Control planes that come later are to be known by it as well. A node's own address is that
	// of one apiserver, and localhost is in every certificate where it was the endpoint.
	if host := c.EndpointHost(); (kind == endpoint.Elsewhere || kind == endpoint.VirtualIP) && !slices.Contains(out.Spec.ExtraSANs, host) {
		out.Spec.ExtraSANs = append(out.Spec.ExtraSANs, host)
	}
	out.SetDefaults()
	return out
}

// before is the document with the last former endpoint instead of the virtual IP.
func before(c *v1alpha1.Cluster) *v1alpha1.Cluster {
	if !c.KeepsVirtualIP() || len(c.Spec.Endpoint.Former) == 0 {
		return c
	}
	out := copied(c)
	f := c.Spec.Endpoint.Former[0]
	out.Spec.Endpoint = v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: f.Address, Former: slices.Clone(c.Spec.Endpoint.Former[1:])}
	out.Spec.VirtualIP, out.Spec.Keepalived, out.Spec.LoadBalancer = "", v1alpha1.Keepalived{}, v1alpha1.LoadBalancer{}
	if host, _, err := net.SplitHostPort(f.Address); err == nil && f.Moves {
		out.Spec.VirtualIP = host
		if f.Address == c.APIServerAddress(host) {
			out.Spec.Endpoint.Address = ""
		}
	}
	out.SetDefaults()
	return out
}

// copied is a document of which the lists that change are its own.
func copied(c *v1alpha1.Cluster) *v1alpha1.Cluster {
	out := *c
	out.Spec.Hosts = slices.Clone(c.Spec.Hosts)
	out.Spec.ExtraSANs = slices.Clone(c.Spec.ExtraSANs)
	return &out
}

// Check says why a cluster can't be converted so; nothing is looked at but the document. It is
// pure.
func Check(c *v1alpha1.Cluster, spec *v1alpha1.ConvertSpec) error {
	switch {
	case c.Spec.LoadBalancer.Enabled:
		return fmt.Errorf("the load balancer is at %s, whose address changes\nnext: kubectl ha loadbalancer remove, and install it again afterwards", c.BalancedEndpoint())
	case spec.Back && c.KeepsVirtualIP() && len(c.Spec.Endpoint.Former) == 0:
		return ErrNothing
	case spec.Back && c.KeepsVirtualIP() && c.Spec.VirtualIP != spec.VirtualIP:
		return fmt.Errorf("this cluster was converted to the virtual IP %s, and not to %s", c.Spec.VirtualIP, spec.VirtualIP)
	case spec.Back:
		return nil
	case c.KeepsVirtualIP() && len(c.Spec.Endpoint.Former) == 0:
		return fmt.Errorf("kubectl ha keeps the virtual IP %s of this cluster already\nnext: kubectl ha node add adds control planes", c.Spec.VirtualIP)
	case c.KeepsVirtualIP() && c.Spec.VirtualIP != spec.VirtualIP:
		return fmt.Errorf("this cluster was converted to the virtual IP %s\nnext: kubectl ha convert --undo takes that back, and then another one can be had", c.Spec.VirtualIP)
	case !c.KeepsVirtualIP() && c.EndpointHost() == spec.VirtualIP:
		return fmt.Errorf("%s is the endpoint that others keep\nnext: choose an address that nobody has; the present one goes on working beside it", spec.VirtualIP)
	}
	if errs, _ := Wanted(c, spec).Validate(); len(errs) > 0 {
		return fmt.Errorf("the cluster with this virtual IP: %w", errs)
	}
	return nil
}

// kubeletURLs are those that a node's kubelet is pointed at, and away from. A control plane's uses
// the apiserver beside it, as kubeadm has it by now (kubernetes#127316); an older kubeadm gave it
// the endpoint. It is pure.
func kubeletURLs(c *v1alpha1.Cluster, spec *v1alpha1.ConvertSpec, name string) (to string, from []string) {
	to, from = urls(c, spec)
	if h, ok := c.Host(name); ok && h.Has(v1alpha1.RoleControlPlane) {
		to = c.APIServerURL(h.Address)
	}
	return to, from
}

// urls are those that users of the endpoint are pointed at, and away from. It is pure.
func urls(c *v1alpha1.Cluster, spec *v1alpha1.ConvertSpec) (to string, from []string) {
	want := Wanted(c, spec)
	if spec.Back {
		return want.EndpointURL(), []string{"https://" + c.APIServerAddress(spec.VirtualIP)}
	}
	for _, f := range want.Spec.Endpoint.Former {
		from = append(from, "https://"+f.Address)
	}
	return want.EndpointURL(), from
}
