package balancer

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// The tests here run real programs, named by HAPROXY and NGINX (paths).

// world is some control planes on loopback addresses, and a load balancer before them.
type world struct {
	t        *testing.T
	kind     string
	pki      *authority
	port     int
	front    int32
	dir      string
	mu       sync.Mutex
	listed   []Backend
	servers  map[string]*apiserver
	settings Settings
	client   *http.Client
}

// apiserver answers as much as the load balancer and its clients ask for.
type apiserver struct {
	name   string
	paused gate
	// strangers is what those are answered who do not prove who they are; 0 is all is well.
	strangers atomic.Int32
	server    *http.Server
}

// gate lets through unless it is shut.
type gate struct {
	mu sync.Mutex
	// opens is closed when it opens again; nil while it is open.
	opens chan struct{}
}

// Store shuts it, or opens it again.
func (g *gate) Store(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case shut && g.opens == nil:
		g.opens = make(chan struct{})
	case !shut && g.opens != nil:
		close(g.opens)
		g.opens = nil
	}
}

// pass returns once it is open.
func (g *gate) pass() {
	g.mu.Lock()
	opens := g.opens
	g.mu.Unlock()
	if opens != nil {
		<-opens
	}
}

// pausedConn is a connection of a process that may be stopped: its peer is answered by
// the kernel alone.
type pausedConn struct {
	net.Conn
	s *apiserver
}

func (c pausedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.s.paused.pass()
	return n, err
}

func (c pausedConn) Write(p []byte) (int, error) {
	c.s.paused.pass()
	return c.Conn.Write(p)
}

type pausedListener struct {
	net.Listener
	s *apiserver
}

func (l pausedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return pausedConn{c, l.s}, err
}

func newWorld(t *testing.T, kind string, names ...string) *world {
	t.Helper()
	path := os.Getenv(strings.ToUpper(kind))
	if path == "" {
		t.Skipf("%s names no program", strings.ToUpper(kind))
	}
	bin := t.TempDir()
	if err := os.Symlink(path, filepath.Join(bin, kind)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	w := &world{t: t, kind: kind, pki: newAuthority(t), dir: t.TempDir(), servers: map[string]*apiserver{}}
	w.port, w.front = freePort(t), int32(freePort(t))
	for _, n := range names {
		w.add(n)
	}
	w.settings = Settings{Type: kind, Port: w.front, APIServerPort: int32(w.port), Backends: w.listed}
	w.write("settings.json", w.settings)
	for name, content := range map[string][]byte{"ca.crt": w.pki.pem, "token": []byte("secret\n")} {
		if err := os.WriteFile(filepath.Join(w.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config, err := tlsConfig(filepath.Join(w.dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	w.client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	return w
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (w *world) write(name string, v any) {
	w.t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, name), raw, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// add starts an apiserver and lists it.
func (w *world) add(name string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	address := fmt.Sprintf("127.0.0.%d", 1+len(w.servers))
	l, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(w.port)))
	if err != nil {
		w.t.Fatal(err)
	}
	s := &apiserver{name: name}
	s.server = &http.Server{Handler: w.handler(s), TLSConfig: &tls.Config{Certificates: []tls.Certificate{w.pki.serving}},
		ErrorLog: quietLog(), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.server.ServeTLS(pausedListener{l, s}, "", "") }()
	w.t.Cleanup(func() { s.paused.Store(false); _ = s.server.Close() })
	w.servers[name] = s
	w.listed = append(w.listed, Backend{Name: name, Address: address})
}

func (w *world) handler(s *apiserver) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(out http.ResponseWriter, _ *http.Request) {
		if status := s.strangers.Load(); status != 0 {
			http.Error(out, "who?", int(status))
			return
		}
		fmt.Fprint(out, "ok")
	})
	mux.HandleFunc("/name", func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, s.name) })
	mux.HandleFunc("/watch", func(out http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(out, s.name)
		_ = http.NewResponseController(out).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/api/v1/nodes", func(out http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" || r.URL.Query().Get("labelSelector") != "node-role.kubernetes.io/control-plane" {
			http.Error(out, "who?", http.StatusForbidden)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		var list corev1.NodeList
		for _, b := range w.listed {
			n := corev1.Node{}
			n.Name = b.Name
			n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: b.Name}, {Type: corev1.NodeInternalIP, Address: b.Address}}
			list.Items = append(list.Items, n)
		}
		_ = json.NewEncoder(out).Encode(list)
	})
	return mux
}

// run starts a load balancer, as a pod would, and returns once it serves. What it
// returns ends it.
func (w *world) run() (stop func()) {
	w.t.Helper()
	_, stop = w.runIn()
	return stop
}

// health is who is told to be up, by the load balancer that runs in dir.
func (w *world) health(dir string) map[string]bool {
	w.t.Helper()
	s, err := ReadState(w.t.Context(), dir, filepath.Join(w.dir, "ca.crt"))
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]bool{}
	for _, h := range s.Health {
		out[h.Name] = h.Up
	}
	return out
}

// runIn is run, and tells the folder of the load balancer's state.
func (w *world) runIn() (dir string, stop func()) {
	w.t.Helper()
	dir = w.t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	var err error
	go func() {
		defer close(ended)
		err = Run(ctx, Options{SettingsFile: filepath.Join(w.dir, "settings.json"), Dir: dir, CAFile: filepath.Join(w.dir, "ca.crt"),
			TokenFile: filepath.Join(w.dir, "token"), Log: func(f string, a ...any) { w.t.Logf(f, a...) }})
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			<-ended
			if err != nil {
				w.t.Error(err)
			}
		})
	}
	w.t.Cleanup(stop)
	w.until(20*time.Second, "the load balancer to serve", func() bool {
		select {
		case <-ended:
			w.t.Fatalf("it ended: %v", err)
		default:
		}
		_, err := ReadState(ctx, dir, filepath.Join(w.dir, "ca.crt"))
		return err == nil
	})
	return dir, stop
}

func (w *world) until(limit time.Duration, what string, ok func() bool) {
	w.t.Helper()
	if !poll.Until(limit, ok) {
		w.t.Fatalf("not within %s: %s", limit, what)
	}
}

func (w *world) get(path string) (string, error) {
	resp, err := w.client.Get(fmt.Sprintf("https://127.0.0.1:%d%s", w.front, path))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// watch opens a stream and says who serves it; the channel is closed when it ends.
func (w *world) watch() (string, <-chan struct{}) {
	w.t.Helper()
	streaming := &http.Client{Transport: w.client.Transport}
	resp, err := streaming.Get(fmt.Sprintf("https://127.0.0.1:%d/watch", w.front))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = resp.Body.Close() })
	lines := bufio.NewReader(resp.Body)
	name, err := lines.ReadString('\n')
	if err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, lines)
	}()
	return strings.TrimSpace(name), ended
}

// watchEach opens streams until each apiserver has one.
func (w *world) watchEach() map[string]<-chan struct{} {
	w.t.Helper()
	streams := map[string]<-chan struct{}{}
	w.until(20*time.Second, "a stream to each", func() bool {
		name, ended := w.watch()
		streams[name] = ended
		return len(streams) == len(w.servers)
	})
	return streams
}

// prober asks again and again on new connections, a hundred a second.
type prober struct {
	w      *world
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu     sync.Mutex
	good   int
	failed []error
}

func (w *world) probe() *prober {
	ctx, cancel := context.WithCancel(context.Background())
	p := &prober{w: w, cancel: cancel}
	p.all.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			p.all.Go(p.one)
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	return p
}

func (p *prober) one() {
	_, err := p.w.get("/name")
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed = append(p.failed, err)
	} else {
		p.good++
	}
}

// more waits until n more have been answered.
func (p *prober) more(n int) {
	p.w.t.Helper()
	had := p.answered()
	p.w.until(time.Minute, fmt.Sprintf("%d more answers", n), func() bool { return p.answered() >= had+n })
}

func (p *prober) answered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.good
}

// end ends it and tells how many answered, and what failed.
func (p *prober) end() (int, []error) {
	p.cancel()
	p.all.Wait()
	return p.good, p.failed
}

func kinds() []string { return []string{v1alpha1.LoadBalancerHAProxy, v1alpha1.LoadBalancerNginx} }

// TestFollows: a control plane that comes gets connections, without any new connection
// failing and without an open stream ending.
func TestFollows(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, kind, "cp1", "cp2")
			w.run()
			_, ended := w.watch()
			probes := w.probe()
			w.add("cp3")
			w.until(20*time.Second, "the new one to be asked", func() bool { name, _ := w.get("/name"); return name == "cp3" })
			probes.more(100)
			good, failed := probes.end()
			if good == 0 || len(failed) > 0 {
				t.Errorf("%d answered, %d failed: %v", good, len(failed), failed)
			}
			select {
			case <-ended:
				t.Error("an open stream was ended")
			default:
			}
		})
	}
}

// TestHandOver: a second pod takes the socket from the first, which then ends, and no
// new connection fails.
func TestHandOver(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, kind, "cp1", "cp2")
			first := w.run()
			probes := w.probe()
			for range 3 {
				next := w.run()
				first()
				first = next
			}
			good, failed := probes.end()
			if good == 0 || len(failed) > 0 {
				t.Errorf("%d answered, %d failed: %v", good, len(failed), failed)
			}
		})
	}
}

// TestPaused: an apiserver that does not answer any more, as one that is frozen, is out
// of rotation within three seconds and its streams end within ten; those of the others
// live, with haproxy.
func TestPaused(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, kind, "cp1", "cp2", "cp3")
			dir, _ := w.runIn()
			streams := w.watchEach()
			w.servers["cp2"].paused.Store(true)
			began := time.Now()
			<-streams["cp2"]
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("its stream ended after %s", took)
			} else {
				t.Logf("its stream ended after %s", took)
			}
			<-time.After(time.Until(began.Add(3 * time.Second))) // what it may take, from here on it must be out
			for range 20 {
				if _, err := w.get("/name"); err != nil {
					t.Errorf("3 s later: %v", err)
				}
			}
			if kind == v1alpha1.LoadBalancerNginx {
				// It can't end the streams of one alone; and who is well again is out a
				// little longer, which is told.
				w.servers["cp2"].paused.Store(false)
				if up := w.health(dir)["cp2"]; up {
					t.Error("it is told to be up as soon as it answers, though it gets no connections")
				}
				w.until(20*time.Second, "it to be up again", func() bool { return w.health(dir)["cp2"] })
				w.until(20*time.Second, "it to be asked again", func() bool { name, _ := w.get("/name"); return name == "cp2" })
				return
			}
			for _, name := range []string{"cp1", "cp3"} {
				select {
				case <-streams[name]:
					t.Errorf("the stream of %s was ended", name)
				default:
				}
			}
			w.servers["cp2"].paused.Store(false)
			w.until(20*time.Second, "it to be asked again", func() bool { name, _ := w.get("/name"); return name == "cp2" })
		})
	}
}

// TestStrangers: an apiserver that refuses strangers while the others don't has just
// started and serves nobody yet. Where all of them do that it says nothing of their health.
func TestStrangers(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, kind, "cp1", "cp2", "cp3")
			refuse := func(status int32, names ...string) {
				for _, n := range names {
					w.servers[n].strangers.Store(status)
				}
			}
			dir, _ := w.runIn()
			refuse(http.StatusForbidden, "cp2")
			w.until(20*time.Second, "it to be out", func() bool { h := w.health(dir); return h["cp1"] && !h["cp2"] && h["cp3"] })
			for range 20 {
				if name, err := w.get("/name"); err != nil || name == "cp2" {
					t.Errorf("asked %s, %v", name, err)
				}
			}
			refuse(http.StatusUnauthorized, "cp1", "cp2", "cp3")
			w.until(30*time.Second, "all to be up", func() bool { h := w.health(dir); return h["cp1"] && h["cp2"] && h["cp3"] })
			refuse(http.StatusInternalServerError, "cp3")
			w.until(20*time.Second, "one that fails to be out", func() bool { h := w.health(dir); return h["cp1"] && h["cp2"] && !h["cp3"] })
			refuse(0, "cp1", "cp2", "cp3")
			w.until(30*time.Second, "all to be up again", func() bool { h := w.health(dir); return h["cp1"] && h["cp2"] && h["cp3"] })
			refuse(http.StatusForbidden, "cp2")
			w.until(20*time.Second, "one that has just started to be out", func() bool { h := w.health(dir); return h["cp1"] && !h["cp2"] && h["cp3"] })
		})
	}
}

// TestKilled: an apiserver that is gone from one moment to the next, with its streams, is
// the one with the fewest connections; those that come then wait a second at most.
func TestKilled(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, kind, "cp1", "cp2", "cp3")
			w.run()
			w.watchEach()
			w.client.Timeout = 2 * time.Second
			probes := w.probe()
			if err := w.servers["cp2"].server.Close(); err != nil {
				t.Fatal(err)
			}
			probes.more(400) // four seconds of them, twice what the checks may take
			good, failed := probes.end()
			if good == 0 || len(failed) > 1 {
				t.Errorf("%d answered, %d failed: %v", good, len(failed), failed)
			}
		})
	}
}

// TestAllFail: when nobody passes the checks the connections still go to somebody.
func TestAllFail(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, kind, "cp1", "cp2")
			w.run()
			// The checks fail since their CA is another one; clients know the right one.
			if err := os.WriteFile(filepath.Join(w.dir, "ca.crt"), newAuthority(t).pem, 0o600); err != nil {
				t.Fatal(err)
			}
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for over := time.After(10 * time.Second); ; {
				if _, err := w.get("/name"); err != nil {
					t.Fatal(err)
				}
				select {
				case <-over:
					return
				case <-tick.C:
				}
			}
		})
	}
}

// TestStreamsOfAllFail: a stream that was opened while all failed their checks ends as any
// other when its apiserver goes on failing and others are well again.
func TestStreamsOfAllFail(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, kind, "cp1", "cp2", "cp3")
			dir, _ := w.runIn()
			for _, s := range w.servers {
				s.strangers.Store(http.StatusInternalServerError)
			}
			w.until(20*time.Second, "all to be down", func() bool { h := w.health(dir); return !h["cp1"] && !h["cp2"] && !h["cp3"] })
			// nginx is told a moment after its apiservers are asked here, and nothing tells of that:
			// while all fail, its configuration is that of all being well.
			<-time.After(2 * time.Second)
			streams := w.watchEach()
			w.servers["cp2"].paused.Store(true)
			w.servers["cp1"].strangers.Store(0)
			w.servers["cp3"].strangers.Store(0)
			select {
			case <-streams["cp2"]:
			case <-time.After(40 * time.Second):
				t.Error("the stream of the one that still fails hangs")
			}
		})
	}
}
