package operations

import (
	"context"
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func operation(name string, phase v1alpha1.OperationPhase) v1alpha1.Operation {
	op := v1alpha1.Operation{}
	op.Name, op.Status.Phase = name, phase
	return op
}

// TestMeant: without a name it is the one that is not done, however old, else the latest.
func TestMeant(t *testing.T) {
	done, failed := v1alpha1.OperationSucceeded, v1alpha1.OperationFailed
	for what, tc := range map[string]struct {
		all  []v1alpha1.Operation
		want string
	}{
		"none":                        {nil, ""},
		"all done":                    {[]v1alpha1.Operation{operation("a", done), operation("b", failed)}, "b"},
		"an older one runs":           {[]v1alpha1.Operation{operation("a", v1alpha1.OperationRunning), operation("b", done)}, "a"},
		"not begun":                   {[]v1alpha1.Operation{operation("a", ""), operation("b", failed)}, "a"},
		"two of which the later":      {[]v1alpha1.Operation{operation("a", v1alpha1.OperationPaused), operation("b", "")}, "b"},
		"a failed one is not at work": {[]v1alpha1.Operation{operation("a", failed), operation("b", done)}, "b"},
	} {
		op, err := meant(tc.all)
		if tc.want == "" {
			if action.KindOf(err) != action.Invalid {
				t.Errorf("%s: %v, %v", what, op, err)
			}
			continue
		}
		if err != nil || op.Name != tc.want {
			t.Errorf("%s: %v, %v", what, op, err)
		}
	}
}

// TestTakesOwnAgent: one in progress has the nodes for itself; one that is ended for good is not
// gone on with.
func TestTakesOwnAgent(t *testing.T) {
	aborted := operation("a", v1alpha1.OperationFailed)
	aborted.Spec.Aborted = true
	for what, tc := range map[string]struct {
		op   v1alpha1.Operation
		want bool
	}{
		"failed":              {operation("a", v1alpha1.OperationFailed), true},
		"paused":              {operation("a", v1alpha1.OperationPaused), false},
		"running":             {operation("a", v1alpha1.OperationRunning), false},
		"succeeded":           {operation("a", v1alpha1.OperationSucceeded), false},
		"failed and given up": {aborted, false},
	} {
		if got := takesOwnAgent(tc.op); got != tc.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// watched plays an Operation that ends.
type watched struct {
	t   *testing.T
	end error
	op  *v1alpha1.Operation
}

func (w watched) Get(_ context.Context, name string) (*v1alpha1.Operation, error) {
	if w.op == nil {
		return nil, errors.New("no answer")
	}
	if name != w.op.Name {
		w.t.Errorf("asked for %s", name)
	}
	return w.op, nil
}

func (w watched) Watch(context.Context, string, report.Sink) error { return w.end }

// TestWatchSaysWhatCanBePutBack: only of an upgrade that has failed at a node.
func TestWatchSaysWhatCanBePutBack(t *testing.T) {
	failed := func(phase v1alpha1.OperationPhase) error {
		return &incluster.FailedError{Name: "up", Phase: phase, Reasons: []string{"it did not go"}}
	}
	upgraded := func(steps ...v1alpha1.StepStatus) *v1alpha1.Operation {
		op := operation("up", v1alpha1.OperationFailed)
		op.Spec.Upgrade, op.Status.Steps = &v1alpha1.UpgradeSpec{}, steps
		return &op
	}
	step := func(id string, state v1alpha1.StepState) v1alpha1.StepStatus {
		return v1alpha1.StepStatus{ID: id, State: state}
	}
	join := upgraded(step("kubelet/cp1", v1alpha1.StepFailed))
	join.Spec.Upgrade = nil
	missing := apierrors.NewNotFound(schema.GroupResource{Resource: "operations"}, "up")
	for what, tc := range map[string]struct {
		end  error
		op   *v1alpha1.Operation
		want string
		not  string
		kind action.Kind
	}{
		"well": {nil, nil, "", "", ""},
		"a node": {failed(v1alpha1.OperationFailed), upgraded(step("kubelet/cp1", v1alpha1.StepSucceeded), step("kubelet/cp2", v1alpha1.StepFailed)),
			"upgrade rollback-node cp2", "cp1", ""},
		"before any node":         {failed(v1alpha1.OperationFailed), upgraded(step("backup/cp1", v1alpha1.StepFailed)), "it did not go", "rollback-node", ""},
		"another Operation":       {failed(v1alpha1.OperationFailed), join, "it did not go", "rollback-node", ""},
		"aborted":                 {failed(v1alpha1.OperationAborted), upgraded(step("kubelet/cp2", v1alpha1.StepFailed)), "it did not go", "rollback-node", ""},
		"what it was is not read": {failed(v1alpha1.OperationFailed), nil, "it did not go", "rollback-node", ""},
		"it is gone":              {missing, nil, "not found", "rollback-node", action.Invalid},
	} {
		err := Watch(t.Context(), watched{t, tc.end, tc.op}, "up", report.Discard())
		if (err == nil) != (tc.want == "") || action.KindOf(err) != tc.kind {
			t.Errorf("%s: %v of kind %q", what, err, action.KindOf(err))
			continue
		}
		if err != nil && (!strings.Contains(err.Error(), tc.want) || tc.not != "" && strings.Contains(err.Error(), tc.not)) {
			t.Errorf("%s: %v", what, err)
		}
		var f *incluster.FailedError
		if errors.As(tc.end, &f) && !errors.As(err, &f) {
			t.Errorf("%s: it does not say that the Operation failed: %v", what, err)
		}
	}
}

// TestWatchLeaves: who stops looking gets the reason as it is.
func TestWatchLeaves(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	left := errors.New("goes on in the cluster")
	if err := Watch(ctx, watched{t, left, nil}, "up", report.Discard()); !errors.Is(err, left) || action.KindOf(err) != "" {
		t.Errorf("got %v", err)
	}
}
