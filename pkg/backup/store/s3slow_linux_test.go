package store

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"

	"golang.org/x/time/rate"

	"github.com/kubectl-ha/kubectl-ha/test/s3test"
)

// line is one of so many bytes a second for all connections that it accepts, with little room before it.
type line struct {
	net.Listener
	limit *rate.Limiter
}

func (l line) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return slow{conn, l.limit}, nil
}

// slow is a connection over the line. It has no deadlines of its own: http.Server sets some, and takes any
// error but a plain one of these for the end of the connection.
type slow struct {
	net.Conn
	limit *rate.Limiter
}

func (s slow) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p[:min(len(p), wireChunk)])
	if n > 0 {
		if waited := s.limit.WaitN(context.Background(), n); waited != nil {
			return n, waited
		}
	}
	return n, err
}

// TestS3Slow: a line of 100 kbit/s is slow and no reason to give up: here one of 60 times as much, with a
// 60th of the patience. It takes most of a minute, and goes by time: S3_SLOW=1 has it run, on a machine
// that does nothing else.
func TestS3Slow(t *testing.T) {
	if os.Getenv("S3_SLOW") == "" {
		t.Skip("S3_SLOW is not set: it wants the machine for itself")
	}
	const scale = 60
	limit := rate.NewLimiter(12_500*scale, wireChunk)
	c := s3Config(s3test.Start(t).Before(func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) }, func() (net.Listener, error) {
		small := net.ListenConfig{Control: func(_, _ string, conn syscall.RawConn) (err error) {
			failed := conn.Control(func(fd uintptr) {
				// Packets as on a network: loopback's are larger than all that is to be under way.
				err = errors.Join(syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 1400), syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10))
			})
			return errors.Join(failed, err)
		}}
		l, err := small.Listen(t.Context(), "tcp", "127.0.0.1:0")
		return line{l, limit}, err
	}))
	c.Stall = DefaultStall / scale
	s := open(t, c)
	content := random(t, partsAtOnce*partBytes)
	if err := s.Put(t.Context(), "id/b/x", bytes.NewReader(content)); err != nil {
		t.Error(err)
	}
}
