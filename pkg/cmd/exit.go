package cmd

import (
	"context"
	"errors"
	"fmt"
)

// The exit codes, of every command, each with one meaning. They are part of the interface
// and don't change. docs/scripting.md has their comments; a test compares the two.
const (
	// ExitOK: done, or nothing was to be done
	ExitOK = 0
	// ExitFailed: something failed; the message says what, on which host, and what to do next
	ExitFailed = 1
	// ExitUsage: the command line, a file, a bundle or an answer is not right; nothing was changed
	ExitUsage = 2
	// ExitFindings: what was looked at is not as it should be; what was asked for beyond the look was not begun
	ExitFindings = 3
	// ExitInterrupted: interrupted by SIGINT or SIGTERM; running the same command again goes on
	ExitInterrupted = 4
	// ExitUnreachable: a host or the cluster can't be reached, or refuses the login
	ExitUnreachable = 5
	// ExitBroken: the cluster does not serve: its API, or what that rests on
	ExitBroken = 6
	// ExitTimeout: --timeout has passed; what was begun goes on in the cluster
	ExitTimeout = 7
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
