package bundle

//lint:file-ignore SA1019 net/http speaks HTTP/2 on listeners and dialled addresses; here it runs over one byte stream that is there already.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/net/http2"
)

// How a dead pipe is noticed: a ping after so long without a frame, and how
// long its answer may take. A link that is merely slow still brings frames.
const (
	pipeIdle = 30 * time.Second
	pipePing = time.Minute
)

// ServePipe gives blobs to the other end of a byte stream until the stream or
// the context ends, neither of which is an error. It closes rw.
func ServePipe(ctx context.Context, rw io.ReadWriteCloser, blobs Upstream) error {
	conn := newPipeConn(rw)
	stop := context.AfterFunc(ctx, func() {
		// The reader notices.
		_ = conn.Close()
	})
	defer stop()
	server := &http2.Server{MaxConcurrentStreams: 1000, ReadIdleTimeout: pipeIdle, PingTimeout: pipePing}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.ServeConn(conn, &http2.ServeConnOpts{Context: ctx, Handler: upstreamHandler(blobs),
			// What ends a pipe is returned, or is what was wanted.
			BaseConfig: &http.Server{ErrorLog: log.New(io.Discard, "", 0)}})
	}()
	select {
	case <-ctx.Done():
		// A stream whose reading end can't be closed from here (a session's
		// output) lets go when the session ends, which may wait for us.
		return nil
	case <-served:
		return errors.Join(conn.failure(), conn.Close())
	}
}

// DialPipe reaches the blobs at the other end of a byte stream, where ServePipe
// runs. The Upstream is good until the context ends, which closes rw.
func DialPipe(ctx context.Context, rw io.ReadWriteCloser) (Upstream, error) {
	conn := newPipeConn(rw)
	transport := &http2.Transport{AllowHTTP: true, ReadIdleTimeout: pipeIdle, PingTimeout: pipePing,
		StrictMaxConcurrentStreams: true, DisableCompression: true}
	client, err := transport.NewClientConn(conn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("blobs over a pipe: %w", err), conn.Close())
	}
	context.AfterFunc(ctx, func() {
		// Requests that are under way fail, which is their news.
		_ = errors.Join(client.Close(), conn.Close())
	})
	return &pipeUpstream{client: client, conn: conn}, nil
}

// pipeUpstream is the asking end of a pipe.
type pipeUpstream struct {
	client *http2.ClientConn
	conn   *pipeConn
}

// Blob asks the other end.
func (p *pipeUpstream) Blob(ctx context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	if err := checkDigest(d); err != nil {
		return nil, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://pipe"+blobPath+d.String(), nil)
	if err != nil {
		return nil, 0, err
	}
	res, err := p.client.RoundTrip(req)
	if err != nil {
		return nil, 0, fmt.Errorf("blob %s over a pipe: %w", d, err)
	}
	if res.StatusCode != http.StatusOK {
		defer closeBody(res)
		return nil, 0, answered(d, res)
	}
	return res.Body, res.ContentLength, nil
}

// answered makes an error of a server's refusal.
func answered(d digest.Digest, res *http.Response) error {
	// Without its text there is still its status.
	text, _ := io.ReadAll(io.LimitReader(res.Body, 2048))
	message := strings.TrimSpace(string(text))
	switch res.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("blob %s: %s: %w", d, message, ErrMissing)
	case http.StatusUnprocessableEntity:
		return fmt.Errorf("blob %s: %s: %w", d, message, errDigest)
	}
	return fmt.Errorf("blob %s: %s: %w", d, message,
		&statusError{url: blobPath + d.String(), status: res.Status, code: res.StatusCode})
}

// pipeConn makes a net.Conn of a byte stream. It has no deadlines: whoever uses
// it ends it by closing.
type pipeConn struct {
	rw     io.ReadWriteCloser
	closed sync.Once
	result error
	done   chan struct{}

	mu   sync.Mutex
	fail error
}

func newPipeConn(rw io.ReadWriteCloser) *pipeConn {
	return &pipeConn{rw: rw, done: make(chan struct{})}
}

func (c *pipeConn) Read(p []byte) (int, error) {
	n, err := c.rw.Read(p)
	c.note(err)
	return n, err
}

func (c *pipeConn) Write(p []byte) (int, error) {
	n, err := c.rw.Write(p)
	c.note(err)
	return n, err
}

// note keeps the first error that is not simply the end.
func (c *pipeConn) note(err error) {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) {
		return
	}
	select {
	case <-c.done:
		return
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail == nil {
		c.fail = err
	}
}

func (c *pipeConn) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fail
}

func (c *pipeConn) Close() error {
	c.closed.Do(func() {
		close(c.done)
		c.result = c.rw.Close()
	})
	return c.result
}

func (c *pipeConn) LocalAddr() net.Addr              { return pipeAddr{} }
func (c *pipeConn) RemoteAddr() net.Addr             { return pipeAddr{} }
func (c *pipeConn) SetDeadline(time.Time) error      { return nil }
func (c *pipeConn) SetReadDeadline(time.Time) error  { return nil }
func (c *pipeConn) SetWriteDeadline(time.Time) error { return nil }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
