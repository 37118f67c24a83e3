package bootstrap

import (
	"net"
	"strconv"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestAnswering: hosts that are looked at before the cluster has its endpoint dial the one that it has.
func TestAnswering(t *testing.T) {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{VirtualIP: "10.0.0.100", Hosts: []v1alpha1.Host{{Name: "cp1", Address: "10.0.0.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}}}}
	c.SetDefaults()
	for at, want := range map[string]string{"": "10.0.0.100:6443", "10.0.0.1:6443": "10.0.0.1:6443", "api.example:443": "api.example:443"} {
		api, _ := targets(answering(AddConfig{Cluster: c, APIAt: at}), c.Spec.Hosts[0], nil)
		if got := net.JoinHostPort(api.Address, strconv.Itoa(int(api.Port))); got != want {
			t.Errorf("%q: %s, want %s", at, got, want)
		}
	}
	if c.Spec.Endpoint.Address != "" {
		t.Error("the document is changed")
	}
}
