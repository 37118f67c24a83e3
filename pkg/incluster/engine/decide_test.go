package engine

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

func TestDecide(t *testing.T) {
	const p, r, ok, f, s = v1alpha1.StepPending, v1alpha1.StepRunning, v1alpha1.StepSucceeded, v1alpha1.StepFailed, v1alpha1.StepSkipped
	// a → b, c → d; clean-up x → y.
	operation := func(states ...v1alpha1.StepState) *v1alpha1.Operation {
		steps := []v1alpha1.StepStatus{
			{ID: "a"}, {ID: "b", After: []string{"a"}}, {ID: "c", After: []string{"a"}},
			{ID: "d", After: []string{"b", "c"}}, {ID: "x", Cleanup: true}, {ID: "y", Cleanup: true, After: []string{"x", "d"}},
		}
		for i := range steps {
			steps[i].State = states[i]
		}
		return &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "op"}, Status: v1alpha1.OperationStatus{Steps: steps}}
	}
	paused := func(op *v1alpha1.Operation) { op.Spec.Paused = true }
	aborted := func(op *v1alpha1.Operation) { op.Spec.Aborted = true }
	deleted := func(op *v1alpha1.Operation) { t := metav1.Now(); op.DeletionTimestamp = &t }
	for name, c := range map[string]struct {
		op        *v1alpha1.Operation
		with      func(*v1alpha1.Operation)
		start     string
		interrupt string
		phase     v1alpha1.OperationPhase
		message   string
	}{
		"begin":                      {op: operation(p, p, p, p, p, p), start: "a", phase: v1alpha1.OperationRunning, message: "a"},
		"waits":                      {op: operation(r, p, p, p, p, p), phase: v1alpha1.OperationRunning, message: "a"},
		"side by side":               {op: operation(ok, p, p, p, p, p), start: "b c", phase: v1alpha1.OperationRunning, message: "b, c"},
		"one of two":                 {op: operation(ok, r, ok, p, p, p), phase: v1alpha1.OperationRunning, message: "b"},
		"skipped counts as done":     {op: operation(s, ok, s, p, p, p), start: "d", phase: v1alpha1.OperationRunning},
		"clean-up":                   {op: operation(ok, ok, ok, ok, p, p), start: "x", phase: v1alpha1.OperationRunning},
		"clean-up goes on":           {op: operation(ok, ok, ok, ok, ok, p), start: "y", phase: v1alpha1.OperationRunning},
		"clean-up runs":              {op: operation(ok, ok, ok, ok, ok, r), phase: v1alpha1.OperationRunning},
		"done":                       {op: operation(ok, ok, ok, ok, ok, ok), phase: v1alpha1.OperationSucceeded, message: "all 6 steps done"},
		"a failed clean-up":          {op: operation(ok, ok, ok, ok, f, p), start: "y", phase: v1alpha1.OperationRunning},
		"ends as failed":             {op: operation(ok, ok, ok, ok, f, ok), phase: v1alpha1.OperationFailed, message: "x: "},
		"failure waits for others":   {op: operation(ok, f, r, p, p, p), interrupt: "c", phase: v1alpha1.OperationRunning, message: "a step failed"},
		"failure cleans up":          {op: operation(ok, f, ok, p, p, p), start: "x", phase: v1alpha1.OperationRunning},
		"failed":                     {op: operation(ok, f, ok, p, ok, ok), phase: v1alpha1.OperationFailed, message: "b: "},
		"pausing":                    {op: operation(ok, r, p, p, p, p), with: paused, phase: v1alpha1.OperationRunning, message: "pausing, still running: b"},
		"paused":                     {op: operation(ok, ok, p, p, p, p), with: paused, phase: v1alpha1.OperationPaused, message: "paused"},
		"paused too late":            {op: operation(ok, ok, ok, ok, p, p), with: paused, start: "x", phase: v1alpha1.OperationRunning},
		"paused after a failure":     {op: operation(ok, f, ok, p, p, p), with: paused, start: "x", phase: v1alpha1.OperationRunning},
		"aborted before it began":    {op: operation(p, p, p, p, p, p), with: aborted, start: "x", phase: v1alpha1.OperationRunning},
		"aborting":                   {op: operation(ok, r, p, p, p, p), with: aborted, interrupt: "b", phase: v1alpha1.OperationRunning, message: "aborting"},
		"aborted":                    {op: operation(ok, ok, p, p, ok, ok), with: aborted, phase: v1alpha1.OperationAborted, message: "aborted, steps done: 4/6"},
		"aborted after a failure":    {op: operation(ok, f, p, p, ok, ok), with: aborted, phase: v1alpha1.OperationAborted},
		"deleted is aborted":         {op: operation(ok, ok, p, p, p, p), with: deleted, start: "x", phase: v1alpha1.OperationRunning},
		"aborted without a plan":     {op: &v1alpha1.Operation{}, with: aborted, phase: v1alpha1.OperationAborted, message: "aborted, steps done: none"},
		"stuck, by a mistaken plan":  {op: &v1alpha1.Operation{Status: v1alpha1.OperationStatus{Steps: []v1alpha1.StepStatus{{ID: "a", After: []string{"b"}, State: p}}}}, phase: v1alpha1.OperationFailed, message: "the plan"},
		"paused and aborted is over": {op: operation(ok, ok, p, p, ok, ok), with: func(op *v1alpha1.Operation) { paused(op); aborted(op) }, phase: v1alpha1.OperationAborted},
	} {
		t.Run(name, func(t *testing.T) {
			if c.with != nil {
				c.with(c.op)
			}
			d := decide(c.op, "", surroundings{})
			if got := strings.Join(d.start, " "); got != c.start {
				t.Errorf("starts %q, want %q", got, c.start)
			}
			if got := strings.Join(d.interrupt, " "); got != c.interrupt {
				t.Errorf("interrupts %q, want %q", got, c.interrupt)
			}
			if d.phase != c.phase || !strings.HasPrefix(d.message, c.message) {
				t.Errorf("phase is %s (%s), want %s (%s…)", d.phase, d.message, c.phase, c.message)
			}
		})
	}
}

func TestJobName(t *testing.T) {
	long := strings.Repeat("very-long-node-name.", 12)
	names := []string{
		JobName("join-x7", "promote/cp2", 1), JobName("join-x7", "promote/cp2", 2), JobName("join-x7", "promote/cp3", 1),
		// What sanitising or cutting makes the same is still different.
		JobName("join-x7", "promote/cp.2", 1), JobName("join-x7", "promote/cp-2", 1),
		JobName("join-x7", "promote/"+long+"a", 1), JobName("join-x7", "promote/"+long+"b", 1), JobName("join", "x7-promote/cp2", 1),
	}
	for i, n := range names {
		if len(n) > maxJobName || strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.HasPrefix(n, "-") || strings.HasSuffix(n, "-") {
			t.Errorf("%q is no DNS label", n)
		}
		if slices.Contains(names[:i], n) {
			t.Errorf("%q stands for two attempts", n)
		}
	}
	if names[0] != JobName("join-x7", "promote/cp2", 1) {
		t.Error("the name is not the same again")
	}
	if !strings.HasPrefix(names[0], "join-x7-promote-cp2-1-") {
		t.Errorf("%q can't be read", names[0])
	}
}

func TestValidate(t *testing.T) {
	def := Definition{Steps: map[string]Step{"a": Func{}, "b": Func{}}}
	p := v1alpha1.StepPending
	for name, c := range map[string]struct {
		steps []v1alpha1.StepStatus
		want  string
	}{
		"good":    {[]v1alpha1.StepStatus{{ID: "a/1", State: p}, {ID: "b", After: []string{"a/1"}, State: v1alpha1.StepSkipped}}, ""},
		"empty":   {nil, "empty"},
		"twice":   {[]v1alpha1.StepStatus{{ID: "a", State: p}, {ID: "a", State: p}}, "used twice"},
		"no id":   {[]v1alpha1.StepStatus{{State: p}}, "empty"},
		"unknown": {[]v1alpha1.StepStatus{{ID: "c", State: p}}, "nothing carries out"},
		"order":   {[]v1alpha1.StepStatus{{ID: "a", After: []string{"b"}, State: p}, {ID: "b", State: p}}, "not before it"},
		"state":   {[]v1alpha1.StepStatus{{ID: "a", State: v1alpha1.StepSucceeded}}, "begins as"},
	} {
		t.Run(name, func(t *testing.T) {
			err := validate(c.steps, def)
			if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
