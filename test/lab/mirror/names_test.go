package mirror

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// TestServeNames: whoever looks a name up learns at once that there is none.
func TestServeNames(t *testing.T) {
	probe, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := probe.LocalAddr().String()
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ServeNames(ctx, address) }()
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", address)
	}}
	within, done := context.WithTimeout(ctx, 30*time.Second)
	defer done()
	for {
		_, err := r.LookupHost(within, "outside.example.")
		var e *net.DNSError
		if errors.As(err, &e) && e.IsNotFound {
			break
		}
		if within.Err() != nil {
			t.Fatalf("no answer that there is no such name, last: %v", err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestNoSuchNameOfWhatIsNoQuestion(t *testing.T) {
	for _, bad := range [][]byte{nil, {1, 2, 3}, make([]byte, 11), {0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0}} {
		if answer, err := noSuchName(bad); err == nil {
			t.Errorf("%x was answered by %x", bad, answer)
		}
	}
}
