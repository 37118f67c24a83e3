package incluster

import (
	"context"
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
)

// refuseStale refuses to resume an Upgrade when a node has been put back since on which
// one of its steps has succeeded: it would pass that step over.
func (o *Operations) refuseStale(ctx context.Context, op *v1alpha1.Operation) error {
	if op.Spec.Upgrade == nil {
		return nil
	}
	all, err := o.ops.List(ctx)
	if err != nil {
		return err
	}
	if node := putBackSince(op, all); node != "" {
		return fmt.Errorf("operation %s can't be resumed: %s was put back since; run kubectl ha upgrade %s to begin anew, and kubectl ha operation abort %s to be done with this one",
			op.Name, node, op.Spec.Upgrade.Version, op.Name)
	}
	return nil
}

// putBackSince is a node on which a step of the Operation has succeeded that another
// one took back afterwards; empty when there is none. It is pure.
func putBackSince(op *v1alpha1.Operation, all []v1alpha1.Operation) string {
	for _, other := range all {
		node, began := upgrade.PutBack(other)
		if node == "" {
			continue
		}
		for _, s := range op.Status.Steps {
			touched, ok := upgrade.Touched(s)
			if ok && touched == node && s.State == v1alpha1.StepSucceeded && s.FinishedAt != nil && !began.Before(s.FinishedAt) {
				return node
			}
		}
	}
	return ""
}
