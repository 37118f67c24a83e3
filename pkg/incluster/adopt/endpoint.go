package adopt

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/endpoint"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// The checks of what Cluster and Findings tell, by which scripts know them.
const (
	checkEndpoint  = "endpoint"
	checkKeeper    = "endpoint-keeper"
	checkHosts     = "hosts"
	checkSettings  = "settings"
	checkVersions  = "versions"
	checkAdmission = "admission"
)

// addEndpoint notes whose the endpoint is. The hosts' own word counts most: only they know who
// has an address.
func addEndpoint(c *v1alpha1.Cluster, o Observation, given string) ([]report.Finding, error) {
	host, port, err := o.endpoint()
	if err != nil {
		return nil, err
	}
	c.Spec.APIServerPort = o.apiServerPort(port)
	if given != "" {
		if _, err := netip.ParseAddr(given); err != nil {
			return nil, fmt.Errorf("the virtual IP %q is no address", given)
		}
	}
	if ours := o.ours(c, host); ours != nil && given == "" {
		c.Spec.VirtualIP = host
		c.Spec.Keepalived = *ours
		return nil, nil
	}
	c.Spec.Endpoint.ManagedBy = v1alpha1.EndpointOthers
	c.Spec.VirtualIP = given
	if given == "" && o.passedOn(c, host) {
		c.Spec.VirtualIP = host
	}
	if c.Spec.VirtualIP != host || port != c.Spec.APIServerPort {
		c.Spec.Endpoint.Address = net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	if given != "" && o.Kubeadm.ControlPlaneEndpoint == "" && c.Spec.VirtualIP != host {
		c.Spec.Endpoint.Address = "" // There is no other one that anybody has named.
	}
	return tell(c, o), nil
}

// endpoint is kubeadm's; where it has none that by which nodes join, else that of the first
// control plane, where everything goes then.
func (o Observation) endpoint() (host string, port int32, err error) {
	if o.Kubeadm.ControlPlaneEndpoint != "" {
		return endpointOf(o.Kubeadm.ControlPlaneEndpoint)
	}
	if o.ClusterInfo != "" {
		return endpointOf(o.ClusterInfo)
	}
	for _, h := range hosts(o.Nodes) {
		if !h.Has(v1alpha1.RoleControlPlane) {
			continue
		}
		if at := o.Servers[h.Name]; at != "" {
			return endpointOf(at)
		}
		return h.Address, v1alpha1.DefaultAPIServerPort, nil
	}
	return "", 0, fmt.Errorf("no node has the label %s", controlPlaneLabel)
}

func endpointOf(text string) (host string, port int32, err error) {
	if host, port, err = splitEndpoint(text); err == nil && host == "" {
		err = fmt.Errorf("kubeadm's controlPlaneEndpoint %q has no host", text)
	}
	return host, port, err
}

// apiServerPort is the apiservers' own, as kubeadm notes it; where it does not, the endpoint's.
func (o Observation) apiServerPort(of int32) int32 {
	for _, h := range hosts(o.Nodes) {
		if at := o.Servers[h.Name]; at != "" {
			if _, port, err := splitEndpoint(at); err == nil {
				return port
			}
		}
	}
	return of
}

// ours are the settings of a virtual IP that kubectl-ha keeps: its watcher is on every control
// plane. nil where it is not, or where nobody has looked.
func (o Observation) ours(c *v1alpha1.Cluster, host string) *v1alpha1.Keepalived {
	var out *v1alpha1.Keepalived
	for _, h := range c.ControlPlanes() {
		k := o.Hosts[h.Name].Keepalived
		if k == nil || !k.Ours || !slices.ContainsFunc(k.Addresses, func(a string) bool { return same(a, host) }) {
			return nil
		}
		out = &v1alpha1.Keepalived{RouterID: int32(k.RouterID), AdvertisementInterval: int32(k.Seconds*1000 + 0.5)}
	}
	return out
}

// same tells whether two texts are one address: an IPv6 one can be written in many ways.
func same(a, b string) bool {
	first, err := netip.ParseAddr(a)
	second, failed := netip.ParseAddr(b)
	return err == nil && failed == nil && first.Unmap() == second.Unmap()
}

// passedOn tells whether an address is one that the control planes pass on to each other, as far
// as can be told: no node's own, and where the hosts were asked, held by one of them.
func (o Observation) passedOn(c *v1alpha1.Cluster, host string) bool {
	a, err := netip.ParseAddr(host)
	if err != nil || v1alpha1.IsLocal(host) || slices.ContainsFunc(c.Spec.Hosts, func(h v1alpha1.Host) bool { return h.Addr() == a.Unmap() }) {
		return false
	}
	asked := true
	for _, h := range c.ControlPlanes() {
		facts, ok := o.Hosts[h.Name]
		asked = asked && ok
		if slices.ContainsFunc(facts.Addresses, func(text string) bool {
			p, err := netip.ParsePrefix(text)
			return err == nil && p.Addr().Unmap() == a.Unmap()
		}) {
			return true
		}
	}
	return !asked
}

// tell says what the endpoint is, and what that means.
func tell(c *v1alpha1.Cluster, o Observation) []report.Finding {
	one := func(severity report.Severity, hint, format string, args ...any) []report.Finding {
		return []report.Finding{{Check: checkEndpoint, Severity: severity, Message: fmt.Sprintf(format, args...), Hint: hint}}
	}
	const stable = "a virtual IP or a load balancer before the control planes, and its address in kubeadm's controlPlaneEndpoint and the apiservers' certificates, make it stable"
	at := c.Endpoint()
	switch endpoint.Of(c) {
	case endpoint.Local:
		return one(report.SeverityWarning, "see that a proxy on every host leads there to all control planes, or have "+stable,
			"the endpoint %s is each host's own, and no address of the cluster; kubectl ha keeps no endpoint here", at)
	case endpoint.Node:
		owner := endpoint.Owner(c)
		if o.Kubeadm.ControlPlaneEndpoint == "" {
			at += " (kubeadm's controlPlaneEndpoint is empty)"
		}
		return one(report.SeverityWarning, stable, "the endpoint %s is the own address of %s: while that one is away, so is the API", at, owner)
	case endpoint.VirtualIP:
		return one(SeverityInfo, "", "the endpoint %s is a virtual IP that kubectl ha does not keep: it is left as it is", at)
	}
	switch text := strings.Join(o.Addresses, ", "); {
	case len(o.Addresses) == 0 && net.ParseIP(c.EndpointHost()) == nil:
		return one(report.SeverityWarning, "see that this name resolves where you run kubectl ha", "the endpoint %s is a name that does not resolve from here; it is left as it is", at)
	case len(o.Addresses) > 1:
		return one(report.SeverityWarning, "a client that was given the address of a control plane that is away fails until it asks another one: put a load balancer there",
			"the endpoint %s is a name for %d addresses (%s); it is left as it is", at, len(o.Addresses), text)
	case len(o.Addresses) == 1:
		return one(SeverityInfo, "", "the endpoint %s is a name, for %s; what is behind it is left as it is", at, text)
	}
	return one(SeverityInfo, "", "the endpoint %s is an address that no control plane holds, of a load balancer; it is left as it is", at)
}
