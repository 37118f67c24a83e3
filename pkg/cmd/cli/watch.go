package cli

import (
	"context"
	"fmt"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// WatchOrLeave shows an Operation until it ends, or says how that is done.
func WatchOrLeave(ctx context.Context, streams genericiooptions.IOStreams, ops *incluster.Operations, name, output string, waits WaitFlags) error {
	if waits.Detach {
		_, err := fmt.Fprintf(streams.Out, "operation %s started; %s operation watch %s shows its progress\n", name, program.Name, name)
		return err
	}
	ctx, stop := waits.Limited(ctx)
	defer stop()
	shown := NewProgress(streams.Out, output)
	err := operations.Watch(ctx, ops, name, shown)
	shown.Close()
	if err != nil || output == OutputJSON {
		return err
	}
	_, err = fmt.Fprintf(streams.Out, "operation %s succeeded\n", name)
	return err
}
