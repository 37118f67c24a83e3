package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Interrupted is said at once when a signal comes.
func Interrupted() report.Event {
	return report.Event{Kind: report.Warning, Message: "interrupted: nothing new is begun, what runs on the hosts is let finish",
		Hint: "wait a moment, or press Ctrl-C again to leave at once; either way, running the same command again goes on"}
}

// Explain turns the error of a run over SSH into the message and the exit code.
func Explain(ctx context.Context, w io.Writer, output string, r bootstrap.Result, err error) error {
	if errors.Is(context.Cause(ctx), ErrInterrupted) {
		return errors.New("run the same command again: it looks at the hosts and does what is left")
	}
	var found *bootstrap.PreflightError
	if errors.As(err, &found) {
		if output != OutputJSON {
			if err := PrintFindings(w, StyleFor(w), r.Findings); err != nil {
				return err
			}
			return FindingsError(r.Findings)
		}
		shown := report.JSON(w)
		for _, f := range found.Findings {
			shown.Emit(findingEvent(f))
		}
		return FindingsError(r.Findings)
	}
	var more plan.Explained
	if errors.As(err, &more) {
		if _, hint := more.Explain(); hint != "" {
			err = fmt.Errorf("%w\n%s", err, hint)
		}
	}
	if errors.Is(err, bootstrap.ErrLocked) {
		return action.As(action.Invalid, err)
	}
	return action.OfHosts(err)
}
