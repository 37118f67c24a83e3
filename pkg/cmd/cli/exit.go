package cli

import (
	"context"
	"errors"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
)

// The exit codes, of every command, each with one meaning. They are part of the interface
// and don't change. docs/scripting.md has their comments; a test compares the two.
const (
	// ExitOK: success, or nothing to do
	ExitOK = 0
	// ExitFailed: something failed; the message says what, on which host, and what to do next
	ExitFailed = 1
	// ExitUsage: invalid command line, file, bundle or answer; nothing was changed
	ExitUsage = 2
	// ExitFindings: the checks found problems; a requested change was not started
	ExitFindings = 3
	// ExitInterrupted: interrupted by SIGINT or SIGTERM; run the same command again to resume
	ExitInterrupted = 4
	// ExitUnreachable: a host or the cluster is unreachable, or rejects the credentials
	ExitUnreachable = 5
	// ExitBroken: the cluster is down: its API, or a component it depends on
	ExitBroken = 6
	// ExitTimeout: --timeout was exceeded; the Operation continues in the cluster
	ExitTimeout = 7
)

// ErrInterrupted is the cause of the context's end when a signal came.
var ErrInterrupted = errors.New("interrupted")

// ErrSaid is an error of which all has been said in the output.
var ErrSaid = errors.New("see above")

// ExitCode finds the exit code of an error: that of its kind,
// else interruption, else ExitFailed.
func ExitCode(ctx context.Context, err error) int {
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(context.Cause(ctx), ErrInterrupted):
		return ExitInterrupted
	}
	switch action.KindOf(err) {
	case action.Invalid:
		return ExitUsage
	case action.Findings:
		return ExitFindings
	case action.Unreachable:
		return ExitUnreachable
	case action.Broken:
		return ExitBroken
	case action.Timeout:
		return ExitTimeout
	}
	return ExitFailed
}
