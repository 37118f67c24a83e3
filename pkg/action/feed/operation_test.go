package feed

import (
	"context"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// busyCluster refuses to create an Operation for as long as there are states of
// another one.
type busyCluster struct {
	*testing.T
	states []v1alpha1.Operation
}

func (b *busyCluster) Create(context.Context, v1alpha1.OperationSpec) (*v1alpha1.Operation, error) {
	if len(b.states) > 0 {
		return nil, &operations.BusyError{Name: b.states[0].Name, Type: b.states[0].Spec.Type}
	}
	return &v1alpha1.Operation{}, nil
}

func (b *busyCluster) Get(_ context.Context, name string) (*v1alpha1.Operation, error) {
	op := b.states[0]
	if name != op.Name {
		b.Errorf("asked for %s", name)
	}
	b.states = b.states[1:]
	return &op, nil
}

// TestCreateWhenFree: whoever waits for a paused Operation is told that it waits
// for a person, also when it was paused while it was waited for.
func TestCreateWhenFree(t *testing.T) {
	other := func(phase v1alpha1.OperationPhase, paused bool) v1alpha1.Operation {
		op := v1alpha1.Operation{Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationJoin, Paused: paused}}
		op.Name, op.Status.Phase = "join-1", phase
		return op
	}
	b := &busyCluster{T: t, states: []v1alpha1.Operation{other(v1alpha1.OperationRunning, false), other(v1alpha1.OperationPaused, true)}}
	var lines []string
	sink := report.SinkFunc(func(e report.Event) { lines = append(lines, e.Message) })
	if op, err := CreateWhenFree(t.Context(), b, v1alpha1.OperationSpec{}, sink); err != nil || op == nil {
		t.Fatalf("%v, %v", op, err)
	}
	if len(lines) != 2 || !strings.Contains(lines[0], "is in progress; kubectl ha operation watch join-1") {
		t.Fatalf("told %q", lines)
	}
	for _, want := range []string{"which is paused", "kubectl ha operation resume join-1", "kubectl ha operation abort join-1"} {
		if !strings.Contains(lines[1], want) {
			t.Errorf("%q is not in %q", want, lines[1])
		}
	}
	aborting := other(v1alpha1.OperationPaused, true)
	aborting.Spec.Aborted = true
	if got := waitingFor(aborting); !strings.Contains(got, "in progress") {
		t.Errorf("of one that is being aborted: %s", got)
	}
	if got := waitingFor(other(v1alpha1.OperationRunning, true)); !strings.Contains(got, "which is running (pausing) and") {
		t.Errorf("of one that is about to be paused: %s", got)
	}
}
