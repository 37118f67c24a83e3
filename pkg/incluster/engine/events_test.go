package engine

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

func TestHappenings(t *testing.T) {
	const (
		none, pending, running, paused    = v1alpha1.OperationPhase(""), v1alpha1.OperationPending, v1alpha1.OperationRunning, v1alpha1.OperationPaused
		succeeded, hasFailed, wasAborted  = v1alpha1.OperationSucceeded, v1alpha1.OperationFailed, v1alpha1.OperationAborted
		begunNot, begins, endedWell, ends = v1alpha1.StepPending, v1alpha1.StepRunning, v1alpha1.StepSucceeded, v1alpha1.StepFailed
	)
	status := func(phase v1alpha1.OperationPhase, state v1alpha1.StepState, attempt int32) v1alpha1.OperationStatus {
		return v1alpha1.OperationStatus{Phase: phase, Message: "all said", Steps: []v1alpha1.StepStatus{
			{ID: "a/n1", Node: "n1", State: state, Attempt: attempt, Message: "it broke\nnext: mend it\noutput"}, {ID: "b", State: begunNot},
		}}
	}
	aborted, deleted := v1alpha1.OperationSpec{Aborted: true}, metav1.NewTime(time.Unix(0, 0))
	for name, c := range map[string]struct {
		old, new v1alpha1.OperationStatus
		spec     v1alpha1.OperationSpec
		deleted  *metav1.Time
		want     string
	}{
		"taken up":              {old: v1alpha1.OperationStatus{}, new: status(pending, begunNot, 0)},
		"begun":                 {old: status(pending, begunNot, 0), new: status(running, begins, 1), want: "Normal Start Started: all said"},
		"a step ends well":      {old: status(running, begins, 1), new: status(running, endedWell, 1)},
		"progress":              {old: status(running, begins, 1), new: status(running, begins, 1)},
		"paused":                {old: status(running, begins, 1), new: status(paused, endedWell, 1), want: "Normal Pause Paused: all said"},
		"paused at once":        {old: status(pending, begunNot, 0), new: status(paused, begunNot, 0), want: "Normal Pause Paused: all said"},
		"goes on":               {old: status(paused, endedWell, 1), new: status(running, endedWell, 1), want: "Normal Resume Resumed: all said"},
		"goes on, nothing done": {old: status(paused, begunNot, 0), new: status(running, begins, 1), want: "Normal Resume Resumed: all said"},
		"tried again":           {old: status(pending, begunNot, 1), new: status(running, begins, 2), want: "Normal Resume Resumed: all said"},
		"aborted when paused":   {old: status(paused, begunNot, 0), new: status(running, begins, 1), spec: aborted, want: "Normal Abort Aborting: all said"},
		"given up":              {old: status(pending, ends, 1), new: status(running, ends, 1), spec: aborted, want: "Normal Abort Aborting: all said"},
		"deleted":               {old: status(pending, begunNot, 0), new: status(running, begins, 1), deleted: &deleted, want: "Normal Abort Aborting: all said"},
		"a step fails":          {old: status(running, begins, 1), new: status(running, ends, 1), want: "Warning RunStep StepFailed at n1: a/n1: it broke\nnext: mend it"},
		"a step has failed":     {old: status(running, ends, 1), new: status(running, ends, 1)},
		"fails once more":       {old: status(running, ends, 1), new: status(running, ends, 2), want: "Warning RunStep StepFailed at n1: a/n1: it broke\nnext: mend it"},
		"fails and ends":        {old: status(running, begins, 1), new: status(hasFailed, ends, 1), want: "Warning RunStep StepFailed at n1: a/n1: it broke\nnext: mend it; Warning Finish Failed: all said"},
		"fails, unseen":         {old: v1alpha1.OperationStatus{}, new: status(hasFailed, ends, 1), want: "Warning RunStep StepFailed at n1: a/n1: it broke\nnext: mend it; Warning Finish Failed: all said"},
		"no plan":               {old: v1alpha1.OperationStatus{Phase: pending}, new: v1alpha1.OperationStatus{Phase: hasFailed, Message: "no plan"}, want: "Warning Finish Failed: no plan"},
		"completed":             {old: status(running, begins, 1), new: status(succeeded, endedWell, 1), want: "Normal Finish Completed: all said"},
		"aborted":               {old: status(running, begins, 1), new: status(wasAborted, endedWell, 1), spec: aborted, want: "Normal Finish Aborted: all said"},
		"nothing":               {old: status(none, begunNot, 0), new: status(none, begunNot, 0)},
	} {
		op := &v1alpha1.Operation{Spec: c.spec, Status: c.new}
		op.DeletionTimestamp = c.deleted
		var got []string
		for _, h := range happenings(c.old, op) {
			where := ""
			if h.node != "" {
				where = " at " + h.node
			}
			got = append(got, h.kind+" "+h.action+" "+h.reason+where+": "+h.note)
		}
		if all := strings.Join(got, "; "); all != c.want {
			t.Errorf("%s: got %q, want %q", name, all, c.want)
		}
	}
}

// TestEventIsInBounds: whatever the names and texts are, the API takes it.
func TestEventIsInBounds(t *testing.T) {
	op := &v1alpha1.Operation{}
	for _, op.Name = range []string{"join-x", strings.Repeat("a", 199) + "." + strings.Repeat("b", 53), strings.Repeat("a-", 126) + "a"} {
		e := event(op, strings.Repeat("i", 253), happening{note: strings.Repeat("é", 2000)}, time.Unix(1, 2))
		if problems := validation.IsDNS1123Subdomain(e.Name); len(problems) > 0 {
			t.Errorf("its name is %q: %v", e.Name, problems)
		}
		if len(e.Note) > 1024 || len(e.ReportingInstance) > 128 || e.Namespace != "default" {
			t.Errorf("%+v", e)
		}
		if other := event(op, "i", happening{}, time.Unix(1, 3)); other.Name == e.Name {
			t.Errorf("two have the name %s", e.Name)
		}
	}
}
