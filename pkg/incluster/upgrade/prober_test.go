package upgrade

import (
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
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n := asked.Add(1); {
		case n == 2:
			w.WriteHeader(http.StatusInternalServerError)
		case n == 3:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	config := &rest.Config{TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
	end, err := probe(t.Context(), config, strings.TrimPrefix(server.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); asked.Load() < 5; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("asked %d times", asked.Load())
		}
	}
	if p := end(); p.asked < 4 || p.asked-p.answered != 1 {
		t.Errorf("got %s", p)
	}
	server.Close()
	if end, err = probe(t.Context(), config, strings.TrimPrefix(server.URL, "https://")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * probeInterval)
	if p := end(); p.answered != 0 || p.asked == 0 {
		t.Errorf("nobody is there, and %s", p)
	}
}
