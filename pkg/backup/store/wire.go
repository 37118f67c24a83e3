package store

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/time/rate"
)

const (
	// wireChunk is what is written at once at most, in bytes, so that a limit is kept evenly.
	wireChunk = 64 << 10
	// sendBuffer bounds what the kernel takes before it was sent, in bytes; Linux takes twice as much.
	// What is in it can't be told from a server that does not take anything: with partsAtOnce of them
	// on a line of 100 kbit/s it is sent within DefaultStall.
	sendBuffer  = 128 << 10
	dialTimeout = 15 * time.Second
)

// wire dials connections that keep to a limit and that end when nothing moves.
type wire struct {
	limit *rate.Limiter
	stall time.Duration
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if err := tcp.SetWriteBuffer(sendBuffer); err != nil {
			return nil, fmt.Errorf("%w (and %v)", err, tcp.Close())
		}
	}
	return &moving{Conn: conn, wire: w, ctx: context.WithoutCancel(ctx)}, nil
}

// moving is a connection on which something has to move: whatever is sent or received puts off
// the end of both directions, since a server is silent while it is sent to.
type moving struct {
	net.Conn
	*wire
	ctx context.Context
}

func (m *moving) Read(p []byte) (int, error) {
	if m.limit != nil && len(p) > wireChunk {
		p = p[:wireChunk]
	}
	if err := m.moved(); err != nil {
		return 0, err
	}
	n, err := m.Conn.Read(p)
	if n > 0 && err == nil {
		err = m.pace(n)
	}
	return n, m.explain(err)
}

func (m *moving) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		part := p[n:min(n+wireChunk, len(p))]
		if err = m.pace(len(part)); err != nil {
			break
		}
		var wrote int
		if err = m.moved(); err == nil {
			wrote, err = m.Conn.Write(part)
		}
		n += wrote
	}
	return n, m.explain(err)
}

func (m *moving) moved() error { return m.SetDeadline(time.Now().Add(m.stall)) }

func (m *moving) pace(n int) error {
	if m.limit == nil {
		return nil
	}
	return m.limit.WaitN(m.ctx, n)
}

func (m *moving) explain(err error) error {
	if e, ok := err.(net.Error); ok && e.Timeout() { //nolint:errorlint // the connection's own, not wrapped
		return fmt.Errorf("nothing moved for %v: %w", m.stall, err)
	}
	return err
}

// paced is a reader that keeps to a limit; for what goes over no wire of ours.
type paced struct {
	ctx   context.Context
	r     io.Reader
	limit *rate.Limiter
}

func (p *paced) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, context.Cause(p.ctx)
	}
	if p.limit == nil {
		return p.r.Read(b)
	}
	if len(b) > wireChunk {
		b = b[:wireChunk]
	}
	n, err := p.r.Read(b)
	if n > 0 && err == nil {
		err = p.limit.WaitN(p.ctx, n)
	}
	return n, err
}
