package host

import (
	"archive/tar"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
)

func TestIdentities(t *testing.T) {
	l := &Lab{Name: "x", Index: 1, Hosts: hosts(1, Size{ControlPlanes: 2}), dir: t.TempDir()}
	if err := l.ensureIdentities(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(l.KnownHostsFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.ensureIdentities(); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(l.KnownHostsFile()); string(after) != string(before) {
		t.Error("a second run made other host keys")
	}
	info, err := os.Stat(l.IdentityFile())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the login key's mode is %v (%v)", info.Mode(), err)
	}
	check, err := knownhosts.New(l.KnownHostsFile())
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]ssh.PublicKey{}
	for _, h := range l.Hosts {
		files := unpack(t, l, h)
		signer, err := ssh.ParsePrivateKey([]byte(files["etc/ssh/ssh_host_ed25519_key"]))
		if err != nil {
			t.Fatal(err)
		}
		keys[h.Name] = signer.PublicKey()
		if err := check(h.Address+":22", &net.TCPAddr{IP: net.ParseIP(h.Address), Port: 22}, signer.PublicKey()); err != nil {
			t.Errorf("%s: %v", h.Name, err)
		}
	}
	var mismatch *knownhosts.KeyError
	err = check(l.Hosts[0].Address+":22", &net.TCPAddr{IP: net.ParseIP(l.Hosts[0].Address), Port: 22}, keys["cp2"])
	if !errors.As(err, &mismatch) {
		t.Errorf("cp2's key is accepted for cp1: %v", err)
	}
}

// unpack reads a host's identity and checks the modes that sshd insists on.
func unpack(t *testing.T, l *Lab, h Host) map[string]string {
	t.Helper()
	buf, err := l.identityTar(h)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(buf); ; {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name] = string(content)
		private := strings.HasSuffix(e.Name, "_key") || strings.HasSuffix(e.Name, "authorized_keys")
		if private && e.Mode != 0o600 {
			t.Errorf("%s: mode %o", e.Name, e.Mode)
		}
		if strings.HasPrefix(e.Name, "home/ops/") && e.Uid != 1000 {
			t.Errorf("%s belongs to %d", e.Name, e.Uid)
		}
	}
	if files["etc/resolv.lab"] != "nameserver 10.77.1.1\n" || len(strings.TrimSpace(files["etc/machine-id"])) != 32 {
		t.Errorf("%s: %q", h.Name, files)
	}
	return files
}

func TestStateSurvives(t *testing.T) {
	c := cache.Dir(t.TempDir())
	if _, err := Load(c, "x"); !errors.Is(err, ErrNoLab) {
		t.Fatalf("no lab, and got %v", err)
	}
	l := exampleLab()
	l.dir = c.Lab("lab")
	if err := l.save(); err != nil {
		t.Fatal(err)
	}
	again, err := Load(c, "lab")
	if err != nil || again.VirtualIP() != l.VirtualIP() || len(again.Hosts) != len(l.Hosts) || !again.partitioned("cp3") {
		t.Errorf("%+v, %v", again, err)
	}
	if names, err := All(c); err != nil || len(names) != 1 || names[0] != "lab" {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := again.Host("w9"); err == nil || !strings.Contains(err.Error(), "cp1") {
		t.Errorf("an unknown host: %v", err)
	}
	if err := again.remove(); err != nil {
		t.Error(err)
	}
	if names, err := All(c); err != nil || len(names) != 0 {
		t.Errorf("after removal: %v, %v", names, err)
	}
}
