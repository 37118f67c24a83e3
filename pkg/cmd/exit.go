package cmd

import (
	"context"
	"errors"
	"fmt"
)

// The exit codes. They are part of the interface and don't change.
const (
	// ExitOK: done, or nothing was to be done.
	ExitOK = 0
	// ExitFailed: something failed, and the message says what.
	ExitFailed = 1
	// ExitUsage: the command line, a file or an answer is not right; nothing was changed.
	ExitUsage = 2
	// ExitFindings: the preflight checks found what forbids to go on; nothing was changed.
	ExitFindings = 3
	// ExitInterrupted: ended by SIGINT or SIGTERM; run it again to resume.
	ExitInterrupted = 4
	// ExitUnreachable: a host or the cluster can't be reached, or refuses the login.
	ExitUnreachable = 5
)

// ErrInterrupted is the cause of the context's end when a signal came.
var ErrInterrupted = errors.New("interrupted")

// errSaid is an error of which all has been said in the output.
var errSaid = errors.New("see above")

// coded is an error with the exit code that it ends the process with.
type coded struct {
	code int
	err  error
}

func (c *coded) Error() string { return c.err.Error() }
func (c *coded) Unwrap() error { return c.err }

// withCode gives an error its exit code; nil stays nil.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &coded{code: code, err: err}
}

// usageErrorf is an error about what the caller wrote.
func usageErrorf(format string, args ...any) error {
	return withCode(ExitUsage, fmt.Errorf(format, args...))
}

// exitCode finds the exit code of an error: the innermost one that was given,
// else interruption, else ExitFailed.
func exitCode(ctx context.Context, err error) int {
	var c *coded
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(context.Cause(ctx), ErrInterrupted):
		return ExitInterrupted
	case errors.As(err, &c):
		return c.code
	default:
		return ExitFailed
	}
}
