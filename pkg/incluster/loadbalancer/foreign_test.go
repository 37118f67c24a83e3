package loadbalancer

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestForeignEndpoint: a load balancer on the control planes is for clients that find it there.
func TestForeignEndpoint(t *testing.T) {
	for name, tt := range map[string]struct{ virtualIP, address, want string }{
		"a virtual IP of others": {"192.0.2.100", "", ""},
		"its port is taken":      {"192.0.2.100", "192.0.2.100:8443", "8443 is the port of the endpoint"},
		"a name":                 {"", "api.example:6443", "would not find a load balancer"},
		"localhost":              {"", "localhost:6443", "would not find a load balancer"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{VirtualIP: tt.virtualIP, Endpoint: v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: tt.address},
				Hosts: []v1alpha1.Host{{Name: "cp1", Address: "192.0.2.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}}}}
			c.SetDefaults()
			op := &v1alpha1.Operation{Spec: v1alpha1.OperationSpec{LoadBalancer: &v1alpha1.LoadBalancerSpec{Type: "haproxy", Port: 8443}}}
			_, err := Plan(op, c)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "next:")) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
