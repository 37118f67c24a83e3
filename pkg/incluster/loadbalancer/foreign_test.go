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

// TestForeignUsers: kube-proxy and cluster-info of others are written only where they are to use
// the load balancer, or do so.
func TestForeignUsers(t *testing.T) {
	proxy, kubelets := v1alpha1.UseForKubeProxy, v1alpha1.UseForKubelets
	type uses = []v1alpha1.LoadBalancerUse
	for name, tt := range map[string]struct {
		have, want uses
		steps      string
		removal    string
	}{
		"nobody":                  {nil, nil, "", ""},
		"kube-proxy is to":        {nil, uses{proxy}, stepKubeProxy, ""},
		"kubelets are to":         {nil, uses{kubelets}, stepClusterInfo, ""},
		"kube-proxy does still":   {uses{proxy}, uses{proxy}, stepKubeProxy, stepKubeProxy},
		"kube-proxy not any more": {uses{proxy}, nil, stepKubeProxy, stepKubeProxy},
		"both did":                {uses{proxy, kubelets}, uses{kubelets}, stepKubeProxy + " " + stepClusterInfo, stepKubeProxy + " " + stepClusterInfo},
	} {
		t.Run(name, func(t *testing.T) {
			c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{VirtualIP: "192.0.2.100", Endpoint: v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers},
				Hosts: []v1alpha1.Host{{Name: "cp1", Address: "192.0.2.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}}}}
			c.SetDefaults()
			if tt.have != nil {
				c.Spec.LoadBalancer = v1alpha1.LoadBalancer{Type: "haproxy", Port: 8443, Enabled: true, UseFor: tt.have}
			}
			op := &v1alpha1.Operation{Spec: v1alpha1.OperationSpec{LoadBalancer: &v1alpha1.LoadBalancerSpec{Type: "haproxy", Port: 8443, UseFor: tt.want}}}
			installed, err := Plan(op, c)
			if err != nil {
				t.Fatal(err)
			}
			for what, p := range map[string]struct {
				steps []v1alpha1.StepStatus
				want  string
			}{"install": {installed, tt.steps}, "remove": {PlanRemove(c), tt.removal}} {
				var got []string
				for _, s := range p.steps {
					if s.ID == stepKubeProxy || s.ID == stepClusterInfo {
						got = append(got, s.ID)
					}
				}
				if text := strings.Join(got, " "); text != p.want {
					t.Errorf("%s: %q, want %q", what, text, p.want)
				}
			}
		})
	}
}
