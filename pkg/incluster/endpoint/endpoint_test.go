package endpoint

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// cluster has three control planes and the endpoint of others that is given; none: our virtual IP.
func cluster(virtualIP, address string) *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{KubernetesVersion: "v1.36.3", VirtualIP: virtualIP, Hosts: []v1alpha1.Host{
		{Name: "cp1", Address: "192.0.2.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}},
		{Name: "cp2", Address: "192.0.2.2", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}},
	}}}
	if address != "ours" {
		c.Spec.Endpoint = v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: address}
	}
	c.SetDefaults()
	return c
}

// TestCost: each kind of endpoint is told apart, and the plan says what a restart costs there.
func TestCost(t *testing.T) {
	for _, tt := range []struct {
		name, virtualIP, address string
		kind                     Kind
		first, second            string
	}{
		{"ours", "192.0.2.100", "ours", Ours, "", ""},
		{"keepalived by hand", "192.0.2.100", "", VirtualIP, "192.0.2.100:6443 is not kubectl ha's", "while it is on cp2"},
		{"a virtual IP on a load balancer's port", "192.0.2.100", "192.0.2.100:8443", VirtualIP, "192.0.2.100:8443 is not", "notices by itself"},
		{"a name", "", "api.example.com:6443", Elsewhere, "api.example.com:6443 is not kubectl ha's", "until it does"},
		{"a name for a virtual IP", "192.0.2.100", "api.example.com:6443", Elsewhere, "notices by itself", "notices by itself"},
		{"a load balancer's address", "", "198.51.100.7:443", Elsewhere, "198.51.100.7:443", "can fail"},
		{"a node's own address", "", "192.0.2.1:6443", Node, "all requests fail until", "own address of cp1, where requests go on"},
		{"a node's own name", "", "cp2:6443", Node, "where requests go on", "all requests fail until"},
		{"localhost", "", "localhost:6443", Local, "requests from cp1 fail", "requests from cp2 fail"},
		{"the loopback", "", "127.0.0.1:6443", Local, "each host's own", "each host's own"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := cluster(tt.virtualIP, tt.address)
			if errs, _ := c.Validate(); len(errs) > 0 {
				t.Errorf("its document is refused: %v", errs)
			}
			if got := Of(c); got != tt.kind {
				t.Errorf("%s, want %s", got, tt.kind)
			}
			for node, want := range map[string]string{"cp1": tt.first, "cp2": tt.second} {
				if got := Cost(c, node); want == "" != (got == "") || !strings.Contains(got, want) {
					t.Errorf("%s: %q, want %q", node, got, want)
				}
				if got := Restart(c, node); (got == "") != (tt.kind == Ours) {
					t.Errorf("%s: %q", node, got)
				}
			}
		})
	}
}
