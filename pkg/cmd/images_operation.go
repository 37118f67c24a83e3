package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// justNow is for how long nodes may not report yet what an Operation put there:
// kubelets look about twice a minute.
const justNow = 2 * time.Minute

// operation finds the Operation that does the same already, or creates one. over
// says that one has just done it.
func (o *imagesPushOptions) operation(ctx context.Context, ops *incluster.Operations, spec v1alpha1.OperationSpec) (op *v1alpha1.Operation, over bool, err error) {
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
		if just && one.Status.Phase == v1alpha1.OperationSucceeded && time.Since(one.Status.FinishedAt.Time).Abs() < justNow {
			return one, true, nil
		}
		if operations.Unfinished(*one) && !one.Spec.Aborted {
			if err := o.say("going on with operation %s\n", one.Name); err != nil {
				return nil, false, err
			}
			return one, false, ops.Resume(ctx, one.Name)
		}
	}
	op, err = createWhenFree(ctx, ops, spec, o.ErrOut)
	return op, false, err
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

// createWhenFree creates an Operation, once the one in progress has ended.
func createWhenFree(ctx context.Context, ops *incluster.Operations, spec v1alpha1.OperationSpec, w io.Writer) (*v1alpha1.Operation, error) {
	told := ""
	for {
		op, err := ops.Create(ctx, spec)
		var busy *incluster.BusyError
		if !errors.As(err, &busy) {
			return op, err
		}
		if busy.Name != told {
			told = busy.Name
			if _, err := fmt.Fprintf(w, "waiting for operation %s (%s), which is in progress; %s operation watch %s shows it\n", busy.Name, busy.Type, displayName, busy.Name); err != nil {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(busyInterval):
		}
	}
}
