// Package hosttest has what tests of tasks need: a host below a temporary
// directory, and a Commander that fails on every command nobody expected.
package hosttest

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// Commander is a strict fake of the commands of a host.
type Commander struct {
	t  *testing.T
	mu sync.Mutex
	// answers by command line.
	answers map[string]func(host.Command) (host.Output, error)
	calls   []host.Command
}

// NewCommander makes a Commander that knows no command yet.
func NewCommander(t *testing.T) *Commander {
	t.Helper()
	return &Commander{t: t, answers: map[string]func(host.Command) (host.Output, error){}}
}

// On says what a command line (its arguments joined by blanks) prints on
// standard output. Later answers replace earlier ones.
func (c *Commander) On(line, stdout string) *Commander {
	return c.OnFunc(line, func(host.Command) (host.Output, error) { return host.Output{Stdout: []byte(stdout)}, nil })
}

// Fail makes a command line exit with a code and a text on standard error.
func (c *Commander) Fail(line string, exitCode int, stderr string) *Commander {
	return c.OnFunc(line, func(cmd host.Command) (host.Output, error) {
		out := host.Output{Stderr: []byte(stderr), ExitCode: exitCode}
		return out, &host.CommandError{Argv: cmd.Argv, Output: out, Err: exitError(exitCode)}
	})
}

// OnFunc answers a command line by a function.
func (c *Commander) OnFunc(line string, answer func(host.Command) (host.Output, error)) *Commander {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[line] = answer
	return c
}

// Run answers a command, or fails the test.
func (c *Commander) Run(_ context.Context, cmd host.Command) (host.Output, error) {
	line := strings.Join(cmd.Argv, " ")
	c.mu.Lock()
	c.calls = append(c.calls, cmd)
	answer := c.answers[line]
	c.mu.Unlock()
	if answer == nil {
		c.t.Errorf("unexpected command: %s", line)
		return host.Output{}, &host.CommandError{Argv: cmd.Argv, Err: exitError(127)}
	}
	return answer(cmd)
}

// Lines are the command lines run so far, without systemctl show.
func (c *Commander) Lines() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for _, cmd := range c.calls {
		if line := strings.Join(cmd.Argv, " "); !strings.HasPrefix(line, "systemctl show ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// Calls are the commands run so far, in order.
func (c *Commander) Calls() []host.Command {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]host.Command(nil), c.calls...)
}

// Reset forgets the commands run so far, not the answers.
func (c *Commander) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = nil
}

// OnUnit answers host.Host.Unit for a unit. properties are lines NAME=VALUE as
// systemctl show prints them, such as "LoadState=loaded", "ActiveState=active".
func (c *Commander) OnUnit(name string, properties ...string) *Commander {
	return c.On("systemctl show --property="+host.UnitProperties+" "+name, strings.Join(properties, "\n")+"\n")
}

type exitError int

func (e exitError) Error() string { return "exit status " + strconv.Itoa(int(e)) }

// Options makes changes to a test's host before it is opened.
type Options func(*host.Options)

// DryRun makes the host record only.
func DryRun(o *host.Options) { o.DryRun = true }

// New makes a host below a temporary directory with a ledger for the cluster "test".
func New(t *testing.T, commands host.Commander, options ...Options) *host.Host {
	t.Helper()
	return Open(t, t.TempDir(), commands, options...)
}

// Open is New below a root of the caller's, to run a task twice on one host.
func Open(t *testing.T, root string, commands host.Commander, options ...Options) *host.Host {
	t.Helper()
	ledger, err := host.OpenLedger(root, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	opts := host.Options{Root: root, Ledger: ledger, Step: "step/test", Commands: commands}
	for _, o := range options {
		o(&opts)
	}
	h, err := host.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Write puts a file that is not ours on the host.
func Write(t *testing.T, h *host.Host, path, content string, mode os.FileMode) {
	t.Helper()
	real := h.Path(path)
	if err := os.MkdirAll(filepath.Dir(real), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(real, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(real, mode); err != nil {
		t.Fatal(err)
	}
}
