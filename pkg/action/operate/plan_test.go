package operate

import (
	"reflect"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
)

// TestInside: what only cleans up is no part of a plan, and what is there says so.
func TestInside(t *testing.T) {
	p := Plan{Steps: []plan.Step{{ID: "image"}}}
	p.Inside([]v1alpha1.StepStatus{
		{ID: "promote/cp4", Title: "make it a control plane", Node: "cp4", After: []string{"upload"}, State: v1alpha1.StepSkipped, Message: "it is one"},
		{ID: "labels", Title: "label", State: v1alpha1.StepPending, Message: "not for people"},
		{ID: "clean-up", Cleanup: true},
	})
	want := []plan.Step{{ID: "image"},
		{ID: "promote/cp4", Title: "make it a control plane", Host: "cp4", After: []string{"upload"}, Skip: "it is one"},
		{ID: "labels", Title: "label"}}
	if !reflect.DeepEqual(p.Steps, want) {
		t.Errorf("%+v", p.Steps)
	}
}

func TestRefused(t *testing.T) {
	blocks, warns := nodes.Finding{Check: "quorum", Blocks: true}, nodes.Finding{Check: "etcd"}
	for name, tc := range map[string]struct {
		found []nodes.Finding
		want  string
	}{
		"nothing found":      {nil, ""},
		"a warning":          {[]nodes.Finding{warns}, ""},
		"one in the way":     {[]nodes.Finding{warns, blocks}, "1 blocking issue; nothing was changed"},
		"several in the way": {[]nodes.Finding{blocks, blocks}, "2 blocking issues; nothing was changed"},
	} {
		err := (&Plan{Findings: tc.found}).Refused()
		if tc.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || err.Error() != tc.want || action.KindOf(err) != action.Findings {
			t.Errorf("%s: %v of kind %q", name, err, action.KindOf(err))
		}
	}
}
