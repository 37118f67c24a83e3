package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// searchPath is where commands are looked for, whatever login the agent came by.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// killGrace is what a command gets between the request to end and its end.
const killGrace = 5 * time.Second

// ErrTimeout is the cause in the CommandError of a command that took too long.
var ErrTimeout = errors.New("timed out")

// Query runs a command that changes nothing; it runs in a dry run as well.
func (h *Host) Query(ctx context.Context, c Command) (Output, error) {
	return h.opts.Commands.Run(ctx, c)
}

// Run runs a command that changes something. why is one line for people, kept
// in the ledger. In a dry run nothing runs and the output is empty.
//
// Once it runs, only its timeout or the context's deadline ends it: neither a
// lost client nor a cancelled context kills it half-way.
func (h *Host) Run(ctx context.Context, why string, c Command) (Output, error) {
	line := strings.Join(c.Argv, " ")
	return h.runNoted(ctx, Change{Action: ActionRun, Target: line, Note: why},
		Entry{Action: ActionRun, Kind: KindCommand, Target: line, Note: why}, c)
}

// RunWhile runs a program for as long as it is needed: unlike one of Run's it is asked to end when the
// context ends, and killed five seconds later. In a dry run nothing runs.
func (h *Host) RunWhile(ctx context.Context, why string, c Command) (Output, error) {
	line := strings.Join(c.Argv, " ")
	do, err := h.mutate(ctx, Change{Action: ActionRun, Target: line, Note: why}, Entry{Action: ActionRun, Kind: KindCommand, Target: line, Note: why})
	if err != nil || !do {
		return Output{}, err
	}
	return h.opts.Commands.Run(ctx, c)
}

func (h *Host) runNoted(ctx context.Context, ch Change, e Entry, c Command) (Output, error) {
	if do, err := h.mutate(ctx, ch, e); err != nil || !do {
		return Output{}, err
	}
	detached := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		detached, cancel = context.WithDeadline(detached, deadline)
		defer cancel()
	}
	return h.opts.Commands.Run(detached, c)
}

// LookPath finds a command on the host. The error wraps fs.ErrNotExist.
func (h *Host) LookPath(name string) (string, error) { return lookPath(h.opts.Root, name) }

func lookPath(root, name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, dir := range strings.Split(searchPath, ":") {
		path := filepath.Join(dir, name)
		info, err := os.Stat(filepath.Join(root, path))
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("the command %s is not on this host: %w", name, fs.ErrNotExist)
}

// systemCommander runs commands for real.
type systemCommander struct{}

// Run runs a command in a process group of its own.
func (systemCommander) Run(ctx context.Context, c Command) (Output, error) {
	if len(c.Argv) == 0 {
		return Output{}, errors.New("there is no command to run")
	}
	path, err := lookPath("/", c.Argv[0])
	if err != nil {
		return Output{}, &CommandError{Argv: c.Argv, Err: err}
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	for busy := time.Now().Add(busyWithin); ; {
		out, err := runOnce(ctx, path, c)
		// A program that this process has just written can't be started while a child that
		// was forked meanwhile, for another command, still has the file: until it is the
		// other command's program (https://go.dev/issue/22315).
		if !errors.Is(err, syscall.ETXTBSY) || ctx.Err() != nil || time.Now().After(busy) {
			return out, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(busyAgain):
		}
	}
}

// busyWithin bounds the tries to start a program whose file is open for writing, which are
// busyAgain apart; what holds it by accident lets it go within milliseconds.
const (
	busyWithin = 5 * time.Second
	busyAgain  = 10 * time.Millisecond
)

// runOnce starts the program at path.
func runOnce(ctx context.Context, path string, c Command) (Output, error) {
	cmd := exec.CommandContext(ctx, path, c.Argv[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+searchPath, "LC_ALL=C")
	cmd.Env = append(cmd.Env, c.Env...)
	cmd.Dir = c.Dir
	if c.Stdin != nil {
		cmd.Stdin = bytes.NewReader(c.Stdin)
	}
	var stdout, stderr capture
	var emitting sync.Mutex
	outLines, errLines := &lineWriter{emit: c.Progress, mu: &emitting}, &lineWriter{emit: c.Progress, mu: &emitting}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&stdout, outLines), io.MultiWriter(&stderr, errLines)
	ownGroup(cmd)
	cmd.WaitDelay = killGrace

	err := cmd.Run()
	outLines.flush()
	errLines.flush()
	out := Output{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	if cmd.ProcessState != nil {
		out.ExitCode = cmd.ProcessState.ExitCode()
	}
	if ctx.Err() != nil {
		killGroup(cmd) // Children that did not heed the first signal.
	}
	if err == nil || errors.Is(err, exec.ErrWaitDelay) && out.ExitCode == 0 && ctx.Err() == nil {
		return out, nil
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = ErrTimeout
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return out, &CommandError{Argv: c.Argv, Output: out, Err: err}
}

// captureHalf is how much of the beginning and of the end of an output is kept.
const captureHalf = 128 << 10

// capture keeps the beginning and the end of what is written.
type capture struct {
	first, last []byte
	dropped     int
}

// Write takes all, and never fails.
func (c *capture) Write(p []byte) (int, error) {
	n := len(p)
	if room := captureHalf - len(c.first); room > 0 {
		take := min(room, len(p))
		c.first = append(c.first, p[:take]...)
		p = p[take:]
	}
	c.last = append(c.last, p...)
	if len(c.last) > 2*captureHalf {
		cut := len(c.last) - captureHalf
		c.dropped += cut
		c.last = append(c.last[:0], c.last[cut:]...)
	}
	return n, nil
}

// Bytes is what was kept, with a note of what was not.
func (c *capture) Bytes() []byte {
	last, dropped := c.last, c.dropped
	if cut := len(last) - captureHalf; cut > 0 {
		last, dropped = last[cut:], dropped+cut
	}
	out := bytes.Clone(c.first)
	if dropped > 0 {
		out = fmt.Appendf(out, "\n[… %d bytes left out …]\n", dropped)
	}
	return append(out, last...)
}

// lineWriter hands on whole lines, one at a time among all that share a mutex.
type lineWriter struct {
	emit func(string)
	mu   *sync.Mutex
	rest []byte
}

// maxLine bounds a line that never ends.
const maxLine = 4 << 10

// Write takes all, and never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	if w.emit == nil {
		return len(p), nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		end := bytes.IndexByte(w.rest, '\n')
		if end < 0 && len(w.rest) < maxLine {
			return len(p), nil
		}
		if end < 0 {
			end = len(w.rest) - 1
		}
		w.emit(strings.TrimRight(string(w.rest[:end+1]), "\r\n"))
		w.rest = w.rest[end+1:]
	}
}

// flush hands on a last line without an end.
func (w *lineWriter) flush() {
	if w.emit == nil || len(w.rest) == 0 {
		return
	}
	w.emit(string(w.rest))
	w.rest = nil
}
