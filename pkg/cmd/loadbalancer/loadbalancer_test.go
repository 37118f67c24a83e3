package loadbalancer

import (
	"strings"
	"testing"
)

// TestLoadBalancerOptions: what can't be is refused before the cluster is asked.
func TestLoadBalancerOptions(t *testing.T) {
	for name, tc := range map[string]struct {
		o    loadBalancerOptions
		want string
	}{
		"another type":   {loadBalancerOptions{kind: "envoy"}, "--type envoy"},
		"another use":    {loadBalancerOptions{useFor: []string{"kubelet"}}, "--use-for kubelet"},
		"a port of root": {loadBalancerOptions{port: 443}, "--port 443"},
		"all well":       {loadBalancerOptions{kind: "nginx", port: 9443, useFor: []string{"kube-proxy", "kubelets"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tc.o.Yes = true
			err := tc.o.Validate()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%v instead of %q", err, tc.want)
			}
		})
	}
}
