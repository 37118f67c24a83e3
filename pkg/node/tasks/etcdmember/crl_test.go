package etcdmember

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// revoke makes a list of revoked certificates, DER.
func revoke(t *testing.T, ca pki.KeyPair, revoked ...pki.KeyPair) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, r := range revoked {
		cert := must[*x509.Certificate](t)(pki.ParseCert(r.CertPEM))
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: time.Now()})
	}
	issuer := must[*x509.Certificate](t)(pki.ParseCert(ca.CertPEM))
	key, err := pki.ParseKey(ca.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return must[[]byte](t)(x509.CreateRevocationList(rand.Reader, list, issuer, key))
}

func asPEM(list []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list})
}

// TestRevocationLists: a list with which etcd would take no connection is refused
// before anything is written.
func TestRevocationLists(t *testing.T) {
	list := revoke(t, must[pki.KeyPair](t)(pki.NewCA("ca", 0)))
	for name, c := range map[string]struct {
		content []byte // nil for no file
		mode    os.FileMode
		version string
		fails   string
	}{
		"good":                    {list, 0o644, "3.6.16", ""},
		"not there":               {nil, 0, "3.6.16", "/etc/etcd-crl/list, which is not there"},
		"for root alone":          {list, 0o600, "3.6.16", "since /etc/etcd-crl/list has the mode 0600"},
		"PEM":                     {asPEM(list), 0o644, "3.6.16", "which is PEM"},
		"PEM, a version of later": {asPEM(list), 0o644, "3.7.3", "which is PEM"},
		"PEM for 3.5":             {asPEM(list), 0o644, "3.5.35", ""},
		"something else":          {[]byte("no list"), 0o644, "3.6.16", "which is no list of revoked certificates"},
		"empty":                   {[]byte{}, 0o644, "3.5.35", "which is no list of revoked certificates"},
	} {
		for _, flag := range crlFlags {
			t.Run(name+" "+flag, func(t *testing.T) {
				m := newMachine(t)
				m.On("/usr/local/bin/etcd --"+flag+"=/etc/etcd-crl/list --version", "etcd Version: "+c.version+"\n")
				file := filepath.Join(m.root, "etc/etcd-crl/list")
				if c.content != nil {
					if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
						t.Fatal(err)
					}
					// TempDir is for its owner alone.
					for dir := filepath.Dir(file); dir != filepath.Dir(m.root); dir = filepath.Dir(dir) {
						if err := os.Chmod(dir, 0o755); err != nil {
							t.Fatal(err)
						}
					}
					if err := os.WriteFile(file, c.content, c.mode); err != nil {
						t.Fatal(err)
					}
				}
				spec := testSpec()
				spec.Args = map[string]string{flag: "/etc/etcd-crl/list"}
				h, err := m.run(t, spec)
				if c.fails == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), flag) || !strings.Contains(err.Error(), c.fails) || !strings.Contains(host.Hint(err), "openssl crl") || len(h.Changes()) != 0 {
					t.Errorf("%v, hint %q, %v", err, host.Hint(err), h.Changes())
				}
			})
		}
	}
	if err := checkCRL(nil, "list", "3.6"); err == nil || !strings.Contains(err.Error(), "no absolute path") {
		t.Error(err)
	}
}

// TestRealEtcdRefusesTheRevoked: a member of its own real etcd, with the settings that
// are written for it, takes no revoked certificate, as soon as the list has it. With a
// list that it can't read it takes nobody, which is why checkRevocation looks before.
func TestRealEtcdRefusesTheRevoked(t *testing.T) {
	binary := os.Getenv("ETCD")
	if binary == "" {
		t.Skip("ETCD does not name an etcd binary")
	}
	told, err := exec.Command(binary, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ca := must[pki.KeyPair](t)(pki.NewCA("etcd", 0))
	issue := func(name string) pki.KeyPair {
		return must[pki.KeyPair](t)(pki.Issue(ca, pki.Request{CommonName: name, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true, Client: true}))
	}
	server, good, stolen := issue("server"), issue("good"), issue("stolen")
	crl := filepath.Join(dir, "list")
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"server", "peer"} {
		write(name+".crt", server.CertPEM)
		write(name+".key", server.KeyPEM)
	}
	write("ca.crt", ca.CertPEM)
	write("list", revoke(t, ca))

	s := testSpec()
	s.Members, s.Address, s.DataDir = map[string]string{"a": "127.0.0.1"}, "127.0.0.1", filepath.Join(dir, "data")
	s.Args = map[string]string{"client-crl-file": crl}
	ports := map[string]string{":" + ClientPort: freePort(t), ":" + PeerPort: freePort(t), ":2381": freePort(t)}
	var log bytes.Buffer
	cmd := exec.Command(binary, "--unsafe-no-fsync")
	for _, line := range environmentOf(t, s) {
		for from, to := range ports {
			line = strings.ReplaceAll(line, from, to)
		}
		cmd.Env = append(cmd.Env, strings.ReplaceAll(line, PKIDir, dir))
	}
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // It may have ended by itself.
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s", log.Bytes())
		}
	})
	endpoint := "127.0.0.1" + ports[":"+ClientPort]
	// Patient: it has just been started.
	if err := put(t, endpoint, ca, good, time.Minute); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	if err := put(t, endpoint, ca, stolen, time.Minute); err != nil {
		t.Fatalf("the other one, before it is revoked: %v", err)
	}
	write("list", revoke(t, ca, stolen))
	if err := put(t, endpoint, ca, stolen, 3*time.Second); err == nil {
		t.Error("the revoked one is taken")
	}
	if err := put(t, endpoint, ca, good, time.Minute); err != nil {
		t.Errorf("the good one, beside a revoked one: %v", err)
	}
	write("list", asPEM(revoke(t, ca, stolen)))
	taken := put(t, endpoint, ca, good, 3*time.Second) == nil
	if old := strings.Contains(string(told), "etcd Version: 3.5."); taken != old {
		t.Errorf("with a list in PEM the good one is taken: %v, by %s", taken, told)
	}
	if err := os.Remove(crl); err != nil {
		t.Fatal(err)
	}
	if err := put(t, endpoint, ca, good, 3*time.Second); err == nil {
		t.Error("without its list it takes connections")
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprintf(":%d", l.Addr().(*net.TCPAddr).Port)
}

// put writes a key over a new connection with a certificate.
func put(t *testing.T, endpoint string, ca, pair pki.KeyPair, within time.Duration) error {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.CertPEM)
	cert := must[tls.Certificate](t)(tls.X509KeyPair(pair.CertPEM, pair.KeyPEM))
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"https://" + endpoint}, DialTimeout: within,
		TLS: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	poll.Until(within, func() bool { _, err = c.Put(ctx, "k", "v"); return err == nil })
	return err
}
