package ssh

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// finishTimeout bounds how long a cancelled step may take to come to an end
// that leaves the host as a next run expects it.
const finishTimeout = 30 * time.Second

// maxLine bounds one message of the agent, in bytes.
const maxLine = 64 << 20

var _ transport.Runner = (*Hosts)(nil)

// Run runs one request on a host. When the context ends, the agent is told to
// stop by the end of its input and given a bounded time to do so.
func (h *Hosts) Run(ctx context.Context, host string, req node.Request, sink report.Sink) (node.Result, error) {
	line, err := json.Marshal(req)
	if err != nil {
		return node.Result{}, fmt.Errorf("%s: encode the request %s: %w", host, req.Task, err)
	}
	p, err := h.start(ctx, host, "agent", "run")
	if err != nil {
		return node.Result{}, err
	}
	defer func() { _ = p.Close() }() // it has ended, or is given up
	x := &exchange{host: host, req: req, sink: sink, process: p}
	ended := make(chan struct{})
	go x.cancelled(ctx, ended)
	result, err := x.run(append(line, '\n'))
	close(ended)
	if ctx.Err() != nil {
		return result, ctx.Err()
	}
	return result, err
}

// exchange is one request and its answer.
type exchange struct {
	host    string
	req     node.Request
	sink    report.Sink
	process *Process
}

// cancelled waits for the context's end and then ends the exchange.
func (x *exchange) cancelled(ctx context.Context, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	x.sink.Emit(report.Event{Time: time.Now(), Kind: report.StepProgress, Host: x.host, Step: x.req.Step,
		Message: "interrupted; finishing the step on " + x.host})
	_ = x.process.Stdin.Close() // when this fails the agent is gone already
	select {
	case <-ended:
	case <-time.After(finishTimeout):
		_ = x.process.Close() // which ends the reading
	}
}

func (x *exchange) run(request []byte) (node.Result, error) {
	_, sendErr := x.process.Stdin.Write(request)
	result, noise, readErr := x.read()
	if result != nil {
		_ = x.process.Stdin.Close() // tells the agent that its result has arrived
		// How it exits no longer matters: what it had to say was said.
		_ = x.process.Close()
		return *result, nil
	}
	waitErr := x.process.Wait()
	var lost *Error
	if errors.As(waitErr, &lost) {
		return node.Result{}, lost
	}
	err := errors.Join(readErr, waitErr, sendErr)
	if err == nil {
		err = errors.New("it said nothing")
	}
	return node.Result{}, &Error{Kind: Agent, Host: x.host, Err: err,
		Message: fmt.Sprintf("the agent ended without a result of %s: %v", x.req.Task, err),
		Detail:  strings.TrimSpace(noise + "\n" + x.process.Stderr()),
		Hint:    "run the same command again: it does what is left; if it happens again, report it with the output above"}
}

// read reads messages until the result. Lines before the first message that
// are none are an account's greeting; they are kept for an error's detail.
func (x *exchange) read() (*node.Result, string, error) {
	lines := bufio.NewScanner(x.process.Stdout)
	lines.Buffer(nil, maxLine)
	var noise strings.Builder
	started := false
	for lines.Scan() {
		line := lines.Bytes()
		var m node.Message
		if err := json.Unmarshal(line, &m); err != nil || (m.Event == nil && m.Result == nil) {
			if started {
				return nil, noise.String(), fmt.Errorf("a line is no message: %.100q", line)
			}
			if noise.Len() < stderrKept {
				noise.Write(line)
				noise.WriteByte('\n')
			}
			continue
		}
		started = true
		if m.Event != nil {
			m.Event.Host = x.host
			x.sink.Emit(*m.Event)
		}
		if m.Result != nil {
			return m.Result, "", nil
		}
	}
	return nil, noise.String(), lines.Err()
}

// Pipe runs the agent with other arguments ("agent", "blobs") and gives its
// standard input and output; wait returns when it has ended. When the context
// ends it is ended.
func (h *Hosts) Pipe(ctx context.Context, host string, args []string) (stdin io.WriteCloser, stdout io.Reader, wait func() error, err error) {
	p, err := h.start(ctx, host, args...)
	if err != nil {
		return nil, nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = p.Close() }) // the caller sees its streams end
	wait = func() error {
		defer stop()
		err := p.Wait()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var exit *ExitError
		if errors.As(err, &exit) {
			return &Error{Kind: Agent, Host: host, Err: err, Detail: strings.TrimSpace(exit.Stderr),
				Message: fmt.Sprintf("the agent (%s) ended: %v", strings.Join(args, " "), err)}
		}
		return err
	}
	return p.Stdin, p.Stdout, wait, nil
}
