package operations

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// kstatus is what Flux and others take an object of a type that they don't know for, by the rules of
// https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus: in this order, one that is
// deleted is Terminating; one whose observed generation, if it has one, is not the object's is
// InProgress; the first condition Reconciling or Stalled that is True makes it InProgress or
// Failed; all else is Current.
func kstatus(op *v1alpha1.Operation) string {
	if op.DeletionTimestamp != nil {
		return "Terminating"
	}
	if seen := op.Status.ObservedGeneration; seen != 0 && seen != op.Generation {
		return "InProgress"
	}
	for _, c := range op.Status.Conditions {
		switch {
		case c.Type == "Reconciling" && c.Status == metav1.ConditionTrue:
			return "InProgress"
		case c.Type == "Stalled" && c.Status == metav1.ConditionTrue:
			return "Failed"
		}
	}
	return "Current"
}

// conditions writes them so that they can be compared: those that are True with their reason, and
// those that are False, by a sign.
func conditions(all []metav1.Condition) string {
	var out []string
	for _, c := range all {
		if c.Status == metav1.ConditionTrue {
			out = append(out, c.Type+"="+c.Reason)
		} else {
			out = append(out, "!"+c.Type)
		}
	}
	return strings.Join(out, " ")
}

func TestConditions(t *testing.T) {
	step := func(id string, state v1alpha1.StepState, message string) v1alpha1.StepStatus {
		return v1alpha1.StepStatus{ID: id, State: state, Message: message}
	}
	given := v1alpha1.OperationStatus{Phase: v1alpha1.OperationFailed, Message: "b: it broke", Steps: []v1alpha1.StepStatus{
		step("a", succeeded, ""), step("b", failed, "it broke\nnext: mend it\noutput"), step("c", failed, "so did it"),
		{ID: "clean", State: succeeded, Cleanup: true, Attempt: 1},
	}}
	status := func(phase v1alpha1.OperationPhase, message string, steps ...v1alpha1.StepStatus) v1alpha1.OperationStatus {
		return v1alpha1.OperationStatus{Phase: phase, Message: message, Steps: steps}
	}
	broken := step("b", failed, "it broke")
	for name, c := range map[string]struct {
		spec    v1alpha1.OperationSpec
		status  v1alpha1.OperationStatus
		deleted bool
		want    string
		message string
		kstatus string
	}{
		"new":                {want: "!Complete !Failed !Paused Reconciling=Pending", message: "waits for its coordinator", kstatus: "InProgress"},
		"pending":            {status: status(v1alpha1.OperationPending, "waits for its turn"), want: "!Complete !Failed !Paused Reconciling=Pending", message: "waits for its turn", kstatus: "InProgress"},
		"running":            {status: status(v1alpha1.OperationRunning, "a", step("a", running, "")), want: "!Complete !Failed !Paused Reconciling=Running", message: "a", kstatus: "InProgress"},
		"running, to pause":  {spec: v1alpha1.OperationSpec{Paused: true}, status: status(v1alpha1.OperationRunning, "pausing"), want: "!Complete !Failed !Paused Reconciling=Pausing", message: "pausing", kstatus: "InProgress"},
		"running, to abort":  {spec: v1alpha1.OperationSpec{Aborted: true, Paused: true}, status: status(v1alpha1.OperationRunning, "aborting", broken), want: "!Complete !Failed !Paused Reconciling=Aborting", message: "aborting", kstatus: "InProgress"},
		"running, deleted":   {deleted: true, status: status(v1alpha1.OperationRunning, "aborting"), want: "!Complete !Failed !Paused Reconciling=Aborting", message: "aborting", kstatus: "Terminating"},
		"running, it failed": {status: status(v1alpha1.OperationRunning, "a step failed", broken, step("c", running, "")), want: "!Complete !Failed !Paused Reconciling=Failing", message: "a step failed", kstatus: "InProgress"},
		"paused":             {spec: v1alpha1.OperationSpec{Paused: true}, status: status(v1alpha1.OperationPaused, "paused"), want: "!Complete !Failed Paused=Paused Reconciling=Paused", message: "paused", kstatus: "InProgress"},
		"succeeded":          {status: status(v1alpha1.OperationSucceeded, "all 3 steps done"), want: "Complete=Succeeded !Failed !Paused", message: "all 3 steps done", kstatus: "Current"},
		"failed":             {status: given, want: "!Complete Failed=StepFailed !Paused Stalled=StepFailed", message: "b: it broke; c: so did it", kstatus: "Failed"},
		"no plan":            {status: status(v1alpha1.OperationFailed, "no plan could be made: no host"), want: "!Complete Failed=PlanFailed !Paused Stalled=PlanFailed", message: "no plan could be made: no host", kstatus: "Failed"},
		"a plan with a bug":  {status: status(v1alpha1.OperationFailed, "never", step("a", pending, "")), want: "!Complete Failed=StepsUnreachable !Paused Stalled=StepsUnreachable", message: "never", kstatus: "Failed"},
		"aborted":            {spec: v1alpha1.OperationSpec{Aborted: true}, status: status(v1alpha1.OperationAborted, "aborted, steps done: 1/4", broken), want: "!Complete Failed=Aborted !Paused Stalled=Aborted", message: "aborted, steps done: 1/4", kstatus: "Failed"},
		"given up":           {spec: v1alpha1.OperationSpec{Aborted: true}, status: CleanAgain(given), want: "!Complete !Failed !Paused Reconciling=Aborting", message: "aborted, waiting for its coordinator", kstatus: "InProgress"},
		"resumed":            {status: Retry(given), want: "!Complete !Failed !Paused Reconciling=Pending", message: "resumed, waiting for its coordinator", kstatus: "InProgress"},
	} {
		t.Run(name, func(t *testing.T) {
			op := &v1alpha1.Operation{Spec: c.spec, Status: c.status}
			op.Generation = 3
			if c.deleted {
				op.DeletionTimestamp = when(0)
			}
			got := Conditions(op, *when(1))
			if conditions(got) != c.want {
				t.Errorf("got %s, want %s", conditions(got), c.want)
			}
			for _, one := range got {
				if one.Status == metav1.ConditionTrue && one.Message != c.message {
					t.Errorf("%s is %q, want %q", one.Type, one.Message, c.message)
				}
				if one.Status == metav1.ConditionFalse && one.Message != "" || one.Reason == "" || one.ObservedGeneration != 3 || !one.LastTransitionTime.Equal(when(1)) {
					t.Errorf("%+v", one)
				}
			}
			op.Status.Conditions, op.Status.ObservedGeneration = got, op.Generation
			if kstatus(op) != c.kstatus {
				t.Errorf("it is %s, want %s", kstatus(op), c.kstatus)
			}
			// Once more, later: nothing has changed.
			if again := Conditions(op, *when(9)); !slices.Equal(again, got) {
				t.Errorf("once more they are %+v", again)
			}
		})
	}
}

// TestConditionsAlong: a condition has the time of its last change, whatever becomes of the others.
func TestConditionsAlong(t *testing.T) {
	op := &v1alpha1.Operation{}
	op.Generation, op.Status.ObservedGeneration = 1, -1
	if kstatus(op) != "InProgress" {
		t.Errorf("one that nobody has seen is %s", kstatus(op))
	}
	for second, c := range []struct {
		phase v1alpha1.OperationPhase
		want  map[string]int
	}{
		{v1alpha1.OperationPending, map[string]int{"Complete": 0, "Failed": 0, "Paused": 0, "Reconciling": 0}},
		{v1alpha1.OperationRunning, map[string]int{"Complete": 0, "Failed": 0, "Paused": 0, "Reconciling": 0}},
		{v1alpha1.OperationPaused, map[string]int{"Complete": 0, "Failed": 0, "Paused": 2, "Reconciling": 0}},
		{v1alpha1.OperationRunning, map[string]int{"Complete": 0, "Failed": 0, "Paused": 3, "Reconciling": 0}},
		{v1alpha1.OperationFailed, map[string]int{"Complete": 0, "Failed": 4, "Paused": 3, "Stalled": 4}},
		{v1alpha1.OperationPending, map[string]int{"Complete": 0, "Failed": 5, "Paused": 3, "Reconciling": 5}},
		{v1alpha1.OperationSucceeded, map[string]int{"Complete": 6, "Failed": 5, "Paused": 3}},
	} {
		op.Status.Phase, op.Status.Message = c.phase, "message of "+string(c.phase)
		before := slices.Clone(op.Status.Conditions)
		got := Conditions(op, *when(second))
		if !slices.Equal(before, op.Status.Conditions) {
			t.Fatalf("%s: the Operation was changed", c.phase)
		}
		op.Status.Conditions = got
		if len(got) != len(c.want) {
			t.Errorf("%s: %s", c.phase, conditions(got))
		}
		for kind, at := range c.want {
			one := meta.FindStatusCondition(got, kind)
			if one == nil || !one.LastTransitionTime.Equal(when(at)) {
				t.Errorf("%s: %s is %+v, want one of second %d", c.phase, kind, one, at)
			}
		}
	}
}

func TestConditionMessageIsBounded(t *testing.T) {
	var steps []v1alpha1.StepStatus
	for range 5000 {
		steps = append(steps, v1alpha1.StepStatus{ID: "a", State: failed, Message: strings.Repeat("é", 7)})
	}
	for _, op := range []*v1alpha1.Operation{
		{Status: v1alpha1.OperationStatus{Phase: v1alpha1.OperationFailed, Steps: steps}},
		{Status: v1alpha1.OperationStatus{Phase: v1alpha1.OperationRunning, Message: strings.Repeat("€", 1000)}},
		{Status: v1alpha1.OperationStatus{Phase: v1alpha1.OperationRunning, Message: strings.Repeat("\x80", 2000)}},
	} {
		for _, c := range Conditions(op, metav1.NewTime(time.Unix(0, 0))) {
			if len(c.Message) > v1alpha1.MaxConditionMessage {
				t.Errorf("%s has %d bytes", c.Type, len(c.Message))
			}
			if c.Status == metav1.ConditionTrue && !utf8.ValidString(c.Message) {
				t.Errorf("%s is cut within a character: %q", c.Type, c.Message)
			}
		}
	}
}
