package client

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
)

// TestForwarder asks for WebSocket, and for SPDY where there is none.
func TestForwarder(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, strings.ToLower(r.Header.Get("Upgrade")))
		mu.Unlock()
		http.Error(w, "no way to change the protocol", http.StatusBadRequest)
	}))
	defer s.Close()
	u, err := url.Parse(s.URL + "/api/v1/namespaces/x/pods/y/portforward")
	if err != nil {
		t.Fatal(err)
	}
	dialer, err := forwarder(&rest.Config{Host: s.URL}, u, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name); err == nil {
		t.Error("there is a connection")
	} else {
		t.Logf("%T %v", err, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"websocket", "spdy/3.1"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}
