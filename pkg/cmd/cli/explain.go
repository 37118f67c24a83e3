package cli

import (
	"context"
	"errors"
	"io"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// TellInterrupted has sink told at once when a signal comes, until stop is called.
func TellInterrupted(ctx context.Context, sink report.Sink) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		sink.Emit(report.Event{Kind: report.Warning, Message: "interrupted: no new steps are started; running steps finish",
			Hint: "wait a moment, or press Ctrl-C again to stop at once; run the same command again to resume"})
	})
}

// errAgain is the error of a run that a signal has ended.
var errAgain = errors.New("run the same command again: it checks the hosts and completes the remaining steps")

// Ended is the error of a run over SSH, unless a signal has ended it: then it says what that means.
func Ended(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), ErrInterrupted) {
		return errAgain
	}
	return err
}

// Explain prints what was found when hosts are not ready, which r has, and returns what is left
// to be said of a run's error.
func Explain(ctx context.Context, w io.Writer, output Output, r bootstrap.Result, err error) error {
	if err := Ended(ctx, nil); err != nil {
		return err
	}
	var found *bootstrap.PreflightError
	if !errors.As(err, &found) {
		return action.OfRun(err)
	}
	if !output.ForPrograms() {
		if err := PrintFindings(w, StyleFor(w), r.Findings); err != nil {
			return err
		}
		return action.OfFindings(r.Findings)
	}
	shown := report.JSON(output.Documents(w))
	for _, f := range found.Findings {
		shown.Emit(findingEvent(f))
	}
	return action.OfFindings(r.Findings)
}
