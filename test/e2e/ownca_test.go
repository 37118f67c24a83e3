//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// ownCAs are the three CAs of a company, below its root, as files: RSA for Kubernetes, ECDSA for the others.
type ownCAs struct {
	dir  string
	root pki.KeyPair
	// all are by their names in spec.pki.
	all map[string]pki.KeyPair
}

func newOwnCAs(t *testing.T) ownCAs {
	t.Helper()
	o := ownCAs{dir: t.TempDir(), all: map[string]pki.KeyPair{}}
	curve := func() (any, any) {
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key, key.Public()
	}
	rootKey, rootPublic := curve()
	sign := func(name string, key, public any, parent *x509.Certificate) pki.KeyPair {
		template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}}, NotBefore: time.Now().Add(-time.Hour),
			NotAfter: time.Now().Add(5 * pki.DefaultValidity), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
		if parent == nil {
			parent = template
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, rootKey)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pki.KeyPair{CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), KeyPEM: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})}
	}
	o.root = sign("Example root", rootKey, rootPublic, nil)
	parent, err := pki.ParseCert(o.root.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	o.all["kubernetes"] = sign("Example Kubernetes", rsaKey, rsaKey.Public(), parent)
	for _, name := range []string{"frontProxy", "etcd"} {
		key, public := curve()
		o.all[name] = sign("Example "+name, key, public, parent)
	}
	for name, pair := range o.all {
		// With the chain behind it, as they come.
		o.write(t, name+".crt", slices.Concat(pair.CertPEM, o.root.CertPEM))
		o.write(t, name+".key", pair.KeyPEM)
	}
	return o
}

func (o ownCAs) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(o.dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// spec is a Cluster file with them.
func (o ownCAs) spec(text string) string {
	var b strings.Builder
	b.WriteString("\nspec:\n  pki:\n")
	for _, name := range []string{"kubernetes", "frontProxy", "etcd"} {
		fmt.Fprintf(&b, "    %s: {certFile: %q, keyFile: %q}\n", name, filepath.Join(o.dir, name+".crt"), filepath.Join(o.dir, name+".key"))
	}
	return strings.Replace(text, "\nspec:\n", b.String(), 1)
}

// TestOwnCAs: a cluster whose three CAs are the user's own, below a root that the cluster does not trust. The
// second control plane joins, certificates are renewed, other CAs are refused for the cluster that runs, and
// the etcd CA's key is on no host.
func TestOwnCAs(t *testing.T) {
	l := ownLab(t, "e2e-ownca", suite.version, labSize{controlPlanes: 2, workers: 1})
	own := newOwnCAs(t)
	c := l.cluster(t, "ownca", l.file(t, own.spec))
	c.bundle(t)
	dry := c.ha(t, suiteDeadline, "bootstrap", "-f", c.file, "--bundle", suite.bundles[c.bundleKey()], "--dry-run")
	for name, pair := range own.all {
		if dry.code != 0 || !strings.Contains(dry.stdout, pki.Describe(pair.CertPEM)) {
			t.Errorf("the plan does not show the CA for %s: %s", name, tail(dry.String(), 3000))
		}
	}
	c.bootstrap(t)
	c.settled(t)
	c.checkShape(t)
	c.checkOwnCAs(t, own)
	c.checkSecondRun(t)
	c.strangersAreRefused(t, own)
	t.Run("renew", func(t *testing.T) {
		c.renewCertificates(t, "--all")
		c.settled(t)
		c.checkOwnCAs(t, own)
	})
	t.Run("other CAs", func(t *testing.T) {
		other := newOwnCAs(t)
		r := c.ha(t, suiteDeadline, "bootstrap", "-f", l.file(t, other.spec), "--bundle", suite.bundles[c.bundleKey()], "--yes", "--kubeconfig-out", c.kubeconfig)
		if r.code == 0 || !strings.Contains(r.String(), "certs rotate-ca etcd") {
			t.Errorf("other CAs for a cluster that runs: %s", tail(r.String(), 3000))
		}
		c.checkOwnCAs(t, own)
	})
	t.Run("rotate", func(t *testing.T) {
		next := newOwnCAs(t)
		args := func(name string) []string {
			return []string{"--ca-cert", filepath.Join(next.dir, name+".crt"), "--ca-key", filepath.Join(next.dir, name+".key")}
		}
		if r := c.rotate(t, "front-proxy", args("frontProxy")...); r.code == 0 || !strings.Contains(r.String(), "the same subject") {
			t.Errorf("a CA of the same subject: %s", tail(r.String(), 3000))
		}
		renamed, err := pki.NewCA("Example front proxy G2", 0)
		if err != nil {
			t.Fatal(err)
		}
		next.write(t, "frontProxy.crt", renamed.CertPEM)
		next.write(t, "frontProxy.key", renamed.KeyPEM)
		c.rotated(t, "front-proxy", args("frontProxy")...)
		own.all["frontProxy"] = renamed
		c.checkOwnCAs(t, own)
	})
}

// checkOwnCAs: each host has the user's own, one certificate each, and what is renewable is signed by them.
func (c *cluster) checkOwnCAs(t *testing.T, own ownCAs) {
	t.Helper()
	for _, h := range c.names("control-plane") {
		for file, name := range map[string]string{"ca.crt": "kubernetes", "front-proxy-ca.crt": "frontProxy", "etcd/ca.crt": "etcd"} {
			have := pki.Certs([]byte(c.exec(t, h, "cat", "/etc/kubernetes/pki/"+file)))
			if len(have) != 1 || !pki.Same(have[0], own.all[name].CertPEM) {
				t.Errorf("%s: %s is not the user's own", h, file)
			}
		}
		for file, name := range map[string]string{"/etc/kubernetes/pki/apiserver.crt": "kubernetes", "/etc/kubernetes/pki/front-proxy-client.crt": "frontProxy", "/etc/kubernetes/pki/apiserver-etcd-client.crt": "etcd",
			"/etc/etcd/pki/server.crt": "etcd", "/var/lib/kubelet/pki/kubelet-client-current.pem": "kubernetes"} {
			if err := pki.Verify([]byte(c.exec(t, h, "cat", file)), own.all[name].CertPEM); err != nil {
				t.Errorf("%s: %s: %v", h, file, err)
			}
		}
		if got := strings.TrimSpace(c.exec(t, h, "stat", "-c", "%a %U", "/etc/kubernetes/pki/ca.key")); got != "600 root" {
			t.Errorf("%s: the CA's key is %s", h, got)
		}
		// What of it stands in one line of the file; a file that is named is no argument with the key.
		line := strings.Split(string(own.all["etcd"].KeyPEM), "\n")[1]
		if r := c.try(t, h, nil, "grep", "-rlsF", line, "/etc", "/var/lib/kubectl-ha", "/var/lib/kubelet", "/root"); strings.TrimSpace(r.stdout) != "" {
			t.Errorf("%s: the etcd CA's key is in %s", h, r.stdout)
		}
	}
	r := c.ha(t, suiteDeadline, "certs", "status", "--deep", "-o", "json", "--kubeconfig", c.kubeconfig)
	var seen struct {
		Certificates []struct {
			Fingerprint string `json:"fingerprint"`
			CA          bool   `json:"ca"`
		} `json:"certificates"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &seen); err != nil {
		t.Fatalf("certs status: %v: %s", err, tail(r.String(), 3000))
	}
	shown := map[string]bool{}
	for _, s := range seen.Certificates {
		if s.CA {
			shown[s.Fingerprint] = true
		}
	}
	for name, pair := range own.all {
		cert, err := pki.ParseCert(pair.CertPEM)
		if err != nil {
			t.Fatal(err)
		}
		if !shown[pki.Fingerprint(cert)] {
			t.Errorf("certs status does not show the CA for %s", name)
		}
	}
	if len(shown) != len(own.all) {
		t.Errorf("certs status shows %d CAs", len(shown))
	}
}

// strangersAreRefused: who has a certificate by the root is nobody here.
func (c *cluster) strangersAreRefused(t *testing.T, own ownCAs) {
	t.Helper()
	pair, err := pki.Issue(own.root, pki.Request{CommonName: "stranger", Organization: []string{"system:masters"}, Client: true})
	if err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(c.config)
	config.CertData, config.KeyData = pair.CertPEM, pair.KeyPEM
	stranger, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.CoreV1().Secrets(metav1.NamespaceSystem).List(context.Background(), metav1.ListOptions{}); err == nil {
		t.Error("a certificate by the root that the cluster does not trust is a login to the API")
	}
	h := c.names("control-plane")[0]
	for name, content := range map[string][]byte{"stranger.crt": pair.CertPEM, "stranger.key": pair.KeyPEM} {
		if r := c.try(t, h, content, "tee", "/run/"+name); r.code != 0 {
			t.Fatal(r)
		}
	}
	url := "https://" + c.addressOf(h) + ":2379/version"
	ca := "/etc/etcd/pki/ca.crt"
	if r := c.try(t, h, nil, "curl", "-s", "--max-time", "5", "--cacert", ca, "--cert", "/etc/kubernetes/pki/apiserver-etcd-client.crt", "--key", "/etc/kubernetes/pki/apiserver-etcd-client.key", url); r.code != 0 {
		t.Errorf("with a certificate etcd must answer: %s", r)
	}
	if r := c.try(t, h, nil, "curl", "-s", "--max-time", "5", "--cacert", ca, "--cert", "/run/stranger.crt", "--key", "/run/stranger.key", url); r.code == 0 {
		t.Errorf("etcd answered a stranger: %s", r)
	}
}
