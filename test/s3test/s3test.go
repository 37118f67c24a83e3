// Package s3test runs a real S3 server for tests, and proxies that stand in front of it and break
// what goes through them.
package s3test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// Bucket is there from the beginning. Access and Secret are the server's only credentials, and
// Region is its.
const (
	Bucket = "bucket"
	Access = "me"
	Secret = "secret-of-mine"
	Region = "us-east-1"
)

// Server is one that runs.
type Server struct {
	// Endpoint is http://ADDRESS:PORT.
	Endpoint string
	t        *testing.T
	dir      string
	cmd      *exec.Cmd
}

// Start runs the server that VERSITYGW names until the test ends; without one the test is skipped.
func Start(t *testing.T) *Server {
	t.Helper()
	if os.Getenv("VERSITYGW") == "" {
		t.Skip("VERSITYGW does not name an S3 server (go install github.com/versity/versitygw/cmd/versitygw@v1.8.0)")
	}
	s := &Server{t: t, dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(s.dir, Bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Endpoint = "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	s.Again()
	return s
}

// Kill ends the server as a power loss would.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // how it ends is of no interest
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Again starts it on what it has, at the same address.
func (s *Server) Again() {
	s.t.Helper()
	address := s.url().Host
	s.cmd = exec.Command(os.Getenv("VERSITYGW"), "--access", Access, "--secret", Secret, "--port", address, "posix", s.dir)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	if !poll.Until(30*time.Second, func() bool {
		c, err := net.Dial("tcp", address)
		return err == nil && c.Close() == nil
	}) {
		s.t.Fatalf("nobody listens on %s", address)
	}
}

func (s *Server) url() *url.URL {
	s.t.Helper()
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

// Before starts a proxy in front of the server, and gives its endpoint. fault sees each request
// first: it answers itself, or has next answer. listen makes the proxy's listener; nil is one of loopback.
func (s *Server) Before(fault func(w http.ResponseWriter, r *http.Request, next http.Handler), listen func() (net.Listener, error)) string {
	s.t.Helper()
	back := s.url()
	// The signature is of the host that was asked.
	// A connection that the server ends while it is idle would be a fault that nobody asked for.
	through := &httputil.ReverseProxy{Transport: &http.Transport{DisableKeepAlives: true}, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(back); r.Out.Host = r.In.Host }}
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fault(w, r, through) }))
	if listen != nil {
		l, err := listen()
		if err != nil {
			s.t.Fatal(err)
		}
		if err := proxy.Listener.Close(); err != nil {
			s.t.Fatal(err)
		}
		proxy.Listener = l
	}
	proxy.Start()
	s.t.Cleanup(proxy.Close)
	return proxy.URL
}
