package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// PrintSteps shows the steps that the cluster will take: a line each, or one document for programs.
func PrintSteps(w io.Writer, output Output, steps []v1alpha1.StepStatus) error {
	if output.ForPrograms() {
		return output.PrintLine(w, map[string]any{"plan": steps})
	}
	var b strings.Builder
	for _, s := range steps {
		where := ""
		if s.Node != "" && !strings.Contains(s.Title, s.Node) {
			where = " (on " + s.Node + ")"
		}
		fmt.Fprintf(&b, "  %s%s\n", s.Title, where)
		if s.Message != "" {
			fmt.Fprintf(&b, "    skipped: %s\n", s.Message)
		}
	}
	_, err := fmt.Fprint(w, b.String())
	return err
}

// planned is what an action has planned, and begins as an Operation.
type planned interface {
	Begin(ctx context.Context, sink report.Sink) (*incluster.Operations, string, error)
}

// BeginAndWatch begins what was planned, and shows it until it ends, or says how that is done.
func BeginAndWatch(ctx context.Context, streams genericiooptions.IOStreams, p planned, output Output, waits WaitFlags) error {
	shown := NewProgress(streams.Out, output)
	ops, name, err := p.Begin(ctx, shown)
	shown.Close()
	if err != nil {
		return err
	}
	return WatchOrLeave(ctx, streams, ops, name, output, waits)
}
