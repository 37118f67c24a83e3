package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// DefaultTimeout bounds a task whose request names no timeout.
	DefaultTimeout = 10 * time.Minute
	// DefaultLockTimeout bounds the wait for another agent on the host.
	DefaultLockTimeout = 2 * time.Minute
	// maxRequest bounds a request, which is one line.
	maxRequest = 64 << 20
)

// ErrClientGone is why an agent begins nothing more once its client's end of
// standard input is closed.
var ErrClientGone = errors.New("the connection to kubectl-ha was lost")

// Agent runs requests on the machine it is on.
type Agent struct {
	// Tasks by name.
	Tasks map[string]Task
	// Root is prefixed to every path, for tests. Default "/".
	Root string
	// Commands runs commands. Default: the real ones.
	Commands host.Commander
	// Program is the file of the program that runs, for tests. Default host.SelfPath.
	Program string
}

// RunAgent reads one Request, a single JSON line, from stdin, runs its task and
// writes Messages to stdout, one per line, the last of them the Result. How
// the task ended is in the Result; the error is only about a result that could
// not be delivered.
//
// stdin stays open as the client's sign of life. At its end no further change
// to the host is begun; a command that runs is not killed.
func RunAgent(ctx context.Context, tasks map[string]Task, stdin io.Reader, stdout io.Writer) error {
	a := Agent{Tasks: tasks}
	return a.Serve(ctx, stdin, stdout)
}

// Serve is RunAgent for an Agent.
func (a *Agent) Serve(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	defer survivePipes()()
	out := &messages{to: stdout}
	in := bufio.NewReader(stdin)
	line, err := readLine(in)
	if err != nil {
		return out.result(Result{Failure: &Failure{Message: fmt.Sprintf("the agent got no request: %v", err)}})
	}
	gone := make(chan struct{})
	go func() {
		// Whatever ends it, an error as well as the end: there is no client any more.
		_, _ = io.Copy(io.Discard, in)
		close(gone)
	}()
	return out.result(a.Run(ctx, line, gone, out))
}

// readLine reads one line of at most maxRequest bytes.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxRequest:
			return nil, fmt.Errorf("it is longer than %d bytes", maxRequest)
		case err == nil:
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(bytes.TrimSpace(line)) > 0:
			return line, nil
		default:
			return nil, err
		}
	}
}

// survivePipes makes a write into a closed pipe an error instead of the end of
// the process, and returns how to undo that. Ignoring the signal would do the
// same, but commands that are run would inherit it.
func survivePipes() (undo func()) {
	if len(pipeSignals) == 0 {
		return func() {}
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, pipeSignals...)
	return func() { signal.Stop(c) }
}

// Run runs one request and sends its events to the sink. gone, when not nil, is
// closed when the client has gone.
func (a *Agent) Run(ctx context.Context, raw []byte, gone <-chan struct{}, sink report.Sink) Result {
	var req Request
	if err := decodeStrict(bytes.TrimSpace(raw), &req); err != nil {
		return failed(host.WithHint(fmt.Errorf("the agent can't read the request: %w", err), versionHint))
	}
	if err := CheckProgram(a.Program, req.AgentSHA256); err != nil {
		return failed(err)
	}
	task, ok := a.Tasks[req.Task]
	if !ok {
		return failed(host.WithHint(fmt.Errorf(noTask+"%q", req.Task), versionHint))
	}
	timeout := orDefault(req.Timeout, DefaultTimeout)
	ctx, stop := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the task %s took longer than %s", req.Task, timeout))
	defer stop()

	opts := host.Options{Root: a.Root, DryRun: req.DryRun, Step: req.Step, Commands: a.Commands}
	release, err := a.open(ctx, req, task, gone, &opts)
	if err != nil {
		return failed(err)
	}
	h, err := host.Open(opts)
	if err != nil {
		return failed(errors.Join(err, release()))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer watch(gone, func() {
		h.Refuse(ErrClientGone)
		cancel(ErrClientGone)
	})()

	data, err := run(ctx, task, env(h, req, sink), req.Spec)
	if err == nil && opts.Ledger != nil && !req.DryRun {
		err = opts.Ledger.DoneWith(task.Name, req.Settings)
	}
	return conclude(h, data, errors.Join(err, release()))
}

// versionHint is what to do when the two sides don't understand each other.
const versionHint = "the agent on the host and kubectl-ha are of different versions: run the command again, it replaces the agent"

// open takes what a task that changes the host needs: the lock and the ledger.
func (a *Agent) open(ctx context.Context, req Request, task Task, gone <-chan struct{}, opts *host.Options) (release func() error, err error) {
	nothing := func() error { return nil }
	if task.ReadOnly {
		return nothing, nil
	}
	root := a.Root
	if root == "" {
		root = "/"
	}
	if req.DryRun {
		// Not even the state directory is made; but another cluster's host is an error here, too.
		ledger, err := host.ReadLedger(root)
		if errors.Is(err, fs.ErrNotExist) {
			return nothing, nil
		}
		if err != nil {
			return nil, err
		}
		opts.Ledger = ledger
		return nothing, errors.Join(ledger.CheckCluster(req.Cluster), ledger.CheckIdentity(req.Identity))
	}
	lockCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer watch(gone, func() { cancel(ErrClientGone) })()
	acquire := host.AcquireLock
	if task.Beside {
		acquire = host.AcquireTaskLock
	}
	lock, err := acquire(lockCtx, root, task.Name, orDefault(req.LockTimeout, DefaultLockTimeout))
	if err != nil {
		return nil, err
	}
	ledger, err := host.OpenLedger(root, req.Cluster)
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	if err := ledger.Identify(req.Identity); err != nil {
		return nil, errors.Join(err, ledger.Close(), lock.Release())
	}
	opts.Ledger = ledger
	return func() error { return errors.Join(ledger.Close(), lock.Release()) }, nil
}

// watch calls f when gone is closed, until the returned function is called.
func watch(gone <-chan struct{}, f func()) (stop func()) {
	if gone == nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		select {
		case <-gone:
			f()
		case <-done:
		}
	}()
	return func() { close(done) }
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// env is what the task gets; its events carry the request's step.
func env(h *host.Host, req Request, sink report.Sink) Env {
	emit := report.SinkFunc(func(e report.Event) {
		if e.Time.IsZero() {
			e.Time = time.Now()
		}
		if e.Step == "" {
			e.Step = req.Step
		}
		sink.Emit(e)
	})
	return Env{Host: h, Sink: emit, Progress: func(format string, args ...any) {
		emit(report.Event{Kind: report.StepProgress, Message: fmt.Sprintf(format, args...)})
	}}
}

// run runs the task; a panic in it is an error like any other.
func run(ctx context.Context, task Task, env Env, spec json.RawMessage) (data any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	return task.Run(ctx, env, spec)
}

// panicError is a bug in a task.
type panicError struct {
	value any
	stack []byte
}

// Error is short; the stack is the failure's output.
func (e *panicError) Error() string { return fmt.Sprintf("the agent has a bug: panic: %v", e.value) }

// conclude makes the Result.
func conclude(h *host.Host, data any, err error) Result {
	var r Result
	if err != nil {
		r = failed(err)
	}
	r.Changes = h.Changes()
	if data == nil {
		return r
	}
	encoded, encodeErr := json.Marshal(data)
	if encodeErr != nil && r.Failure == nil {
		r.Failure = &Failure{Message: fmt.Sprintf("the task's result can't be encoded: %v", encodeErr)}
	}
	r.Data = encoded
	return r
}

// failed describes an error for people.
func failed(err error) Result {
	f := &Failure{Message: err.Error(), Hint: host.Hint(err)}
	var command *host.CommandError
	var bug *panicError
	var whole *Failure
	switch {
	case errors.As(err, &whole):
		f.Output = whole.Output
		if f.Hint == "" {
			f.Hint = whole.Hint
		}
	case errors.As(err, &command):
		f.Output = command.Text()
	case errors.As(err, &bug):
		f.Output = string(bug.stack)
	}
	return Result{Failure: f}
}
