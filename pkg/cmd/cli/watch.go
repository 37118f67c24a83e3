package cli

import (
	"context"
	"fmt"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// WatchOrLeave shows an Operation until it ends, or says how that is done.
func WatchOrLeave(ctx context.Context, streams genericiooptions.IOStreams, ops *incluster.Operations, name string, output Output, waits WaitFlags) error {
	if waits.Detach {
		said := fmt.Sprintf("operation %s started; %s operation watch %s shows its progress", name, program.Name, name)
		if output.ForPrograms() {
			report.JSON(output.Documents(streams.Out)).Emit(report.Event{Time: time.Now(), Kind: report.Info, Message: said})
			return nil
		}
		_, err := fmt.Fprintln(streams.Out, said)
		return err
	}
	ctx, stop := waits.Limited(ctx)
	defer stop()
	shown := NewProgress(streams.Out, output)
	err := operations.Watch(ctx, ops, name, shown)
	shown.Close()
	if err != nil || output.ForPrograms() {
		return err
	}
	_, err = fmt.Fprintf(streams.Out, "operation %s succeeded\n", name)
	return err
}
