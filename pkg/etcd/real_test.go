package etcd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// These tests run against the etcd that the environment variable ETCD names.

// authority signs the certificates of one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a authority) issue(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// realMember is one etcd process.
type realMember struct {
	url, dir string
	stop     func()
	// start starts it again.
	start func()
}

// startReal starts n members on loopback with TLS for peers and clients.
func startReal(t *testing.T, binary string, ca authority, n int, more ...string) []realMember {
	t.Helper()
	dir := t.TempDir()
	cert, key := ca.issue(t, "member")
	for name, content := range map[string][]byte{"ca.crt": ca.pem, "m.crt": cert, "m.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var peers, clients, initial []string
	for i := range n {
		peers, clients = append(peers, "https://"+freePort(t)), append(clients, "https://"+freePort(t))
		initial = append(initial, fmt.Sprintf("m%d=%s", i, peers[i]))
	}
	out := make([]realMember, n)
	for i := range n {
		args := append(slices.Clone(more), "--name", fmt.Sprintf("m%d", i), "--data-dir", filepath.Join(dir, fmt.Sprintf("m%d", i)),
			"--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i], "--listen-client-urls", clients[i], "--advertise-client-urls", clients[i],
			"--initial-cluster", strings.Join(initial, ","), "--client-cert-auth", "--peer-client-cert-auth",
			"--trusted-ca-file", filepath.Join(dir, "ca.crt"), "--peer-trusted-ca-file", filepath.Join(dir, "ca.crt"),
			"--cert-file", filepath.Join(dir, "m.crt"), "--key-file", filepath.Join(dir, "m.key"),
			"--peer-cert-file", filepath.Join(dir, "m.crt"), "--peer-key-file", filepath.Join(dir, "m.key"))
		m := &out[i]
		m.url, m.dir = clients[i], filepath.Join(dir, fmt.Sprintf("m%d", i))
		m.start = func() {
			t.Helper()
			log, err := os.Create(m.dir + ".log")
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(binary, args...)
			cmd.Stdout, cmd.Stderr = log, log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() { _ = cmd.Wait(); close(done); _ = log.Close() }() // it is killed: how it ends is of no interest
			m.stop = func() { _ = cmd.Process.Kill(); <-done }
		}
		m.start()
		t.Cleanup(func() { m.stop() })
	}
	return out
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the port is free again either way
	return l.Addr().String()
}

func realBinary(t *testing.T) string {
	binary := os.Getenv("ETCD")
	if binary == "" {
		t.Skip("ETCD does not name an etcd binary")
	}
	return binary
}

func TestRealCluster(t *testing.T) {
	binary := realBinary(t)
	ca := newAuthority(t)
	members := startReal(t, binary, ca, 3)
	var urls []string
	for _, m := range members {
		urls = append(urls, m.url)
	}
	cert, key := ca.issue(t, "client")
	client, err := Connect(t.Context(), urls, TLS{CA: ca.pem, Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})

	v, err := client.WaitHealthy(t.Context(), time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, spare := HasQuorum(v); !ok || spare != 1 {
		t.Errorf("HasQuorum = %v, %d, want true, 1", ok, spare)
	}
	if v.Status[0].Version == "" || v.Status[0].DBBytes == 0 || v.Status[0].RaftIndex == 0 {
		t.Errorf("status %+v lacks something", v.Status[0])
	}

	members[0].stop()
	v = client.View(t.Context())
	if err := Healthy(v); err == nil || !strings.Contains(err.Error(), urls[0]+" does not answer") {
		t.Errorf("with a member stopped: %v", err)
	}
	// The list needs a leader again, when the stopped one was it.
	deadline := time.Now().Add(30 * time.Second)
	for {
		if ok, spare := HasQuorum(client.View(t.Context())); ok && spare == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("two of three members have no quorum")
		}
	}

	members[1].stop()
	_, err = client.WaitHealthy(t.Context(), 5*time.Second, nil)
	if err == nil || !strings.Contains(err.Error(), "last seen") || !strings.Contains(err.Error(), "the list of members can't be read") {
		t.Errorf("with two members stopped: %v", err)
	}
}

func TestRealRefusesStrangers(t *testing.T) {
	binary := realBinary(t)
	ca, foreign := newAuthority(t), newAuthority(t)
	member := startReal(t, binary, ca, 1)[0]
	ask := func(signer authority) View {
		cert, key := signer.issue(t, "client")
		client, err := Connect(t.Context(), []string{member.url}, TLS{CA: ca.pem, Cert: cert, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close() //nolint:errcheck // a refused connection may not end well
		v, _ := client.WaitHealthy(t.Context(), 10*time.Second, nil)
		return v
	}
	if err := Healthy(ask(ca)); err != nil {
		t.Fatalf("with a certificate of the CA: %v", err)
	}
	if v := ask(foreign); v.Status[0].Err == nil {
		t.Error("etcd answered a client with a certificate of another CA")
	}
}

func TestConnectErrors(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, "client")
	good := TLS{CA: ca.pem, Cert: cert, Key: key}
	tests := []struct {
		name      string
		endpoints []string
		id        TLS
		want      string
	}{
		{"no endpoint", nil, good, "there is no endpoint"},
		{"plain http", []string{"http://127.0.0.1:1"}, good, "not an https URL"},
		{"no CA", []string{"https://127.0.0.1:1"}, TLS{Cert: cert, Key: key}, "the CA is not a PEM certificate"},
		{"no key", []string{"https://127.0.0.1:1"}, TLS{CA: ca.pem, Cert: cert}, "the client's certificate and key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Connect(context.Background(), tt.endpoints, tt.id)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}
