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

// Endpoint is the stable address of the API, virtual IP and port; an IPv6
// address is in brackets.
func (c *Cluster) Endpoint() string { return c.APIServerAddress(c.Spec.VirtualIP) }

// EndpointURL is Endpoint's URL.
func (c *Cluster) EndpointURL() string { return c.APIServerURL(c.Spec.VirtualIP) }

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
