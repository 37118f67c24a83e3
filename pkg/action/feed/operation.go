package feed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// JustNow is for how long nodes may not report yet what an Operation put there:
// kubelets look about twice a minute.
const JustNow = 2 * time.Minute

// Same finds the Operation that does the same already; nil when there is none.
// over says that one has just done it.
func Same(ctx context.Context, ops *incluster.Operations, spec v1alpha1.OperationSpec, sink report.Sink) (op *v1alpha1.Operation, over bool, err error) {
	all, err := ops.List(ctx)
	if err != nil {
		return nil, false, err
	}
	just := true
	for i := len(all) - 1; i >= 0; i-- {
		one := &all[i]
		if one.Spec.Type == v1alpha1.OperationPruneImages {
			just = false // It may have taken away what earlier ones brought.
		}
		if !samePush(one.Spec, spec) {
			continue
		}
		if just && one.Status.Phase == v1alpha1.OperationSucceeded && time.Since(one.Status.FinishedAt.Time).Abs() < JustNow {
			return one, true, nil
		}
		if operations.Unfinished(*one) && !one.Spec.Aborted {
			action.Tell(sink, "resuming operation %s", one.Name)
			return one, false, ops.Resume(ctx, one.Name)
		}
	}
	return nil, false, nil
}

// samePush tells whether an Operation brings all that is wanted.
func samePush(have, want v1alpha1.OperationSpec) bool {
	if have.Images == nil || have.Images.Parcel != want.Images.Parcel || want.Images.AllRoles && !have.Images.AllRoles {
		return false
	}
	at := map[string]bool{}
	for _, n := range have.Images.Nodes {
		at[n] = true
	}
	for _, n := range want.Images.Nodes {
		if !at[n] {
			return false
		}
	}
	return true
}

// busyInterval is the time between two looks at an Operation that is waited for.
const busyInterval = 2 * time.Second

// Creator is what CreateWhenFree needs of incluster.Operations.
type Creator interface {
	Create(ctx context.Context, spec v1alpha1.OperationSpec) (*v1alpha1.Operation, error)
	Get(ctx context.Context, name string) (*v1alpha1.Operation, error)
}

// CreateWhenFree creates an Operation, once the one in progress has ended. What
// is waited for is told, and again when it is paused or goes on meanwhile.
func CreateWhenFree(ctx context.Context, ops Creator, spec v1alpha1.OperationSpec, sink report.Sink) (*v1alpha1.Operation, error) {
	told := ""
	for {
		op, err := ops.Create(ctx, spec)
		var busy *operations.BusyError
		if !errors.As(err, &busy) {
			return op, err
		}
		text := ""
		if busy.Command != "" {
			text, err = busy.Error(), nil
		} else {
			var other *v1alpha1.Operation
			if other, err = ops.Get(ctx, busy.Name); err != nil {
				// It may be gone by now, or the API may be; creating again tells.
				other = &v1alpha1.Operation{}
				other.Name, other.Spec.Type = busy.Name, busy.Type
			}
			text = waitingFor(*other)
		}
		if text != told && (err == nil || told == "") {
			told = text
			action.Tell(sink, "%s", text)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(busyInterval):
		}
	}
}

// waitingFor says which Operation is waited for, and what ends the waiting when
// that does not end by itself.
func waitingFor(op v1alpha1.Operation) string {
	what := fmt.Sprintf("waiting for operation %s (%s), which is ", op.Name, op.Spec.Type)
	if op.Spec.Paused && !op.Spec.Aborted {
		return fmt.Sprintf("%s%s and needs your decision: %s operation resume %s resumes it, %s operation abort %s aborts it",
			what, strings.ToLower(operations.Phase(op)), program.Name, op.Name, program.Name, op.Name)
	}
	return fmt.Sprintf("%sin progress; %s operation watch %s shows its progress", what, program.Name, op.Name)
}
