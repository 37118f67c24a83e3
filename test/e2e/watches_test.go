//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// servers tells the apiservers by their certificates, of which each has its own: serial
// number to host.
func (c *cluster) servers(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, h := range c.names("control-plane") {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", net.JoinHostPort(c.addressOf(h), "6443"), c.tls(t))
		if err != nil {
			t.Fatal(err)
		}
		out[conn.ConnectionState().PeerCertificates[0].SerialNumber.String()] = h
		conn.Close()
	}
	return out
}

func (c *cluster) tls(t *testing.T) *tls.Config {
	t.Helper()
	config, err := rest.TLSConfigFor(c.config)
	if err != nil {
		t.Fatal(err)
	}
	config.NextProtos = []string{"http/1.1"}
	return config
}

// ask opens a new connection through the load balancer, and says who is at its end.
func (c *cluster) ask(t *testing.T, servers map[string]string) string {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 3 * time.Second}, "tcp", net.JoinHostPort(c.vip, balancedPort), c.tls(t))
	if err != nil {
		t.Errorf("a new connection: %v", err)
		return ""
	}
	defer conn.Close()
	return servers[conn.ConnectionState().PeerCertificates[0].SerialNumber.String()]
}

// watches are clients each of which keeps a watch through the load balancer.
type watches struct {
	mu    sync.Mutex
	at    map[int]string
	ended map[string]int
}

func (w *watches) on(host string) int { return w.count()[host] }

func (w *watches) count() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int{}
	for _, host := range w.at {
		out[host]++
	}
	return out
}

func (w *watches) open() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.at)
}

// lost are the watches that ended, by who was at their end.
func (w *watches) lost() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.ended)
}

// openWatches opens n watches, and returns when all are open. Who loses one opens another
// when it is to be opened again.
func (c *cluster) openWatches(t *testing.T, servers map[string]string, n int, again bool) *watches {
	t.Helper()
	w := &watches{at: map[int]string{}, ended: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	t.Cleanup(func() { cancel(); all.Wait() })
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: c.tls(t), DisableKeepAlives: true,
		DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, TLSHandshakeTimeout: 3 * time.Second}}
	url := fmt.Sprintf("https://%s/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=3600", net.JoinHostPort(c.vip, balancedPort))
	for i := range n {
		all.Go(func() {
			for ctx.Err() == nil {
				w.keep(ctx, client, url, i, servers)
				select {
				case <-ctx.Done():
				case <-time.After(200 * time.Millisecond):
				}
				if !again {
					return
				}
			}
		})
	}
	eventually(t, 30*time.Second, fmt.Sprintf("%d watches are open", n), func() (bool, string) {
		return w.open() == n, fmt.Sprint(w.count())
	})
	return w
}

// keep opens one watch and returns when it has ended.
func (w *watches) keep(ctx context.Context, client *http.Client, url string, i int, servers map[string]string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		return // It is tried again, or the count tells.
	}
	defer resp.Body.Close()
	host := servers[resp.TLS.PeerCertificates[0].SerialNumber.String()]
	w.mu.Lock()
	w.at[i] = host
	w.mu.Unlock()
	_, _ = io.Copy(io.Discard, bufio.NewReader(resp.Body))
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.at, i)
	if ctx.Err() == nil {
		w.ended[host]++
	}
}
