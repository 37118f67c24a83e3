package vip

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// standIn is an apiserver's stand-in with TLS, and the configuration to watch it.
type standIn struct {
	*httptest.Server
	status atomic.Int32
	cfg    WatchConfig
}

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	s := &standIn{}
	s.status.Store(http.StatusOK)
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(int(s.status.Load()))
	}))
	t.Cleanup(s.Close)
	at, err := netip.ParseAddrPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s.cfg = WatchConfig{VirtualIP: "10.0.0.100", Address: at.Addr().String(), Port: int32(at.Port()), CAFile: filepath.Join(dir, "ca.crt"), HealthFile: filepath.Join(dir, "run", "apiserver"), HolderFile: filepath.Join(dir, "run", "holder")}
	s.writeCA(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	return s
}

func (s *standIn) writeCA(t *testing.T, content []byte) {
	t.Helper()
	if err := os.WriteFile(s.cfg.CAFile, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLook(t *testing.T) {
	tests := []struct {
		name   string
		change func(*testing.T, *standIn)
		want   observation
	}{
		{"ready", func(*testing.T, *standIn) {}, alive},
		{"no strangers", func(_ *testing.T, s *standIn) { s.status.Store(http.StatusUnauthorized) }, alive},
		{"not for strangers", func(_ *testing.T, s *standIn) { s.status.Store(http.StatusForbidden) }, alive},
		{"not ready", func(_ *testing.T, s *standIn) { s.status.Store(http.StatusInternalServerError) }, troubled},
		{"not an apiserver", func(_ *testing.T, s *standIn) { s.status.Store(http.StatusNotFound) }, troubled},
		{"elsewhere", func(_ *testing.T, s *standIn) { s.status.Store(http.StatusFound) }, troubled},
		{"nobody listens", func(_ *testing.T, s *standIn) { s.Close() }, absent},
		{"no CA yet", func(t *testing.T, s *standIn) {
			if err := os.Remove(s.cfg.CAFile); err != nil {
				t.Fatal(err)
			}
		}, absent},
		{"a garbled CA", func(t *testing.T, s *standIn) { s.writeCA(t, []byte("garbled")) }, troubled},
		{"another CA", func(t *testing.T, s *standIn) { s.writeCA(t, otherCA(t)) }, troubled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStandIn(t)
			tt.change(t, s)
			got, why := newProber(s.cfg).look(t.Context())
			if got != tt.want || (why == nil) != (tt.want == alive) {
				t.Errorf("look = %v, %v, want %v", got, why, tt.want)
			}
		})
	}
}

// otherCA is a certificate that signed nothing here.
func otherCA(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestLookNoticesADeathOnAKeptConnection(t *testing.T) {
	s := newStandIn(t)
	p := newProber(s.cfg)
	if got, why := p.look(t.Context()); got != alive {
		t.Fatal(got, why)
	}
	s.CloseClientConnections()
	s.Close()
	pol := policy{state: Healthy}
	for range 3 {
		got, _ := p.look(t.Context())
		pol.see(got)
	}
	if pol.state != Dead {
		t.Errorf("after three looks the state is %v", pol.state)
	}
}

func TestLookTrustsAChangedCA(t *testing.T) {
	s := newStandIn(t)
	good, err := os.ReadFile(s.cfg.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	p := newProber(s.cfg)
	s.writeCA(t, []byte("garbled"))
	if got, _ := p.look(t.Context()); got != troubled {
		t.Fatalf("look = %v", got)
	}
	s.writeCA(t, good)
	if err := os.Chtimes(s.cfg.CAFile, time.Now(), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if got, why := p.look(t.Context()); got != alive {
		t.Errorf("look = %v, %v", got, why)
	}
}

// until waits for the health file to have a content.
func until(t *testing.T, path, want string) {
	t.Helper()
	var got []byte
	var err error
	if !poll.Until(30*time.Second, func() bool { got, err = os.ReadFile(path); return err == nil && string(got) == want }) {
		t.Fatalf("%s holds %q (%v), want %q", path, got, err, want)
	}
}

func TestWatch(t *testing.T) {
	s := newStandIn(t)
	socket := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close() //nolint:errcheck // the test is over
	s.cfg.NotifySocket = socket
	var mask atomic.Value // of the virtual IP, nil without it
	mask.Store(net.IPMask(nil))
	s.cfg.Addresses = func() ([]net.Addr, error) {
		all := []net.Addr{&net.IPNet{IP: net.IPv4(10, 0, 0, 1), Mask: net.CIDRMask(24, 32)}}
		if m, ok := mask.Load().(net.IPMask); ok && m != nil {
			all = append(all, &net.IPNet{IP: net.IPv4(10, 0, 0, 100), Mask: m})
		}
		return all, nil
	}
	var lines atomic.Value
	s.cfg.Log = func(line string) { lines.Store(line) }
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Watch(ctx, s.cfg) }()

	first := make([]byte, 256)
	if err := systemd.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := systemd.Read(first)
	if err != nil || !strings.HasPrefix(string(first[:n]), "READY=1\n") {
		t.Fatalf("systemd was told %q, %v", first[:n], err)
	}
	go func() {
		for buf := make([]byte, 256); ; {
			if _, err := systemd.Read(buf); err != nil {
				return
			}
		}
	}()
	until(t, s.cfg.HealthFile, "0\n")
	until(t, s.cfg.HolderFile, "0\n")
	mask.Store(net.CIDRMask(24, 32))
	until(t, s.cfg.HolderFile, "1\n")
	mask.Store(net.IPMask(nil))
	until(t, s.cfg.HolderFile, "0\n")
	// keepalived takes a file that is gone for a 0: it has to come back.
	s.status.Store(http.StatusInternalServerError)
	until(t, s.cfg.HealthFile, "1\n")
	if err := os.Remove(s.cfg.HealthFile); err != nil {
		t.Fatal(err)
	}
	until(t, s.cfg.HealthFile, "1\n")
	s.CloseClientConnections()
	s.Close()
	until(t, s.cfg.HealthFile, "3\n")
	// It is told after it was written.
	line := ""
	if !poll.Until(30*time.Second, func() bool {
		line, _ = lines.Load().(string)
		return strings.HasPrefix(line, "the apiserver is dead: ")
	}) {
		t.Fatalf("the last line is %q", line)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the watch ended with %v", err)
	}
	until(t, s.cfg.HealthFile, "3\n")
}

func TestWatchBeginsWithWhatItLeft(t *testing.T) {
	for content, want := range map[string]State{"0\n": Healthy, "1\n": Sick, "3\n": Dead, "": Dead, "x": Dead, "7\n": Dead} {
		path := filepath.Join(t.TempDir(), "apiserver")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := readState(path); got != want {
			t.Errorf("%q is read as %v, want %v", content, got, want)
		}
	}
	if got := readState(filepath.Join(t.TempDir(), "none")); got != Dead {
		t.Errorf("no file is read as %v", got)
	}
}

func TestWatchConfigErrors(t *testing.T) {
	for raw, want := range map[string]string{
		`{"address":"10.0.0.1","port":6443,"virtualIP":"10.0.0.9"}`: "",
		`{"address":"10.0.0.1","port":6443,"adress":"x"}`:           "unknown field",
		`{"address":"host","port":6443,"virtualIP":"10.0.0.9"}`:     "no address to watch",
		`{"address":"10.0.0.1","virtualIP":"10.0.0.9"}`:             "no address to watch",
		`{"address":"10.0.0.1","port":6443}`:                        "the virtual IP",
		``:                                                          "EOF",
	} {
		cfg, err := parseWatchConfig([]byte(raw))
		if want == "" && (err != nil || cfg.CAFile != ClusterCA || cfg.HealthFile != HealthFile) {
			t.Errorf("%s: %+v, %v", raw, cfg, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
}
