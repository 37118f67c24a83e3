package incluster

import (
	"fmt"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestAPIEnv: coordinators reach the API where the cluster's endpoint is, whoever keeps that;
// localhost leads nowhere from a pod.
func TestAPIEnv(t *testing.T) {
	for name, tt := range map[string]struct {
		endpoint v1alpha1.Endpoint
		want     string
	}{
		"ours":      {v1alpha1.Endpoint{}, "192.0.2.100 6443"},
		"a name":    {v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: "api.example:443"}, "api.example 443"},
		"IPv6":      {v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: "[fd00::1]:6443"}, "fd00::1 6443"},
		"localhost": {v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: "localhost:6443"}, ""},
		"loopback":  {v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: "127.0.0.1:6443"}, ""},
	} {
		c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{VirtualIP: "192.0.2.100", APIServerPort: 6443, Endpoint: tt.endpoint}}
		got := ""
		if env := APIEnv(c); len(env) == 2 {
			got = fmt.Sprint(env[0].Value, " ", env[1].Value)
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
