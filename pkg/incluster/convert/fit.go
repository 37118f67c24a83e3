package convert

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
)

// unfit says why a control plane can't have the virtual IP, and what to do; nil when it can. taken
// says that somebody answers for the address who is not this cluster. It is pure.
func unfit(c *v1alpha1.Cluster, name string, facts observe.Facts, taken bool) error {
	address, wanted := c.Spec.VirtualIP, c.VIP()
	ours := facts.Ours != nil && slices.Contains(facts.Ours.Done, tasks.VIP)
	h, _ := c.Host(name)
	switch {
	case facts.ForeignKeepalived:
		return fmt.Errorf("%s: keepalived is configured by somebody else, in %s; nothing was changed\nnext: kubectl ha does not overwrite it. Where it only keeps the endpoint of before, have that address kept elsewhere first", name, vip.ConfigPath)
	case facts.Interface == "":
		return fmt.Errorf("%s: no interface has its address %s; nothing was changed\nnext: correct the address of the host in the stored Cluster document", name, h.Address)
	case facts.VirtualIPHere && !ours:
		return fmt.Errorf("%s has %s itself; nothing was changed\nnext: choose an address that nobody has", name, address)
	case taken:
		return fmt.Errorf("%s is in use by somebody else (%s, as %s sees it); nothing was changed\nnext: choose an address that nobody has", address, facts.VirtualIPAnswers, name)
	case slices.Contains(facts.VRRPRouters, int(c.Spec.Keepalived.RouterID)):
		return fmt.Errorf("%s hears the VRRP router id %d of somebody else; nothing was changed\nnext: choose another one with --router-id", name, c.Spec.Keepalived.RouterID)
	}
	if c.Spec.Keepalived.Interface != "" && c.Spec.Keepalived.Interface != facts.Interface {
		return nil // Its subnet is not among the facts; keepalived's own task looks at it.
	}
	own, err := netip.ParseAddr(h.Address)
	if err != nil || facts.PrefixLength == 0 {
		return nil //nolint:nilerr // The document's own check tells of such an address.
	}
	if subnet, err := own.Prefix(facts.PrefixLength); err == nil && !subnet.Contains(wanted) {
		return fmt.Errorf("%s is outside of %s, the subnet of %s on %s; nothing was changed\nnext: choose a free address in that subnet; all control planes must be in it", address, subnet, facts.Interface, name)
	}
	return nil
}
