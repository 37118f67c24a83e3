package cli

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// WatchOrLeave shows an Operation until it ends, or says how that is done.
func WatchOrLeave(ctx context.Context, streams genericiooptions.IOStreams, ops *incluster.Operations, name, output string, waits WaitFlags) error {
	if waits.Detach {
		_, err := fmt.Fprintf(streams.Out, "operation %s is begun; %s operation watch %s shows it\n", name, program.Name, name)
		return err
	}
	ctx, stop := waits.Limited(ctx)
	defer stop()
	shown := NewProgress(streams.Out, output)
	err := ops.Watch(ctx, name, shown)
	shown.Close()
	var failed *incluster.FailedError
	switch {
	case err == nil && output != OutputJSON:
		_, err = fmt.Fprintf(streams.Out, "operation %s succeeded\n", name)
	case errors.As(err, &failed) && failed.Phase == v1alpha1.OperationFailed:
		if node := failedNode(ctx, ops, name); node != "" {
			err = fmt.Errorf("%w\nor abort it, and %s upgrade rollback-node %s puts back what the node had before", err, program.Name, node)
		}
	case err != nil && failed == nil && ctx.Err() == nil:
		return action.OfCluster(err)
	}
	return err
}

// failedNode is the node whose upgrade has failed; empty when none has.
func failedNode(ctx context.Context, ops *incluster.Operations, name string) string {
	op, err := ops.Get(ctx, name)
	if err != nil || op.Spec.Upgrade == nil {
		return "" // It only is one hint less.
	}
	for _, s := range op.Status.Steps {
		if node, touched := upgrade.Touched(s); touched && s.State == v1alpha1.StepFailed {
			return node
		}
	}
	return ""
}
