package repair

import (
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

func TestPlan(t *testing.T) {
	all := []v1alpha1.RepairFix{v1alpha1.RepairKubeProxy, v1alpha1.RepairClusterInfo, v1alpha1.RepairCoreDNS, v1alpha1.RepairUncordon}
	steps, err := Plan(&v1alpha1.RepairSpec{Fixes: all})
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
		if _, err := Plan(spec); err == nil {
			t.Errorf("%+v is planned", spec)
		}
	}
}
