package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// proxyEnd is how long a ProxyCommand has to end by itself after its
// connection was closed, before it is killed.
const proxyEnd = 2 * time.Second

// proxyConn is a connection whose bytes go through a ProxyCommand's standard
// input and output (ssh_config(5)).
type proxyConn struct {
	stdin  io.WriteCloser // the child's
	stdout io.ReadCloser
	cmd    *exec.Cmd
	kill   context.CancelFunc
	stderr tail
	addr   proxyAddr
	host   string

	// over: the child has closed one of its streams.
	over atomic.Bool
	// cut: it was ended by Close.
	cut   atomic.Bool
	once  sync.Once
	ended chan struct{} // closed when the child has ended
	how   error         // how it did
}

// proxyAddr stands for both ends of such a connection.
type proxyAddr string

// Network is no network of the system's.
func (a proxyAddr) Network() string { return "proxycommand" }

// String is the address that was to be reached.
func (a proxyAddr) String() string { return string(a) }

// startProxy runs the target's ProxyCommand. It lives until Close.
func startProxy(t Target) (*proxyConn, error) {
	ctx, kill := context.WithCancel(context.Background())
	shell := shellCommand(t.Shell, t.ProxyCommand)
	cmd := exec.CommandContext(ctx, shell.Path)
	cmd.Args, cmd.SysProcAttr = shell.Args, shell.SysProcAttr
	c := &proxyConn{cmd: cmd, kill: kill, addr: proxyAddr(t.Addr()), host: t.Host, ended: make(chan struct{})}
	detach(cmd)
	c.stderr.limit = stderrKept
	cmd.Stderr = &c.stderr
	in, out, err := c.pipes()
	if err == nil {
		err = errors.Join(cmd.Start(), in.Close(), out.Close()) // the child has its own copies
	}
	if err != nil {
		kill()
		if c.stdout != nil {
			err = errors.Join(err, c.stdin.Close(), c.stdout.Close())
		}
		return nil, fmt.Errorf("start its ProxyCommand: %w", err)
	}
	go func() {
		c.how = cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

// pipes makes the child's standard input and output. They are not exec's own
// ones: Wait would close those before all was read.
func (c *proxyConn) pipes() (in, out *os.File, err error) {
	in, toChild, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	fromChild, out, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, in.Close(), toChild.Close())
	}
	c.cmd.Stdin, c.cmd.Stdout = in, out
	c.stdin, c.stdout = toChild, fromChild
	return in, out, nil
}

// Read reads what the child prints.
func (c *proxyConn) Read(p []byte) (int, error) {
	n, err := c.stdout.Read(p)
	if err != nil {
		c.over.Store(true)
	}
	return n, err
}

// Write writes to the child.
func (c *proxyConn) Write(p []byte) (int, error) {
	n, err := c.stdin.Write(p)
	if err != nil {
		c.over.Store(true)
	}
	return n, err
}

// Close closes the streams and sees to it that the child ends: one that has
// closed a stream is about to, another is asked to.
func (c *proxyConn) Close() error {
	c.once.Do(func() {
		_ = c.stdin.Close() // who reads it may be gone already
		if !c.over.Load() || !c.endsSoon() {
			c.cut.Store(true)
			_ = end(c.cmd) // it may have ended this moment
			c.endsSoon()
		}
		c.kill()
		_ = c.stdout.Close() // nobody reads any more
	})
	return nil
}

// endsSoon waits for the child's end for a moment.
func (c *proxyConn) endsSoon() bool {
	select {
	case <-c.ended:
		return true
	case <-time.After(proxyEnd):
		return false
	}
}

// why tells what the child said, and how it ended when it did so by itself.
// It is for after Close.
func (c *proxyConn) why() (message, detail string) {
	if !c.cut.Load() {
		message = "its ProxyCommand ended"
		if c.how != nil {
			message += ": " + c.how.Error()
		}
	}
	return message, strings.TrimSpace(c.stderr.String())
}

// LocalAddr is where the connection was to go: there is no socket.
func (c *proxyConn) LocalAddr() net.Addr { return c.addr }

// RemoteAddr is where the connection was to go.
func (c *proxyConn) RemoteAddr() net.Addr { return c.addr }

// SetDeadline is not possible on such a connection.
func (c *proxyConn) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline is not possible on such a connection.
func (c *proxyConn) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline is not possible on such a connection.
func (c *proxyConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
