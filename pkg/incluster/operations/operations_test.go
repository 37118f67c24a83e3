package operations

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	pending   = v1alpha1.StepPending
	running   = v1alpha1.StepRunning
	succeeded = v1alpha1.StepSucceeded
	failed    = v1alpha1.StepFailed
	skipped   = v1alpha1.StepSkipped
)

func when(second int) *metav1.Time {
	t := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, second, 0, time.UTC))
	return &t
}

// tell writes events so that they can be compared.
func tell(events []report.Event) string {
	var out []string
	for _, e := range events {
		s := string(e.Kind) + " " + e.Step
		for _, part := range []string{e.Message, e.Error, e.Hint, e.Detail} {
			if part != "" {
				s += "|" + part
			}
		}
		if e.Elapsed != 0 {
			s += fmt.Sprintf(" %s", e.Elapsed)
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestDiff(t *testing.T) {
	one := func(s v1alpha1.StepStatus) v1alpha1.OperationStatus {
		s.ID, s.Node = "a", "n1"
		return v1alpha1.OperationStatus{Steps: []v1alpha1.StepStatus{s}}
	}
	none := v1alpha1.OperationStatus{}
	first := v1alpha1.StepStatus{State: running, Attempt: 1, StartedAt: when(0)}
	phase := func(p v1alpha1.OperationPhase, m string) v1alpha1.OperationStatus {
		return v1alpha1.OperationStatus{Phase: p, Message: m}
	}
	for name, c := range map[string]struct {
		old, new v1alpha1.OperationStatus
		want     string
	}{
		"planned":           {none, one(v1alpha1.StepStatus{State: pending}), ""},
		"started":           {one(v1alpha1.StepStatus{State: pending}), one(first), "started a"},
		"started, unseen":   {none, one(first), "started a"},
		"progress":          {one(first), one(v1alpha1.StepStatus{State: running, Attempt: 1, Message: "half"}), "progress a|half"},
		"skipped":           {none, one(v1alpha1.StepStatus{State: skipped, Message: "already up to date"}), "skipped a|already up to date"},
		"done":              {one(first), one(v1alpha1.StepStatus{State: succeeded, Attempt: 1, Message: "3 changes", StartedAt: when(0), FinishedAt: when(7)}), "done a|3 changes 7s"},
		"done, unseen":      {none, one(v1alpha1.StepStatus{State: succeeded, Attempt: 1}), "started a; done a"},
		"failed":            {one(first), one(v1alpha1.StepStatus{State: failed, Attempt: 1, Message: "it broke\nnext: mend it\nline 1\nline 2"}), "failed a|it broke|mend it|line 1\nline 2"},
		"failed, no hint":   {one(first), one(v1alpha1.StepStatus{State: failed, Attempt: 1, Message: "it broke\nline 1"}), "failed a|it broke|line 1"},
		"another attempt":   {one(first), one(v1alpha1.StepStatus{State: running, Attempt: 2, Message: "attempt 2"}), "started a|attempt 2"},
		"retried":           {one(v1alpha1.StepStatus{State: failed, Attempt: 1}), one(v1alpha1.StepStatus{State: succeeded, Attempt: 2}), "started a; done a"},
		"reset":             {one(v1alpha1.StepStatus{State: failed, Attempt: 1}), one(v1alpha1.StepStatus{State: pending, Attempt: 1}), ""},
		"nothing":           {one(first), one(first), ""},
		"paused":            {phase(v1alpha1.OperationRunning, ""), phase(v1alpha1.OperationPaused, "paused"), "info |paused"},
		"resumed":           {phase(v1alpha1.OperationPaused, ""), phase(v1alpha1.OperationRunning, "a"), "info |goes on"},
		"running":           {phase(v1alpha1.OperationPending, ""), phase(v1alpha1.OperationRunning, "a"), ""},
		"operation failed":  {phase(v1alpha1.OperationRunning, ""), phase(v1alpha1.OperationFailed, "a: it broke"), "warning |a: it broke"},
		"operation is done": {phase(v1alpha1.OperationRunning, ""), phase(v1alpha1.OperationSucceeded, "all done"), "info |all done"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tell(Diff(c.old, c.new)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got := tell(Diff(c.new, c.new)); got != "" {
				t.Errorf("a second time: %q", got)
			}
		})
	}
}

func TestRetry(t *testing.T) {
	states := func(s v1alpha1.OperationStatus) string {
		var out []string
		for _, step := range s.Steps {
			out = append(out, step.ID+"="+string(step.State))
		}
		return strings.Join(out, " ")
	}
	plan := func(upload, p2, p3, ready, clean v1alpha1.StepState) v1alpha1.OperationStatus {
		return v1alpha1.OperationStatus{Phase: v1alpha1.OperationFailed, FinishedAt: when(9), Steps: []v1alpha1.StepStatus{
			{ID: "upload", State: upload, UndoneBy: "clean", Attempt: 1, Job: "j"},
			{ID: "p2", State: p2, After: []string{"upload"}, Attempt: 1, Job: "j", Message: "m"},
			{ID: "p3", State: p3, After: []string{"upload"}, Attempt: 1},
			{ID: "ready", State: ready, After: []string{"p2", "p3"}},
			{ID: "clean", State: clean, Cleanup: true},
		}}
	}
	for name, c := range map[string]struct {
		in   v1alpha1.OperationStatus
		want string
	}{
		"undone and needed":        {plan(succeeded, failed, succeeded, pending, succeeded), "upload=Pending p2=Pending p3=Succeeded ready=Pending clean=Pending"},
		"undone, not needed":       {plan(succeeded, succeeded, succeeded, failed, succeeded), "upload=Succeeded p2=Succeeded p3=Succeeded ready=Pending clean=Pending"},
		"not undone":               {plan(succeeded, failed, succeeded, pending, pending), "upload=Succeeded p2=Pending p3=Succeeded ready=Pending clean=Pending"},
		"only the clean-up failed": {plan(succeeded, succeeded, succeeded, succeeded, failed), "upload=Succeeded p2=Succeeded p3=Succeeded ready=Succeeded clean=Pending"},
		"the first failed":         {plan(failed, pending, pending, pending, succeeded), "upload=Pending p2=Pending p3=Pending ready=Pending clean=Pending"},
	} {
		t.Run(name, func(t *testing.T) {
			before := states(c.in)
			got := Retry(c.in)
			if states(got) != c.want {
				t.Errorf("got %s, want %s", states(got), c.want)
			}
			if states(c.in) != before {
				t.Error("the status given was changed")
			}
			if got.Phase != v1alpha1.OperationPending || got.FinishedAt != nil {
				t.Errorf("phase is %s, finished at %v", got.Phase, got.FinishedAt)
			}
			for i, s := range got.Steps {
				if s.State != c.in.Steps[i].State && (s.Job != "" || s.Message != "") {
					t.Errorf("%s still has job %q and message %q", s.ID, s.Job, s.Message)
				}
			}
			if got.Steps[1].Attempt != 1 {
				t.Error("the attempts are forgotten, and with them the fence")
			}
		})
	}
	// One that the plan left out stays so, one that was interrupted was not done.
	in := v1alpha1.OperationStatus{Phase: v1alpha1.OperationFailed, Steps: []v1alpha1.StepStatus{
		{ID: "left-out", State: v1alpha1.StepSkipped}, {ID: "gate", State: v1alpha1.StepSkipped, Attempt: 1}, {ID: "bad", State: failed, Attempt: 1},
	}}
	if got := states(Retry(in)); got != "left-out=Skipped gate=Pending bad=Pending" {
		t.Errorf("after an interruption: %s", got)
	}
}

// TestCleanAgain: who gives a failed Operation up has it cleaned up once more.
func TestCleanAgain(t *testing.T) {
	in := v1alpha1.OperationStatus{Phase: v1alpha1.OperationFailed, Steps: []v1alpha1.StepStatus{
		{ID: "bad", State: failed, Attempt: 1}, {ID: "left", State: pending},
		{ID: "clean", State: succeeded, Cleanup: true, Attempt: 1, Job: "j"}, {ID: "unclean", State: failed, Cleanup: true, Attempt: 2}, {ID: "skipped", State: v1alpha1.StepSkipped, Cleanup: true},
	}}
	got := CleanAgain(in)
	for i, want := range []v1alpha1.StepState{failed, pending, pending, pending, v1alpha1.StepSkipped} {
		if s := got.Steps[i]; s.State != want || s.Attempt != in.Steps[i].Attempt {
			t.Errorf("%s is %s, attempt %d", s.ID, s.State, s.Attempt)
		}
	}
	if got.Phase != v1alpha1.OperationPending || in.Phase != v1alpha1.OperationFailed || in.Steps[2].State != succeeded || got.Steps[2].Job != "" {
		t.Errorf("%+v, given was %+v", got, in)
	}
}

func TestFailureText(t *testing.T) {
	token, key := "abcdef.0123456789abcdef", strings.Repeat("0123abcd", 8)
	got := FailureText("cp2", node.Failure{Message: "kubeadm failed with " + token, Hint: "mend it", Output: strings.Repeat("x\n", maxOutput) + key})
	if strings.Contains(got, token) || strings.Contains(got, key) || strings.Count(got, "[redacted]") != 2 {
		t.Errorf("secrets are left: %s", got)
	}
	if !strings.HasPrefix(got, "cp2: kubeadm failed with [redacted]\nnext: mend it\n…") {
		t.Errorf("got %s", got)
	}
	if len(got) > maxOutput+200 {
		t.Errorf("%d bytes", len(got))
	}
	// Each part is bounded, and no cut leaves the half of a secret.
	long := strings.Repeat("y", maxMessage-10) + " "
	got = FailureText("cp2", node.Failure{Message: long + token + " " + long, Hint: long + key + " " + long, Output: key + strings.Repeat(" z", (maxOutput-20)/2)})
	if len(got) > 2*maxMessage+maxOutput+100 {
		t.Errorf("%d bytes", len(got))
	}
	if strings.Contains(got, "abcdef.") || strings.Contains(got, "0123abcd") {
		t.Errorf("a part of a secret is left: %s", got)
	}
}

func TestSurplus(t *testing.T) {
	var all []v1alpha1.Operation
	add := func(name string, phase v1alpha1.OperationPhase) {
		op := v1alpha1.Operation{}
		op.Name, op.Status.Phase = name, phase
		all = append(all, op)
	}
	add("a", v1alpha1.OperationSucceeded)
	add("b", v1alpha1.OperationRunning)
	add("c", v1alpha1.OperationFailed)
	add("d", "")
	add("e", v1alpha1.OperationAborted)
	for keep, want := range map[int]string{0: "ace", 1: "ac", 2: "a", 3: "", 20: ""} {
		got := ""
		for _, op := range Surplus(all, keep) {
			got += op.Name
		}
		if got != want {
			t.Errorf("of a to e, keeping %d: %q, want %q", keep, got, want)
		}
	}
}
