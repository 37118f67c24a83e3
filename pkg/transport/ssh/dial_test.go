package ssh

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func kindOf(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v is no *Error", err)
	}
	return e
}

func TestDialFailures(t *testing.T) {
	key, pub := writeKey(t, "")
	locked, _ := writeKey(t, "secret")
	good := startServer(t, pub)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gonePort := gone.Addr().(*net.TCPAddr).Port
	_ = gone.Close()

	for name, c := range map[string]struct {
		change func(*Target)
		kind   Kind
		says   []string // in the message
		hints  []string
	}{
		"nothing listens": {func(t *Target) { t.Port = gonePort }, Unreachable, nil, []string{"sshd"}},
		"no name":         {func(t *Target) { t.Host = "no-such-host.invalid" }, Unreachable, nil, nil},
		"never answers": {func(t *Target) {
			t.Port = silent.Addr().(*net.TCPAddr).Port
			t.ConnectTimeout = 200 * time.Millisecond
		}, Unreachable, []string{"did not finish"}, nil},
		"unknown host key": {func(t *Target) { t.KnownHosts = []string{filepath.Join(os.TempDir(), "no-such-file")} },
			HostKeyUnknown, []string{xssh.FingerprintSHA256(good.hostKeys[0].PublicKey())}, []string{"ssh-keyscan -t ed25519 -p "}},
		"changed host key": {func(tt *Target) { tt.KnownHosts = []string{good.knownFile(newSigner(t))} },
			HostKeyChanged, []string{"HAS CHANGED", "known_hosts:1 has SHA256:"}, []string{"ssh-keygen -R"}},
		"key not accepted": {func(tt *Target) { k, _ := writeKey(t, ""); tt.Identities[0].Path = k },
			LoginRefused, []string{"login of root", "/key (SHA256:"}, []string{"authorized_keys"}},
		"no key at all":         {func(t *Target) { t.Identities = nil }, LoginRefused, []string{"no key"}, []string{"ssh-add"}},
		"key with passphrase":   {func(t *Target) { t.Identities[0].Path = locked }, LoginRefused, nil, []string{"ssh-add " + locked}},
		"key file missing":      {func(t *Target) { t.Identities[0].Path += "-none" }, Config, []string{"can't be read"}, nil},
		"key file is no key":    {func(t *Target) { t.Identities[0].Path = "/etc/hosts" }, Config, []string{"can't be used"}, nil},
		"known_hosts garbled":   {func(tt *Target) { tt.KnownHosts = []string{tt.Identities[0].Path} }, HostKeyUnknown, nil, []string{"ssh-keyscan"}},
		"agent does not answer": {func(t *Target) { t.Identities, t.AgentSocket = nil, "/no/socket" }, LoginRefused, nil, []string{"ssh-agent does not answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			target := good.target(key)
			c.change(&target)
			d := NewDialer("")
			conn, err := d.Dial(testContext(t), target)
			if err == nil {
				_ = conn.Close()
				t.Fatal("connected")
			}
			e := kindOf(t, err)
			if e.Kind != c.kind || e.Host != "cp1" {
				t.Errorf("kind %s on %s, want %s: %v", e.Kind, e.Host, c.kind, err)
			}
			for _, s := range c.says {
				if !strings.Contains(e.Message, s) {
					t.Errorf("message %q lacks %q", e.Message, s)
				}
			}
			for _, s := range c.hints {
				if !strings.Contains(e.Hint, s) {
					t.Errorf("hint %q lacks %q", e.Hint, s)
				}
			}
		})
	}
}

func TestAcceptNewWritesKnownHostsOnce(t *testing.T) {
	key, pub := writeKey(t, "")
	s := startServer(t, pub)
	target := s.target(key)
	known := filepath.Join(t.TempDir(), "ssh", "known_hosts")
	target.KnownHosts = []string{known}
	for range 2 {
		conn, err := NewDialer(AcceptNew).Dial(testContext(t), target)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	data, err := os.ReadFile(known)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(data), "\n") != 1 || !strings.HasPrefix(string(data), "[127.0.0.1]:") {
		t.Errorf("known_hosts is %q", data)
	}
	// Now it is known, and strict is content.
	conn, err := NewDialer(Strict).Dial(testContext(t), target)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	// Another key is refused by accept-new too, and changes nothing.
	target.KnownHosts = []string{s.knownFile(newSigner(t))}
	before, _ := os.ReadFile(target.KnownHosts[0])
	if _, err := NewDialer(AcceptNew).Dial(testContext(t), target); kindOf(t, err).Kind != HostKeyChanged {
		t.Errorf("got %v", err)
	}
	if after, _ := os.ReadFile(target.KnownHosts[0]); string(after) != string(before) {
		t.Error("known_hosts was changed")
	}
}

// The server would rather show its ecdsa key, but known_hosts has the ed25519 one.
func TestKnownKeyTypeIsAskedFor(t *testing.T) {
	key, pub := writeKey(t, "")
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := xssh.NewSignerFromKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	ed := newSigner(t)
	s := startServer(t, pub, other, ed)
	target := s.target(key)
	for _, only := range []xssh.Signer{ed, other} {
		target.KnownHosts = []string{s.knownFile(only)}
		conn, err := NewDialer(Strict).Dial(testContext(t), target)
		if err != nil {
			t.Fatalf("with %s: %v", only.PublicKey().Type(), err)
		}
		_ = conn.Close()
	}
	// The host has lost the key of the known type.
	s2 := startServer(t, pub, other)
	target = s2.target(key)
	target.KnownHosts = []string{s2.knownFile(ed)}
	if _, err := NewDialer(Strict).Dial(testContext(t), target); kindOf(t, err).Kind != HostKeyChanged {
		t.Errorf("got %v", err)
	}
}

func TestAgentKeys(t *testing.T) {
	locked, pub := writeKey(t, "secret")
	data, err := os.ReadFile(locked)
	if err != nil {
		t.Fatal(err)
	}
	private, err := xssh.ParseRawPrivateKeyWithPassphrase(data, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, c) }()
		}
	}()
	s := startServer(t, pub)
	for name, c := range map[string]struct {
		identities []Identity
		only, ok   bool
	}{
		"any key of the agent":     {nil, false, true},
		"passphrase, held by it":   {[]Identity{{Path: locked, Required: true}}, true, true},
		"not one of the named":     {nil, true, false},
		"default file that is not": {[]Identity{{Path: locked + "-none"}}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			target := s.target("")
			target.Identities, target.IdentitiesOnly, target.AgentSocket = c.identities, c.only, socket
			conn, err := NewDialer("").Dial(testContext(t), target)
			if c.ok != (err == nil) {
				t.Fatalf("error %v, want success %v", err, c.ok)
			}
			if err == nil {
				_ = conn.Close()
			} else if kindOf(t, err).Kind != LoginRefused {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestJumpHosts(t *testing.T) {
	key, pub := writeKey(t, "")
	outer, inner, host := startServer(t, pub), startServer(t, pub), startServer(t, pub)
	target := host.target(key)
	target.Jump = []Target{outer.target(key), inner.target(key)}
	d := NewDialer("")
	var conns []*Conn
	for range 2 {
		c, err := d.Dial(testContext(t), target)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for _, c := range conns {
		// Once a command ran, the servers have counted the logins.
		if err := c.Run(testContext(t), []string{"true"}, nil, nil, nil); err != nil {
			t.Error(err)
		}
	}
	if a, b, c := outer.loggedIn(), inner.loggedIn(), host.loggedIn(); a != 1 || b != 1 || c != 2 {
		t.Errorf("logins %d %d %d, want the jump hosts once", a, b, c)
	}
	// Through the connection to where only the host could reach.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, _ = io.WriteString(c, "hello")
			_ = c.Close()
		}
	}()
	c, err := conns[1].DialContext(testContext(t), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(c); err != nil || string(data) != "hello" {
		t.Errorf("read %q, %v", data, err)
	}
	target.Jump[1].Port = 1
	if _, err := NewDialer("").Dial(testContext(t), target); kindOf(t, err).Kind != Unreachable {
		t.Errorf("got %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestLostConnection(t *testing.T) {
	key, pub := writeKey(t, "")
	for name, c := range map[string]struct {
		deaf bool
		lose func(*testServer)
	}{
		"cut":             {false, func(s *testServer) { s.cut() }},
		"no sign of life": {true, func(*testServer) {}},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, pub)
			s.deaf = c.deaf
			d := NewDialer("")
			d.keepalive = 20 * time.Millisecond
			conn, err := d.Dial(testContext(t), s.target(key))
			if err != nil {
				t.Fatal(err)
			}
			p, err := conn.Start(testContext(t), []string{"cat"})
			if err != nil {
				t.Fatal(err)
			}
			c.lose(s)
			_, _ = io.ReadAll(p.Stdout)
			if e := kindOf(t, p.Wait()); e.Kind != Lost || !strings.Contains(e.Hint, "run the same command again") {
				t.Errorf("got %v", e)
			}
			<-conn.Lost()
			if err := conn.Run(testContext(t), []string{"true"}, nil, nil, nil); kindOf(t, err).Kind != Lost {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCancelledDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	key, pub := writeKey(t, "")
	target := startServer(t, pub).target(key)
	target.Port = l.Addr().(*net.TCPAddr).Port
	ctx, cancel := context.WithCancel(testContext(t))
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := NewDialer("").Dial(ctx, target); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
