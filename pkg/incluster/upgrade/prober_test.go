package upgrade

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

func TestProbe(t *testing.T) {
	var asked atomic.Int32
	seen := make(chan struct{}, 1000)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { seen <- struct{}{} }()
		switch n := asked.Add(1); {
		case n == 2:
			w.WriteHeader(http.StatusInternalServerError)
		case n == 3:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	await := func(n int) {
		t.Helper()
		deadline := time.After(30 * time.Second)
		for i := range n {
			select {
			case <-seen:
			case <-deadline:
				t.Fatalf("asked %d times, not %d", i, n)
			}
		}
	}
	config := &rest.Config{TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
	end, err := probe(t.Context(), config, strings.TrimPrefix(server.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	await(5)
	if p := end(); p.asked < 4 || p.asked-p.answered != 1 {
		t.Errorf("got %s", p)
	}
	server.Close()
	for len(seen) > 0 {
		<-seen
	}
	// One that hangs up: nobody who does not listen could say that he was asked.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // the test is over
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
			seen <- struct{}{}
		}
	}()
	if end, err = probe(t.Context(), config, listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	await(5)
	if p := end(); p.answered != 0 || p.asked == 0 {
		t.Errorf("nobody answers, and %s", p)
	}
}
