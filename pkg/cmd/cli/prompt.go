package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
)

// errDeclined: the person said no.
var errDeclined = errors.New("not confirmed; nothing was changed")

// Askable refuses to ask where nobody answers: a file, a pipe or /dev/null as
// standard input. What is no file at all is a test's.
func Askable(in io.Reader) error {
	if _, isFile := in.(*os.File); !isFile {
		return nil
	}
	if _, ok := Terminal(in); !ok {
		return action.Invalidf("cannot prompt: standard input is not a terminal; use --yes; nothing was changed")
	}
	return nil
}

// CheckPrompt refuses, before any look, a command that is going to ask where it can't: without
// a terminal, or when unasked says that its streams serve something else. shows is what --dry-run
// shows.
func CheckPrompt(in io.Reader, unasked bool, shows string) error {
	if _, interactive := Terminal(in); interactive && !unasked {
		return nil
	}
	return action.Invalidf("cannot prompt: standard input is not a terminal; use --yes, or --dry-run to see %s", shows)
}

// Confirm asks a yes-or-no question; anything but yes is no. Without a terminal it does
// not ask.
func Confirm(ctx context.Context, in io.Reader, out io.Writer, question string) error {
	return answered(ctx, in, out, question+" [y/N]", func(answer string) bool {
		answer = strings.ToLower(answer)
		return answer == "y" || answer == "yes"
	})
}

// answered asks, unless nobody can be, and takes any answer but a good one for a no. It
// ends with the context, although the read goes on.
func answered(ctx context.Context, in io.Reader, out io.Writer, question string, good func(answer string) bool) error {
	if err := Askable(in); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s ", question); err != nil {
		return err
	}
	answer := make(chan string, 1)
	go func() {
		// An end of the input without an answer is a no.
		line, _ := bufio.NewReader(in).ReadString('\n')
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case a := <-answer:
		if good(a) {
			return nil
		}
		return action.As(action.Invalid, errDeclined)
	}
}

// ConfirmName asks for a name; anything else ends it. Without a terminal it does not ask.
func ConfirmName(ctx context.Context, in io.Reader, out io.Writer, question, name string) error {
	return answered(ctx, in, out, question, func(answer string) bool { return answer == name })
}
