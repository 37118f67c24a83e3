package v1alpha1

import (
	"hash/fnv"
	"net"
	"strings"
)

// The defaults that are not plain from the types.
const (
	DefaultName                  = "kubernetes"
	DefaultAPIServerPort         = 6443
	DefaultLoadBalancerPort      = 8443
	DefaultAdvertisementInterval = 200 // milliseconds
	DefaultEtcdDataDir           = "/var/lib/etcd"
	DefaultDNSDomain             = "cluster.local"
	DefaultPodSubnet             = "10.244.0.0/16"
	DefaultServiceSubnet         = "10.96.0.0/12"
	DefaultPodSubnetIPv6         = "fd00:10:244::/56"
	DefaultServiceSubnetIPv6     = "fd00:10:96::/112"
	LoadBalancerHAProxy          = "haproxy"
	LoadBalancerNginx            = "nginx"
)

// SetDefaults fills in what the user left out, as the fields' comments say.
// Running it again changes nothing.
func (c *Cluster) SetDefaults() {
	s := &c.Spec
	c.APIVersion, c.Kind = APIVersion, ClusterKind
	text(&c.Metadata.Name, DefaultName)
	if s.KubernetesVersion != "" && !strings.HasPrefix(s.KubernetesVersion, "v") {
		s.KubernetesVersion = "v" + s.KubernetesVersion
	}
	if s.Etcd.Version != "" && !strings.HasPrefix(s.Etcd.Version, "v") {
		s.Etcd.Version = "v" + s.Etcd.Version
	}
	s.VirtualIP = canonical(s.VirtualIP)
	s.Endpoint.Address = canonicalEndpoint(s.Endpoint.Address)
	number(&s.APIServerPort, DefaultAPIServerPort)
	c.defaultHosts()
	c.defaultNetwork()
	if s.Etcd.Topology == "" {
		s.Etcd.Topology = EtcdExternal
	}
	text(&s.Etcd.DataDir, DefaultEtcdDataDir)
	if c.KeepsVirtualIP() {
		// Others' settings are not known here, and none are made up for them.
		number(&s.Keepalived.RouterID, routerID(c.Metadata.Name, s.VirtualIP))
		number(&s.Keepalived.AdvertisementInterval, DefaultAdvertisementInterval)
		text(&s.LoadBalancer.Type, LoadBalancerHAProxy)
		number(&s.LoadBalancer.Port, DefaultLoadBalancerPort)
	}
	s.Images.Mirror = strings.TrimRight(s.Images.Mirror, "/")
	s.Images.Registry = strings.TrimRight(s.Images.Registry, "/")
}

func (c *Cluster) defaultHosts() {
	etcd := false
	for i := range c.Spec.Hosts {
		h := &c.Spec.Hosts[i]
		h.Address = canonical(h.Address)
		if len(h.Roles) == 0 {
			h.Roles = []Role{RoleWorker}
		}
		etcd = etcd || h.Has(RoleEtcd)
	}
	if etcd || c.Stacked() {
		return
	}
	for i := range c.Spec.Hosts {
		if h := &c.Spec.Hosts[i]; h.Has(RoleControlPlane) {
			// A new slice, since the caller's may be shared between hosts.
			h.Roles = append(append([]Role(nil), h.Roles...), RoleEtcd)
		}
	}
}

func (c *Cluster) defaultNetwork() {
	n := &c.Spec.Network
	if n.Plugin == "" {
		n.Plugin = NetworkPluginFlannel
	}
	pods, services := DefaultPodSubnet, DefaultServiceSubnet
	if c.VIP().Is6() {
		pods, services = DefaultPodSubnetIPv6, DefaultServiceSubnetIPv6
	}
	text(&n.PodSubnet, pods)
	text(&n.ServiceSubnet, services)
	text(&n.DNSDomain, DefaultDNSDomain)
}

// routerID derives a VRRP router id from what tells clusters apart, so that two
// clusters in a subnet hardly ever share one; preflight notices when they do.
func routerID(name, vip string) int32 {
	h := fnv.New32a()
	// A hash's Write never fails.
	_, _ = h.Write([]byte(name + "\x00" + vip))
	return int32(h.Sum32()%255) + 1
}

// canonical writes an address as everybody else prints it, so that comparing
// text is comparing addresses. What is no address stays for Validate to refuse.
func canonical(text string) string {
	if a := addr(text); a.IsValid() {
		return a.String()
	}
	return text
}

// canonicalEndpoint is canonical for host:port.
func canonicalEndpoint(text string) string {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return text
	}
	return net.JoinHostPort(canonical(host), port)
}

func text(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

func number(field *int32, value int32) {
	if *field == 0 {
		*field = value
	}
}
