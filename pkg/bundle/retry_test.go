package bundle

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/containers/image/v5/docker"
)

func TestTransient(t *testing.T) {
	inURL := func(err error) error { return &url.Error{Op: "Get", URL: "https://x", Err: err} }
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"refused":        {inURL(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), true},
		"cut off":        {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		"closed":         {inURL(io.EOF), true},
		"busy":           {&statusError{code: 503}, true},
		"too many":       {&statusError{code: 429}, true},
		"registry busy":  {docker.UnexpectedHTTPStatusError{StatusCode: 502}, true},
		"stalled":        {fmt.Errorf("GET: %w", stalled{time.Second}), true},
		"DNS is away":    {inURL(&net.OpError{Op: "dial", Err: &net.DNSError{IsTimeout: true}}), true},
		"no such name":   {inURL(&net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}), false},
		"not found":      {&statusError{code: 404}, false},
		"forbidden":      {docker.UnexpectedHTTPStatusError{StatusCode: 403}, false},
		"wrong content":  {fmt.Errorf("blob: %w", errDigest), false},
		"cancelled":      {inURL(context.Canceled), false},
		"untrusted":      {inURL(&tls.CertificateVerificationError{Err: errors.New("x")}), false},
		"untrusting":     {inURL(&net.OpError{Op: "remote error", Err: tls.AlertError(42)}), false},
		"no TLS":         {inURL(tls.RecordHeaderError{Msg: "x"}), false},
		"unknown scheme": {inURL(errors.New("unsupported protocol scheme")), false},
		"disk full":      {fmt.Errorf("write: %w", syscall.ENOSPC), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := transient(c.err); got != c.want {
				t.Errorf("transient(%v) is %t", c.err, got)
			}
		})
	}
}

// A transfer that moves on each try is not given up; one that does not is.
func TestRetryMoving(t *testing.T) {
	tries, at := 0, int64(0)
	err := retryMoving(t.Context(), nil, func() int64 { return at }, func() error {
		if tries++; tries == readAttempts+2 {
			return nil
		}
		at++
		return io.ErrUnexpectedEOF
	})
	if err != nil || tries != readAttempts+2 {
		t.Errorf("moving: %d tries, %v", tries, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	tries = 0
	err = retryRead(ctx, func(error) { cancel() }, func() error { tries++; return io.ErrUnexpectedEOF })
	if !errors.Is(err, context.Canceled) || tries != 1 {
		t.Errorf("cancelled: %d tries, %v", tries, err)
	}
}
