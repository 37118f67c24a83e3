package v1alpha1

import (
	"strings"
	"testing"
)

// TestEndpoint: whose the endpoint is decides which settings there may be.
func TestEndpoint(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*ClusterSpec)
		at   string
		want string
	}{
		"ours":               {func(*ClusterSpec) {}, "192.0.2.100:6443", ""},
		"ours, said":         {func(s *ClusterSpec) { s.Endpoint.ManagedBy = EndpointOurs }, "192.0.2.100:6443", ""},
		"others' virtual IP": {func(s *ClusterSpec) { s.Endpoint.ManagedBy = EndpointOthers }, "192.0.2.100:6443", ""},
		"others' port":       {func(s *ClusterSpec) { s.Endpoint = Endpoint{ManagedBy: EndpointOthers, Address: "192.0.2.100:8443"} }, "192.0.2.100:8443", ""},
		"a name": {func(s *ClusterSpec) {
			s.VirtualIP, s.Endpoint = "", Endpoint{ManagedBy: EndpointOthers, Address: "api.example:443"}
		}, "api.example:443", ""},
		"IPv6": {func(s *ClusterSpec) {
			s.VirtualIP, s.Endpoint = "", Endpoint{ManagedBy: EndpointOthers, Address: "[FD00:0::1]:6443"}
		}, "[fd00::1]:6443", ""},
		"a node's own": {func(s *ClusterSpec) {
			s.VirtualIP, s.Endpoint = "", Endpoint{ManagedBy: EndpointOthers, Address: "192.0.2.1:6443"}
		}, "192.0.2.1:6443", ""},
		"neither":                   {func(s *ClusterSpec) { s.VirtualIP = "" }, ":6443", "spec.virtualIP"},
		"others', neither":          {func(s *ClusterSpec) { s.VirtualIP = ""; s.Endpoint.ManagedBy = EndpointOthers }, ":6443", "spec.virtualIP"},
		"an address of ours":        {func(s *ClusterSpec) { s.Endpoint.Address = "api.example:6443" }, "api.example:6443", "spec.endpoint.address"},
		"a former one":              {func(s *ClusterSpec) { s.Endpoint.Former = []FormerEndpoint{{Address: "api.example:443"}} }, "192.0.2.100:6443", ""},
		"a former one, no port":     {func(s *ClusterSpec) { s.Endpoint.Former = []FormerEndpoint{{Address: "api.example"}} }, "192.0.2.100:6443", "spec.endpoint.former[0].address"},
		"an unknown manager":        {func(s *ClusterSpec) { s.Endpoint.ManagedBy = "other" }, "192.0.2.100:6443", "did you mean others"},
		"no port":                   {func(s *ClusterSpec) { s.Endpoint = Endpoint{ManagedBy: EndpointOthers, Address: "api.example"} }, "api.example", "host:port"},
		"a port too high":           {func(s *ClusterSpec) { s.Endpoint = Endpoint{ManagedBy: EndpointOthers, Address: "api.example:70000"} }, "api.example:70000", "is no port"},
		"no host":                   {func(s *ClusterSpec) { s.Endpoint = Endpoint{ManagedBy: EndpointOthers, Address: ":6443"} }, ":6443", "neither a DNS name"},
		"settings of others":        {func(s *ClusterSpec) { s.Endpoint.ManagedBy = EndpointOthers; s.Keepalived.RouterID = 77 }, "192.0.2.100:6443", "spec.keepalived"},
		"a virtual IP of a node's":  {func(s *ClusterSpec) { s.Endpoint.ManagedBy, s.VirtualIP = EndpointOthers, "192.0.2.1" }, "192.0.2.1:6443", "address of host cp1"},
		"ours, in a file of before": {func(s *ClusterSpec) { s.Keepalived.RouterID = 50 }, "192.0.2.100:6443", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Cluster{Metadata: Metadata{Name: "x"}, Spec: ClusterSpec{KubernetesVersion: "v1.36.3", VirtualIP: "192.0.2.100",
				Hosts: []Host{{Name: "cp1", Address: "192.0.2.1", Roles: []Role{RoleControlPlane}}}}}
			tt.edit(&c.Spec)
			c.SetDefaults()
			errs, _ := c.Validate()
			text := ""
			if err := errs.Err(); err != nil {
				text = err.Error()
			}
			if tt.want == "" && text != "" || !strings.Contains(text, tt.want) || c.Endpoint() != tt.at {
				t.Errorf("at %s: %q, want at %s %q", c.Endpoint(), text, tt.at, tt.want)
			}
			if ours := c.KeepsVirtualIP(); ours != (c.Spec.LoadBalancer.Port != 0) || ours != (c.Spec.Keepalived.AdvertisementInterval != 0) {
				t.Errorf("defaults: %+v %+v", c.Spec.LoadBalancer, c.Spec.Keepalived)
			}
		})
	}
}

// TestEndpointOfOurs: documents of before are what they were.
func TestEndpointOfOurs(t *testing.T) {
	c := &Cluster{Spec: ClusterSpec{KubernetesVersion: "v1.36.3", VirtualIP: "192.0.2.100", Hosts: []Host{{Name: "cp1", Address: "192.0.2.1", Roles: []Role{RoleControlPlane}}}}}
	c.SetDefaults()
	text, err := Marshal(c)
	if err != nil || strings.Contains(string(text), "endpoint") || !strings.Contains(string(text), "routerID") {
		t.Errorf("%v\n%s", err, text)
	}
	if c.EndpointHost() != "192.0.2.100" || c.EndpointPort() != 6443 || !c.KeepsVirtualIP() || c.MovesVirtualIP() || c.EndpointIsLocal() {
		t.Errorf("%s %d", c.EndpointHost(), c.EndpointPort())
	}
}
