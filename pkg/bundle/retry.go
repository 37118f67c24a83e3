package bundle

//lint:file-ignore SA1019 net/http speaks HTTP/2 on listeners and dialled addresses; here it runs over one byte stream that is there already.

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/containers/image/v5/docker"
	"golang.org/x/net/http2"
)

// readAttempts bounds how often one read from a network is tried; the waits
// between them double from readWait up to 16 times that.
const (
	readAttempts = 5
	readWait     = 500 * time.Millisecond
)

// retryRead runs a read until it succeeds, fails for good, or has been tried
// readAttempts times. Only for reads: nothing that changes anything elsewhere.
// note, which may be nil, is told of each failure that is tried again.
func retryRead(ctx context.Context, note func(error), read func() error) error {
	return retryMoving(ctx, note, func() int64 { return 0 }, read)
}

// retryMoving is retryRead for what goes on where it broke off: the count
// begins anew whenever a try has moved forward.
func retryMoving(ctx context.Context, note func(error), at func() int64, read func() error) error {
	wait, before := readWait, at()
	for attempt := 1; ; attempt++ {
		err := read()
		if now := at(); now > before {
			wait, before, attempt = readWait, now, 1
		}
		if err == nil || attempt == readAttempts || ctx.Err() != nil || !transient(err) {
			return err
		}
		if note != nil {
			note(err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(ctx.Err(), err)
		case <-timer.C:
		}
		wait *= 2
	}
}

// statusError is an HTTP answer that was not the one hoped for.
type statusError struct {
	url    string
	status string
	code   int
}

func (e *statusError) Error() string { return "GET " + e.url + ": " + e.status }

// transient tells whether a failed read may go well a moment later: the network
// broke, or the server says that it is overloaded. A wrong answer is not.
func transient(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, errDigest) {
		return false
	}
	var status *statusError
	if errors.As(err, &status) {
		return transientStatus(status.code)
	}
	var registry docker.UnexpectedHTTPStatusError
	if errors.As(err, &registry) {
		return transientStatus(registry.StatusCode)
	}
	var alert tls.AlertError
	var untrusted *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	if errors.As(err, &alert) || errors.As(err, &untrusted) || errors.As(err, &noTLS) {
		return false
	}
	var name *net.DNSError
	if errors.As(err, &name) {
		return !name.IsNotFound
	}
	// A url.Error is a net.Error whatever is in it, hence not asked for.
	var operation *net.OpError
	var slow interface{ Timeout() bool }
	var stream http2.StreamError
	var away http2.GoAwayError
	return errors.As(err, &operation) || errors.As(err, &stream) || errors.As(err, &away) ||
		(errors.As(err, &slow) && slow.Timeout()) ||
		errors.Is(err, docker.ErrTooManyRequests) ||
		errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.ECONNREFUSED) ||
		errors.Is(err, syscall.EPIPE)
}

func transientStatus(code int) bool {
	return code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500
}
