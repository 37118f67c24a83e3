package run

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestOutput(t *testing.T) {
	out, err := Output(context.Background(), Cmd{Argv: []string{"cat"}, Stdin: strings.NewReader("hello")})
	if err != nil || out != "hello" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestFailureKeepsWhatWasPrinted(t *testing.T) {
	_, err := Output(context.Background(), Cmd{Argv: []string{"ls", "/not/there/at/all"}})
	code, ok := ExitCode(err)
	if !ok || code == 0 || !strings.Contains(err.Error(), "/not/there/at/all") {
		t.Errorf("code %d %v, %v", code, ok, err)
	}
	_, err = Output(context.Background(), Cmd{Argv: []string{"no-such-program-at-all"}})
	if _, ok := ExitCode(err); ok || err == nil {
		t.Errorf("a program that is not there ended by itself: %v", err)
	}
	if _, ok := ExitCode(errors.New("else")); ok {
		t.Error("any error has an exit code")
	}
}

func TestCancelEndsTheProgram(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := Run(ctx, "tail", "-f", "/dev/null"); err == nil {
		t.Error("a program that was ended succeeded")
	}
}

func TestTail(t *testing.T) {
	if got := tail("a\nb\nc", 2); got != "[…]\nb\nc" {
		t.Errorf("%q", got)
	}
	if got := tail("a\nb", 2); got != "a\nb" {
		t.Errorf("%q", got)
	}
}
