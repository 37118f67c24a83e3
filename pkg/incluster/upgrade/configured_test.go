package upgrade

import "testing"

func TestGoesBackTo(t *testing.T) {
	for name, tc := range map[string]struct {
		configured string
		servers    map[string]string
		want       string
	}{
		"the only one":               {"v1.36.3", map[string]string{"cp1": "v1.36.3", "cp2": "v1.35.4", "cp3": "v1.35.4"}, "v1.35.4"},
		"not the only one":           {"v1.36.3", map[string]string{"cp1": "v1.36.3", "cp2": "v1.36.3", "cp3": "v1.35.4"}, ""},
		"before kubeadm had written": {"v1.35.4", map[string]string{"cp1": "v1.36.3", "cp2": "v1.35.4"}, ""},
		"others between":             {"v1.36.3", map[string]string{"cp1": "v1.36.3", "cp2": "v1.36.1", "cp3": "v1.35.4"}, "v1.36.1"},
		"alone":                      {"v1.36.3", map[string]string{"cp1": "v1.36.3"}, "v1.35.4"},
		"others without a pod":       {"v1.36.3", map[string]string{"cp1": "v1.36.3", "cp2": ""}, "v1.35.4"},
	} {
		o := Observation{Configured: tc.configured, Nodes: map[string]Node{"w1": {}}}
		for name, v := range tc.servers {
			o.Nodes[name] = Node{ControlPlane: true, Static: map[string]string{apiserver: v}}
		}
		if got := goesBackTo(o, "cp1", "v1.35.4"); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
