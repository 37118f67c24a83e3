package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// sshd is Debian's sshd on a port of this machine. Each connection has a
// process of its own, as with inetd, so that nothing has to be waited for.
type sshd struct {
	t      *testing.T
	dir    string
	port   int
	config string

	mu    sync.Mutex
	count int
	log   bytes.Buffer
	cmds  sync.WaitGroup
}

// startSSHD starts one with a host key of its own, which lets in the current
// user with the keys of dir/authorized. Lines of its configuration may name the
// folder as DIR.
func startSSHD(t *testing.T, config ...string) *sshd {
	t.Helper()
	path := program(t, "sshd")
	s := &sshd{t: t, dir: t.TempDir()}
	s.keygen("-t", "ed25519", "-f", "host", "-N", "")
	if os.Getuid() == 0 {
		// A service manager makes it before it starts sshd.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text := "HostKey DIR/host\nAuthorizedKeysFile DIR/authorized\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nMaxAuthTries 20\nPidFile none\n"
	// It is asked for this, which sshd does itself: what the user's shell reads
	// when it starts is no part of a test.
	text += "Subsystem sftp internal-sftp\n"
	text += strings.Join(config, "\n") + "\n"
	s.config = filepath.Join(s.dir, "sshd_config")
	write(t, s.config, strings.ReplaceAll(text, "DIR", s.dir))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	ctx, cancel := context.WithCancel(context.Background())
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(ctx, path, conn.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-accepted
		cancel()
		s.cmds.Wait()
		if t.Failed() {
			t.Logf("sshd on port %d:\n%s", s.port, s.log.String())
		}
	})
	return s
}

func (s *sshd) serve(ctx context.Context, path string, conn *net.TCPConn) {
	defer conn.Close()
	file, err := conn.File()
	if err != nil {
		s.t.Error(err)
		return
	}
	defer file.Close()
	cmd := exec.CommandContext(ctx, path, "-i", "-e", "-f", s.config)
	var log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = file, file, &log, time.Second
	if err := cmd.Start(); err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	s.count++
	s.mu.Unlock()
	s.cmds.Go(func() {
		_ = cmd.Wait() // how it ends is the client's affair
		s.mu.Lock()
		defer s.mu.Unlock()
		s.log.Write(log.Bytes())
	})
}

// connections is how many there were since it was last asked.
func (s *sshd) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.count
	s.count = 0
	return n
}

// keygen runs ssh-keygen in the server's folder.
func (s *sshd) keygen(args ...string) { keygen(s.t, s.dir, args...) }

func keygen(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "ssh-keygen"), append([]string{"-q"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen %q: %v\n%s", args, err, out)
	}
}

// read is the text of a file in the server's folder.
func (s *sshd) read(name string) string {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// allow lets a public key in.
func (s *sshd) allow(keys ...string) {
	write(s.t, filepath.Join(s.dir, "authorized"), strings.Join(keys, "\n")+"\n")
}

// key is type and base64 of a public key's file.
func (s *sshd) key(name string) string { return strings.Join(strings.Fields(s.read(name))[:2], " ") }

// name is the server's in known_hosts.
func (s *sshd) name() string { return fmt.Sprintf("[127.0.0.1]:%d", s.port) }

func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// target logs in to the server with a key that is made here and let in.
func (s *sshd) target(t *testing.T) Target {
	t.Helper()
	dir := t.TempDir()
	keygen(t, dir, "-t", "ed25519", "-f", "id", "-N", "")
	data, err := os.ReadFile(filepath.Join(dir, "id.pub"))
	if err != nil {
		t.Fatal(err)
	}
	s.allow(string(data))
	known := filepath.Join(dir, "known_hosts")
	write(t, known, s.name()+" "+s.key("host.pub")+"\n")
	return Target{Name: "cp1", Host: "127.0.0.1", Port: s.port, User: me(t), Identities: []Identity{{Path: filepath.Join(dir, "id")}},
		KnownHosts: []string{known}, ConnectTimeout: 30 * time.Second}
}

// login logs in with this package and has a session.
func login(t *testing.T, policy HostKeyPolicy, target Target) error {
	t.Helper()
	d := NewDialer(policy)
	defer d.Close()
	conn, err := d.Dial(testContext(t), target)
	if err != nil {
		return err
	}
	defer conn.Close()
	session, err := conn.client.NewSession()
	if err != nil {
		return err
	}
	return session.RequestSubsystem("sftp")
}

// clientLogin tells whether OpenSSH's client logs in as the target says and has
// a session, and what it printed otherwise. With a configuration it is told
// nothing but the host's name.
func clientLogin(t *testing.T, policy string, target Target, config string) (bool, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	argv := []string{"-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=" + policy}
	if config != "" {
		argv = append(argv, "-F", config, "-s", target.Name, "sftp")
	} else {
		argv = append(argv, "-F", "none", "-o", "GlobalKnownHostsFile=none", "-o", "UserKnownHostsFile="+target.KnownHosts[0],
			"-o", "IdentitiesOnly=yes", "-p", strconv.Itoa(target.Port))
		for _, id := range target.Identities {
			argv = append(argv, "-i", id.Path)
		}
		for _, c := range target.Certificates {
			argv = append(argv, "-o", "CertificateFile="+c)
		}
		if target.HostKeyAlias != "" {
			argv = append(argv, "-o", "HostKeyAlias="+target.HostKeyAlias)
		}
		if target.RevokedHostKeys != "" {
			argv = append(argv, "-o", "RevokedHostKeys="+target.RevokedHostKeys)
		}
		argv = append(argv, "-s", target.User+"@"+target.Host, "sftp")
	}
	cmd := exec.CommandContext(ctx, program(t, "ssh"), argv...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return err == nil, string(out)
}
