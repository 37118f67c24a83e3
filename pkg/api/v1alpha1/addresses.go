package v1alpha1

import (
	"net"
	"net/netip"
	"strconv"
)

// Addr is the host's address; the zero Addr, which is not valid and equal to no address, when
// it is none, which Validate refuses.
func (h Host) Addr() netip.Addr { return addr(h.Address) }

// VIP is the virtual IP; the zero Addr as Host.Addr has it.
func (c *Cluster) VIP() netip.Addr { return addr(c.Spec.VirtualIP) }

func addr(text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}

// APIServerAddress is host:port of the apiserver at a host's address, in brackets where it is an
// IPv6 one.
func (c *Cluster) APIServerAddress(host string) string {
	port := c.Spec.APIServerPort
	if port == 0 {
		port = DefaultAPIServerPort
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// APIServerURL is the URL of the apiserver at a host's address.
func (c *Cluster) APIServerURL(host string) string { return "https://" + c.APIServerAddress(host) }

// Endpoint is host:port under which the API is always reached: virtual IP and port, an
// IPv6 address in brackets, unless others keep an endpoint elsewhere.
func (c *Cluster) Endpoint() string {
	if c.Spec.Endpoint.Address != "" {
		return c.Spec.Endpoint.Address
	}
	return c.APIServerAddress(c.Spec.VirtualIP)
}

// EndpointURL is Endpoint's URL.
func (c *Cluster) EndpointURL() string { return "https://" + c.Endpoint() }

// EndpointHost is the endpoint's address or name, without its port.
func (c *Cluster) EndpointHost() string {
	host, _ := c.endpoint()
	return host
}

// EndpointPort is the endpoint's port.
func (c *Cluster) EndpointPort() int32 {
	_, port := c.endpoint()
	return port
}

// endpoint takes Endpoint apart. What is no host:port, which Validate refuses, has no port.
func (c *Cluster) endpoint() (host string, port int32) {
	host, number, err := net.SplitHostPort(c.Endpoint())
	if err != nil {
		return c.Endpoint(), 0
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil {
		return host, 0
	}
	return host, int32(n)
}

// KeepsVirtualIP tells whether kubectl-ha keeps the virtual IP. Where it does not, no
// step moves it, looks who has it, or tells keepalived anything.
func (c *Cluster) KeepsVirtualIP() bool { return c.Spec.Endpoint.ManagedBy != EndpointOthers }

// Adopted tells whether others have made the cluster: kubectl-ha does not keep its endpoint, or did
// not until it was converted.
func (c *Cluster) Adopted() bool { return !c.KeepsVirtualIP() || len(c.Spec.Endpoint.Former) > 0 }

// MovesVirtualIP tells whether the virtual IP can be moved away from a control plane, for
// what restarts its apiserver: it is kubectl-ha's, and there is somewhere to go.
func (c *Cluster) MovesVirtualIP() bool { return c.KeepsVirtualIP() && len(c.ControlPlanes()) > 1 }

// EndpointIsLocal tells whether the endpoint is each host's own: localhost, where nothing
// or a proxy on every host answers.
func (c *Cluster) EndpointIsLocal() bool { return IsLocal(c.EndpointHost()) }

// IsLocal tells whether a name or address is each host's own.
func IsLocal(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// URLFor is EndpointFor's URL.
func (c *Cluster) URLFor(use LoadBalancerUse) string { return "https://" + c.EndpointFor(use) }

// BalancedURL is BalancedEndpoint's URL.
func (c *Cluster) BalancedURL() string { return "https://" + c.BalancedEndpoint() }

// EtcdAddress is host:port of the host's etcd member, for clients.
func (h Host) EtcdAddress() string {
	return net.JoinHostPort(h.Address, strconv.Itoa(EtcdClientPort))
}

// EtcdURL is EtcdAddress's URL.
func (h Host) EtcdURL() string { return "https://" + h.EtcdAddress() }

// EtcdEndpoints are the client URLs of all etcd members, in the file's order.
func (c *Cluster) EtcdEndpoints() []string {
	var out []string
	for _, h := range c.EtcdMembers() {
		out = append(out, h.EtcdURL())
	}
	return out
}
