package bootstrap

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// realProgram is a program that the lab has built.
func realProgram(t *testing.T, name string) string {
	t.Helper()
	path := os.Getenv(name)
	if path == "" {
		t.Skipf("%s names no program", name)
	}
	return path
}

// belowRoot are CAs by a root: RSA for Kubernetes, ECDSA for etcd, both with a path length of 0.
func belowRoot(t *testing.T) (root pki.KeyPair, own OwnCAs) {
	t.Helper()
	sign := func(name string, public any, parent *x509.Certificate, by any, zero bool) []byte {
		template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}}, NotBefore: time.Now().Add(-time.Hour),
			NotAfter: time.Now().Add(2 * pki.DefaultValidity), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, MaxPathLenZero: zero}
		if parent == nil {
			parent = template
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	keyPEM := func(key any) []byte {
		raw, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	}
	rootKey, errRoot := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	etcdKey, errEtcd := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, errRSA := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(errRoot, errEtcd, errRSA); err != nil {
		t.Fatal(err)
	}
	root = pki.KeyPair{CertPEM: sign("Example root", rootKey.Public(), nil, rootKey, false), KeyPEM: keyPEM(rootKey)}
	parent, err := pki.ParseCert(root.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	own = OwnCAs{certs.AuthorityKubernetes: {CertPEM: sign("Example Kubernetes", rsaKey.Public(), parent, rootKey, true), KeyPEM: keyPEM(rsaKey)},
		certs.AuthorityEtcd: {CertPEM: sign("Example etcd", etcdKey.Public(), parent, rootKey, true), KeyPEM: keyPEM(etcdKey)}}
	return root, own
}

// background runs a program until the test ends. What it says is in the test's output when that fails.
func background(t *testing.T, binary string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), filepath.Base(binary)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(cmd.Process.Kill(), log.Close()); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // It was killed.
		if said, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("%s: %s", binary, said[max(0, len(said)-3000):])
		}
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it was only for its port
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// asked is what a server answers to who trusts one CA, and shows a certificate.
func asked(ctx context.Context, url string, ca []byte, client pki.KeyPair) (status int, body string, err error) {
	pair, err := tls.X509KeyPair(client.CertPEM, client.KeyPEM)
	if err != nil {
		return 0, "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12,
		// Whoever it asks for, so that it is the server that refuses.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, "", err
	}
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, string(raw), errors.Join(err, res.Body.Close())
}

// TestOwnIntermediate: with real programs, intermediate CAs are trusted by themselves, and the root that has
// signed them is not: its other certificates are no logins to etcd and to the API.
func TestOwnIntermediate(t *testing.T) {
	kubeadm, etcd, apiserver := realProgram(t, "KUBEADM"), realProgram(t, "ETCD"), realProgram(t, "KUBE_APISERVER")
	root, own := belowRoot(t)
	c := testCluster(t, func(c *v1alpha1.Cluster) {
		c.Spec.Hosts = []v1alpha1.Host{{Name: "cp1", Address: "127.0.0.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}}
	})
	if _, err := own.Check(c, time.Now()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	put := func(name string, content []byte) string {
		t.Helper()
		if err := os.WriteFile(at(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	ca := own[certs.AuthorityKubernetes]
	put("ca.crt", ca.CertPEM)
	put("ca.key", ca.KeyPEM)
	for _, phase := range []string{"ca", "apiserver", "apiserver-kubelet-client", "sa"} {
		args := []string{"init", "phase", "certs", phase, "--cert-dir", dir}
		if phase != "sa" {
			args = append(args, "--kubernetes-version", "v1.36.3")
		}
		if phase == "apiserver" {
			args = append(args, "--apiserver-advertise-address", "192.0.2.1", "--apiserver-cert-extra-sans", "127.0.0.1")
		}
		if out, err := exec.CommandContext(t.Context(), kubeadm, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	a, err := newAuthority("c", own[certs.AuthorityEtcd])
	if err != nil {
		t.Fatal(err)
	}
	files, errFiles := a.files(c.First())
	login, errLogin := a.client("kube-apiserver-etcd-client", 0)
	stranger, errStranger := pki.Issue(root, pki.Request{CommonName: "stranger", Organization: []string{"system:masters"}, Client: true})
	if err := errors.Join(errFiles, errLogin, errStranger); err != nil {
		t.Fatal(err)
	}
	put("etcd-ca.crt", files.CA)
	server, peer := "https://127.0.0.1:"+freePort(t), "https://127.0.0.1:"+freePort(t)
	background(t, etcd, "--data-dir", at("data"), "--listen-client-urls", server, "--advertise-client-urls", server, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer,
		"--client-cert-auth", "--trusted-ca-file", at("etcd-ca.crt"), "--cert-file", put("server.crt", files.ServerCert), "--key-file", put("server.key", files.ServerKey),
		"--peer-client-cert-auth", "--peer-trusted-ca-file", at("etcd-ca.crt"), "--peer-cert-file", put("peer.crt", files.PeerCert), "--peer-key-file", put("peer.key", files.PeerKey))
	port := freePort(t)
	background(t, apiserver, "--etcd-servers", server, "--etcd-cafile", at("etcd-ca.crt"), "--etcd-certfile", put("login.crt", login.CertPEM), "--etcd-keyfile", put("login.key", login.KeyPEM),
		"--client-ca-file", at("ca.crt"), "--tls-cert-file", at("apiserver.crt"), "--tls-private-key-file", at("apiserver.key"), "--secure-port", port, "--bind-address", "127.0.0.1", "--advertise-address", "192.0.2.1",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", at("sa.pub"), "--service-account-signing-key-file", at("sa.key"), "--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/12")
	kubelets := pki.KeyPair{}
	for to, name := range map[*[]byte]string{&kubelets.CertPEM: "apiserver-kubelet-client.crt", &kubelets.KeyPEM: "apiserver-kubelet-client.key"} {
		if *to, err = os.ReadFile(at(name)); err != nil {
			t.Fatal(err)
		}
	}
	api := "https://127.0.0.1:" + port
	seen := ""
	if !poll.Until(2*time.Minute, func() bool {
		status, body, err := asked(t.Context(), api+"/readyz", ca.CertPEM, kubelets)
		seen = fmt.Sprintf("%d, %.200s, %v", status, body, err)
		return err == nil && status == http.StatusOK
	}) {
		t.Fatalf("the apiserver with intermediate CAs is not ready: %s", seen)
	}
	if status, body, err := asked(t.Context(), api+"/api", ca.CertPEM, stranger); err != nil || status != http.StatusUnauthorized {
		t.Errorf("a certificate by the root at the API: %d, %.200s, %v", status, body, err)
	}
	if status, body, err := asked(t.Context(), server+"/version", files.CA, login); err != nil || status != http.StatusOK {
		t.Errorf("the apiserver's login at etcd: %d, %.200s, %v", status, body, err)
	}
	if status, body, err := asked(t.Context(), server+"/version", files.CA, stranger); err == nil {
		t.Errorf("a certificate by the root at etcd: %d, %.200s", status, body)
	}
}

// TestKubeadmRefusesEd25519: what is refused here is refused by kubeadm, too, and it says less.
func TestKubeadmRefusesEd25519(t *testing.T) {
	kubeadm := realProgram(t, "KUBEADM")
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(2 * pki.DefaultValidity), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, errCert := x509.CreateCertificate(rand.Reader, template, template, public, private)
	raw, errKey := x509.MarshalPKCS8PrivateKey(private)
	dir := t.TempDir()
	pair := pki.KeyPair{CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), KeyPEM: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})}
	if err := errors.Join(errCert, errKey, os.WriteFile(filepath.Join(dir, "ca.crt"), pair.CertPEM, 0o600), os.WriteFile(filepath.Join(dir, "ca.key"), pair.KeyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), kubeadm, "init", "phase", "certs", "apiserver", "--cert-dir", dir, "--kubernetes-version", "v1.36.3", "--apiserver-advertise-address", "192.0.2.1").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "neither in RSA nor ECDSA format") {
		t.Errorf("kubeadm: %v, %s", err, out)
	}
	if _, err := (OwnCAs{certs.AuthorityKubernetes: pair}).Check(testCluster(t, nil), time.Now()); err == nil || !strings.Contains(err.Error(), "kubeadm reads RSA and ECDSA keys of CAs only") {
		t.Errorf("got %v", err)
	}
}
