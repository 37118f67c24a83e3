package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"k8s.io/klog/v2"
)

// Process is a command that runs on a host.
type Process struct {
	// Stdin is the command's; closing it is how an agent is told to end.
	Stdin io.WriteCloser
	// Stdout is the command's.
	Stdout io.Reader

	conn    *Conn
	session *xssh.Session
	argv    []string
	began   time.Time
	stderr  tail
}

// Start starts a command. The context bounds only the start.
func (c *Conn) Start(ctx context.Context, argv []string) (*Process, error) {
	line, err := Quote(argv)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	session, err := c.client.NewSession()
	if err != nil {
		return nil, c.sessionError("opening a session", err)
	}
	p := &Process{conn: c, session: session, argv: argv, began: time.Now()}
	p.stderr.limit = stderrKept
	session.Stderr = &p.stderr
	p.Stdin, err = session.StdinPipe()
	if err == nil {
		p.Stdout, err = session.StdoutPipe()
	}
	if err == nil {
		err = session.Start(line)
	}
	if err != nil {
		_ = session.Close() // the error below says it all
		klog.V(4).InfoS("SSH command can't be started", "host", c.target.Name, "argv", argv, "err", err)
		return nil, c.sessionError("starting "+argv[0], err)
	}
	klog.V(4).InfoS("SSH command begins", "host", c.target.Name, "argv", argv)
	return p, nil
}

func (c *Conn) sessionError(doing string, err error) error {
	var refused *xssh.OpenChannelError
	if errors.As(err, &refused) {
		return &Error{Kind: Agent, Host: c.target.Name, Message: fmt.Sprintf("%s: sshd refused it: %v", doing, err), Err: err,
			Hint: "sshd allows only so many sessions per connection (MaxSessions, 10 by default)"}
	}
	c.fail(err)
	return c.lostError(doing)
}

// Wait waits until the command has ended; all of Stdout must have been read
// before. The error is an *ExitError or, when the connection ended first, an *Error.
func (p *Process) Wait() error {
	err := p.session.Wait()
	defer func() { p.log(err) }()
	var exit *xssh.ExitError
	var missing *xssh.ExitMissingError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		e := &ExitError{Argv: p.argv, Code: exit.ExitStatus(), Signal: exit.Signal(), Stderr: p.stderr.String()}
		if e.Signal != "" {
			e.Code = -1
		}
		return e
	case errors.As(err, &missing):
		return p.conn.lostError("waiting for " + p.argv[0])
	default:
		return fmt.Errorf("%s: wait for %s: %w", p.conn.target.Name, p.argv[0], err)
	}
}

// log tells of a command that has ended, at klog's level 4. No argv holds a secret: those
// travel by standard input.
func (p *Process) log(err error) {
	var exit *xssh.ExitError
	kv := []any{"host", p.conn.target.Name, "argv", p.argv, "took", time.Since(p.began).Round(time.Millisecond)}
	switch {
	case err == nil:
		kv = append(kv, "exit", 0)
	case errors.As(err, &exit) && exit.Signal() == "":
		kv = append(kv, "exit", exit.ExitStatus())
	default:
		kv = append(kv, "err", err)
	}
	klog.V(4).InfoS("SSH command ended", kv...)
}

// Close ends the session, whatever the command is doing. It sees its standard
// input closed.
func (p *Process) Close() error {
	if err := p.session.Close(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// Stderr is the end of what the command printed there so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// Run runs a command and waits for it. Nil streams are empty or dropped. The
// error is an *ExitError, which then has the end of what was printed to stderr,
// an *Error, or the context's.
func (c *Conn) Run(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	p, err := c.Start(ctx, argv)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }() // it has ended, or is to be given up
	stop := context.AfterFunc(ctx, func() { _ = p.Close() })
	defer stop()
	sent := make(chan error, 1)
	go func() { sent <- feed(p.Stdin, stdin) }()
	if stdout == nil {
		stdout = io.Discard
	}
	_, readErr := io.Copy(stdout, p.Stdout)
	err = p.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if stderr != nil {
		// What stderr's writer does not take is its own loss.
		_, _ = io.WriteString(stderr, p.Stderr())
	}
	if err != nil {
		return err
	}
	if err := errors.Join(readErr, <-sent); err != nil {
		return fmt.Errorf("%s: the streams of %s: %w", c.target.Name, argv[0], err)
	}
	return nil
}

// feed copies all of r to the command and closes its standard input. A command
// that ends without having read everything is no error here: its exit code counts.
func feed(w io.WriteCloser, r io.Reader) error {
	var err error
	if r != nil {
		_, err = io.Copy(w, r)
	}
	if e := w.Close(); err == nil {
		err = e
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// output runs a command and returns the last line it printed that is not empty:
// the shells of some accounts print a greeting before it.
func (c *Conn) output(ctx context.Context, argv ...string) (string, error) {
	var out bytes.Buffer
	if err := c.Run(ctx, argv, nil, &out, nil); err != nil {
		return "", err
	}
	text := strings.TrimSpace(out.String())
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:]), nil
}

// stderrKept is how much of the end of a command's stderr is kept, in bytes.
const stderrKept = 64 << 10

// tail keeps the last bytes written to it.
type tail struct {
	mu    sync.Mutex
	limit int
	data  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if over := len(t.data) - t.limit; over > 0 {
		t.data = append([]byte(nil), t.data[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.data)
}
