package repair

import (
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

func TestPlan(t *testing.T) {
	all := []v1alpha1.RepairFix{v1alpha1.RepairKubeProxy, v1alpha1.RepairClusterInfo, v1alpha1.RepairCoreDNS, v1alpha1.RepairUncordon}
	steps, err := Plan(&v1alpha1.RepairSpec{Fixes: all}, &v1alpha1.Cluster{})
	if err != nil || len(steps) != 5 {
		t.Fatalf("%v, %+v", err, steps)
	}
	known := Definition().Steps
	for i, s := range steps {
		if known[s.ID] == nil {
			t.Errorf("nothing carries out %s", s.ID)
		}
		if i > 0 && (len(s.After) != 1 || s.After[0] != steps[i-1].ID) {
			t.Errorf("%s comes after %v", s.ID, s.After)
		}
	}
	for _, spec := range []*v1alpha1.RepairSpec{nil, {}, {Fixes: []v1alpha1.RepairFix{"everything"}}} {
		if _, err := Plan(spec, &v1alpha1.Cluster{}); err == nil {
			t.Errorf("%+v is planned", spec)
		}
	}
}

// TestForeignEndpoint: what others keep is not repaired, even when an Operation asks for it.
func TestForeignEndpoint(t *testing.T) {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Endpoint: v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: "api.example:6443"}}}
	for fix, refused := range map[v1alpha1.RepairFix]bool{v1alpha1.RepairKubeProxy: true, v1alpha1.RepairClusterInfo: true, v1alpha1.RepairCoreDNS: true, v1alpha1.RepairUncordon: false} {
		_, err := Plan(&v1alpha1.RepairSpec{Fixes: []v1alpha1.RepairFix{fix}}, c)
		if (err != nil) != refused {
			t.Errorf("%s: %v", fix, err)
		}
	}
}
