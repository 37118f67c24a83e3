package ssh

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// testServer is an SSH server in this process, which runs commands by the
// machine's own sh, as sshd does, with a PATH and home of its own.
type testServer struct {
	t        *testing.T
	addr     *net.TCPAddr
	config   *xssh.ServerConfig
	hostKeys []xssh.Signer
	bin      string // first in PATH
	home     string
	path     string // the rest of PATH
	deaf     bool   // answers no global request
	// installed is run in the place of InstalledAgent, when it is set.
	installed string

	mu       sync.Mutex
	commands []string
	logins   []string
	conns    []net.Conn
}

func newSigner(t *testing.T) xssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := xssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// writeKey writes a new private key and returns its path and public half.
func writeKey(t *testing.T, passphrase string) (string, xssh.PublicKey) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = xssh.MarshalPrivateKey(key, "")
	} else {
		block, err = xssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	pub, err := xssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return path, pub
}

func startServer(t *testing.T, allowed xssh.PublicKey, hostKeys ...xssh.Signer) *testServer {
	t.Helper()
	s := &testServer{t: t, hostKeys: hostKeys, bin: t.TempDir(), home: t.TempDir(), path: "/usr/sbin:/usr/bin:/sbin:/bin"}
	if len(hostKeys) == 0 {
		s.hostKeys = []xssh.Signer{newSigner(t)}
	}
	s.config = &xssh.ServerConfig{PublicKeyCallback: func(c xssh.ConnMetadata, key xssh.PublicKey) (*xssh.Permissions, error) {
		if allowed != nil && string(key.Marshal()) == string(allowed.Marshal()) {
			return nil, nil
		}
		return nil, errors.New("not this one")
	}}
	for _, k := range s.hostKeys {
		s.config.AddHostKey(k)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().(*net.TCPAddr)
	t.Cleanup(func() {
		_ = l.Close()
		s.cut()
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			go s.serve(conn)
		}
	}()
	return s
}

// cut ends all connections, as a host that dies does.
func (s *testServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

func (s *testServer) ran() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.commands...)
}

func (s *testServer) loggedIn() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.logins)
}

// install puts a program into the server's PATH.
func (s *testServer) install(name, script string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.bin, name), []byte(script), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// script makes a program that is not in the PATH, and returns where.
func (s *testServer) script(name, script string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *testServer) serve(raw net.Conn) {
	conn, channels, requests, err := xssh.NewServerConn(raw, s.config)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.logins = append(s.logins, conn.User())
	s.mu.Unlock()
	go func() {
		for r := range requests {
			if r.WantReply && !s.deaf {
				_ = r.Reply(false, nil)
			}
		}
	}()
	for c := range channels {
		switch c.ChannelType() {
		case "session":
			go s.session(c)
		case "direct-tcpip":
			go s.forward(c)
		default:
			_ = c.Reject(xssh.UnknownChannelType, "unexpected")
		}
	}
}

func (s *testServer) forward(n xssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := xssh.Unmarshal(n.ExtraData(), &to); err != nil {
		_ = n.Reject(xssh.ConnectionFailed, "garbled")
		return
	}
	target, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		_ = n.Reject(xssh.ConnectionFailed, err.Error())
		return
	}
	ch, requests, err := n.Accept()
	if err != nil {
		return
	}
	go xssh.DiscardRequests(requests)
	go func() { _, _ = io.Copy(target, ch); _ = target.Close() }()
	_, _ = io.Copy(ch, target)
	_ = ch.Close()
}

func (s *testServer) session(n xssh.NewChannel) {
	ch, requests, err := n.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	for r := range requests {
		if r.Type != "exec" {
			_ = r.Reply(false, nil)
			continue
		}
		var cmd struct{ Line string }
		if err := xssh.Unmarshal(r.Payload, &cmd); err != nil {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		s.mu.Lock()
		s.commands = append(s.commands, cmd.Line)
		s.mu.Unlock()
		code := s.exec(ch, cmd.Line)
		_, _ = ch.SendRequest("exit-status", false, xssh.Marshal(struct{ Code uint32 }{uint32(code)}))
		return
	}
}

func (s *testServer) exec(ch xssh.Channel, line string) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if s.installed != "" {
		line = strings.ReplaceAll(line, InstalledAgent, s.installed)
	}
	c := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	c.Dir = s.home
	c.Env = []string{"PATH=" + s.bin + ":" + s.path, "HOME=" + s.home}
	c.Stdout, c.Stderr = ch, ch.Stderr()
	in, err := c.StdinPipe()
	if err != nil {
		return 255
	}
	go func() { _, _ = io.Copy(in, ch); _ = in.Close() }()
	err = c.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	default:
		fmt.Fprintln(ch.Stderr(), err)
		return 127
	}
}

// knownFile writes a known_hosts file with the server's keys.
func (s *testServer) knownFile(keys ...xssh.Signer) string {
	s.t.Helper()
	if len(keys) == 0 {
		keys = s.hostKeys
	}
	text := ""
	for _, k := range keys {
		text += knownhosts.Line([]string{knownhosts.Normalize(s.addr.String())}, k.PublicKey()) + "\n"
	}
	path := filepath.Join(s.t.TempDir(), "known_hosts")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// target logs in to the server with the key.
func (s *testServer) target(key string) Target {
	return Target{Name: "cp1", Host: "127.0.0.1", Port: s.addr.Port, User: "root",
		Identities: []Identity{{Path: key, Required: true}}, KnownHosts: []string{s.knownFile()}, ConnectTimeout: 20 * time.Second}
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
