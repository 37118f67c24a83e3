package incluster

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

func TestPutBackSince(t *testing.T) {
	at := func(minute int) *metav1.Time {
		when := metav1.NewTime(time.Unix(0, 0).Add(time.Duration(minute) * time.Minute))
		return &when
	}
	back := func(node string, attempt int32, minute int) v1alpha1.Operation {
		op := v1alpha1.Operation{Spec: v1alpha1.OperationSpec{RollbackNode: &v1alpha1.RollbackNodeSpec{Node: node}}}
		op.Status.Steps = []v1alpha1.StepStatus{{ID: "rollback/" + node, Node: node, Attempt: attempt, StartedAt: at(minute)}}
		return op
	}
	op := &v1alpha1.Operation{Spec: v1alpha1.OperationSpec{Upgrade: &v1alpha1.UpgradeSpec{}}}
	op.Status.Steps = []v1alpha1.StepStatus{
		{ID: "apply/cp1", Node: "cp1", State: v1alpha1.StepSucceeded, FinishedAt: at(10)},
		{ID: "vip-away/cp2", Node: "cp2", State: v1alpha1.StepSucceeded, FinishedAt: at(11)},
		{ID: "control-plane/cp2", Node: "cp2", State: v1alpha1.StepFailed, FinishedAt: at(12)},
	}
	for name, tc := range map[string]struct {
		other v1alpha1.Operation
		want  string
	}{
		"one that was done":          {back("cp1", 1, 20), "cp1"},
		"the one that failed":        {back("cp2", 1, 20), ""},
		"before its turn":            {back("cp1", 1, 5), ""},
		"refused before it did much": {back("cp1", 0, 20), ""},
		"no rollback":                {v1alpha1.Operation{}, ""},
	} {
		if got := putBackSince(op, []v1alpha1.Operation{*op, tc.other}); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
