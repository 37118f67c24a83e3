package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// takeFeeds takes feeds at the socket until the context ends.
func (t *task) takeFeeds(ctx context.Context) (err error) {
	socket := t.env.Host.Path(t.feedSocket)
	// One task at a time is on a host, so what is there is of one that has ended.
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("listen for kubectl ha images push: %w", err)
	}
	// The directory lets nobody else in before that.
	if err := os.Chmod(socket, 0o600); err != nil {
		return errors.Join(err, l.Close())
	}
	undo, err := t.linkAgent()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	defer func() { err = errors.Join(err, undo()) }()
	stop := context.AfterFunc(ctx, func() {
		// Ends the loop below.
		_ = l.Close()
	})
	defer stop()
	return t.accept(ctx, l, &serving)
}

// accept takes feeds until the context ends or the listener is closed.
func (t *task) accept(ctx context.Context, l net.Listener, serving *sync.WaitGroup) error {
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			// One that went again before it was taken, or a shortage that lasts.
			pause(ctx, acceptInterval)
			continue
		}
		serving.Go(func() {
			if err := t.peer.ServeFeed(ctx, conn); err != nil && ctx.Err() == nil {
				t.env.Sink.Emit(report.Event{Kind: report.Info, Message: fmt.Sprintf("the workstation's connection ended: %v", err)})
			}
		})
	}
}

// linkAgent makes this program one that can be executed on the host under
// AgentLink, until undo.
func (t *task) linkAgent() (undo func() error, err error) {
	link := t.env.Host.Path(AgentLink)
	remove := func() error {
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := remove(); err != nil {
		return nil, err
	}
	return remove, os.Symlink(fmt.Sprintf("/proc/%d/exe", os.Getpid()), link)
}

// acceptInterval is the pause after a feed that could not be taken.
const acceptInterval = 200 * time.Millisecond

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

const (
	// feedWithin is how long `agent feed` waits for the task to listen: its pod
	// runs a moment before it does.
	feedWithin   = 30 * time.Second
	feedInterval = 100 * time.Millisecond
)

// Feed connects standard input and output to the task's socket, until either
// end is closed. It is what kubectl ha images push executes in a node's pod.
func Feed(ctx context.Context, socket string, stdin io.Reader, stdout io.Writer) error {
	conn, err := dialFeed(ctx, socket)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		// Ends both copies.
		_ = conn.Close()
	})
	defer stop()
	go func() {
		defer cancel()
		// The other end sees the connection's end, whatever the reason.
		_, _ = io.Copy(conn, stdin)
	}()
	if _, err = io.Copy(stdout, conn); ctx.Err() != nil {
		return nil
	}
	return err
}

func dialFeed(ctx context.Context, socket string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, feedWithin)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to the task on this node: %w", err)
		case <-time.After(feedInterval):
		}
	}
}
