package host

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// HintError is an error that knows what to do next.
type HintError struct {
	Err  error
	Hint string
}

// WithHint adds what to do next to an error; nil stays nil.
func WithHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &HintError{Err: err, Hint: hint}
}

// Error is the error's own message, without the hint.
func (e *HintError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *HintError) Unwrap() error { return e.Err }

// Hint returns what to do about an error, or nothing.
func Hint(err error) string {
	var hint *HintError
	if errors.As(err, &hint) {
		return hint.Hint
	}
	return ""
}

// Error is short: the command's name and how it ended.
func (e *CommandError) Error() string {
	return fmt.Sprintf("%s: %v", e.Name(), e.Err)
}

// Name is the command's name with its subcommands.
func (e *CommandError) Name() string {
	if len(e.Argv) == 0 {
		return "(no command)"
	}
	name := filepath.Base(e.Argv[0])
	for i, arg := range e.Argv[1:] {
		if i == 3 || strings.HasPrefix(arg, "-") || strings.ContainsAny(arg, "/=") {
			break
		}
		name += " " + arg
	}
	return name
}

// Text is all that the command printed, standard error last.
func (e *CommandError) Text() string {
	out, err := strings.TrimSpace(string(e.Output.Stdout)), strings.TrimSpace(string(e.Output.Stderr))
	if out == "" || err == "" {
		return out + err
	}
	return out + "\n" + err
}

// Unwrap gives the cause.
func (e *CommandError) Unwrap() error { return e.Err }
