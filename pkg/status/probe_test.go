package status

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// TestShown: a way that is silent, as through a firewall that drops what is sent, costs a moment and not the
// whole time that one question has; what is shown is the same by both ways.
func TestShown(t *testing.T) {
	ca, err := pki.NewCA("test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	serve := func(name string) dialer {
		pair, err := pki.Issue(ca, pki.Request{CommonName: name, Server: true})
		if err != nil {
			t.Fatal(err)
		}
		shows, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
		if err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			go func() {
				_ = tls.Server(there, &tls.Config{Certificates: []tls.Certificate{shows}}).HandshakeContext(ctx) // Whoever asked may be gone.
				_ = there.Close()
			}()
			return here, nil
		}
	}
	one, other := serve("one"), serve("other")
	refused := errors.New("connection refused")
	silent := func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, context.Cause(ctx) }
	refuses := func(context.Context) (net.Conn, error) { return nil, refused }
	for name, tc := range map[string]struct {
		direct, other dialer
		shows         string // Empty: nothing.
		after         time.Duration
		err           error
	}{
		"directly":                  {one, other, "one", 0, nil},
		"directly, and only so":     {one, silent, "one", 0, nil},
		"the direct way is silent":  {silent, other, "other", headStart, nil},
		"the direct way is refused": {refuses, other, "other", 0, nil},
		"both are refused":          {refuses, func(context.Context) (net.Conn, error) { return nil, errNoPod }, "", 0, refused},
		"silent, and no other":      {silent, refuses, "", probeTimeout, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				cert, dial, err := shown(t.Context(), tc.direct, tc.other)
				if !errors.Is(err, tc.err) || (cert == nil) != (tc.shows == "") || time.Since(began) != tc.after || dial == nil {
					t.Fatalf("%v, %v after %v", cert, err, time.Since(began))
				}
				if cert != nil && cert.Subject.CommonName != tc.shows {
					t.Errorf("%s is shown", cert.Subject.CommonName)
				}
			})
		})
	}
}
