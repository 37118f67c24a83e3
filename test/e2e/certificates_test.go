//go:build e2e

package e2e

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const apiserverCert = "/etc/kubernetes/pki/apiserver.crt"

// takeName gives an apiserver a certificate that is not for the virtual IP, as one that was
// made by hand. What it returns wants that mended, without a restart of the apiserver.
func (c *cluster) takeName(t *testing.T) (mended func()) {
	t.Helper()
	holder, victim := c.holder(t), ""
	for _, h := range c.names("control-plane") {
		if h != holder {
			victim = h
		}
	}
	before := c.exec(t, victim, "cat", apiserverCert)
	caCert, err := pki.ParseCert([]byte(c.exec(t, victim, "cat", "/etc/kubernetes/pki/ca.crt")))
	if err != nil {
		t.Fatal(err)
	}
	caKey, err := pki.ParseKey([]byte(c.exec(t, victim, "cat", "/etc/kubernetes/pki/ca.key")))
	if err != nil {
		t.Fatal(err)
	}
	old, err := pki.ParseCert([]byte(before))
	if err != nil {
		t.Fatal(err)
	}
	vip := net.ParseIP(c.vip)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: old.Subject, NotBefore: old.NotBefore, NotAfter: old.NotAfter, KeyUsage: old.KeyUsage,
		ExtKeyUsage: old.ExtKeyUsage, DNSNames: old.DNSNames, IPAddresses: slices.DeleteFunc(slices.Clone(old.IPAddresses), vip.Equal)}
	if len(template.IPAddresses) == len(old.IPAddresses) {
		t.Fatalf("the certificate of %s is not for %s", victim, c.vip)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, caCert, old.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	without := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	c.writeCert(t, victim, without)
	t.Cleanup(func() {
		if t.Failed() {
			c.writeCert(t, victim, []byte(before))
		}
	})
	c.presents(t, victim, false)
	process := c.exec(t, victim, "pgrep", "-x", "kube-apiserver")
	return func() {
		t.Helper()
		c.presents(t, victim, true)
		if now := c.exec(t, victim, "pgrep", "-x", "kube-apiserver"); now != process {
			t.Errorf("the apiserver of %s was restarted", victim)
		}
		after, err := pki.ParseCert([]byte(c.exec(t, victim, "cat", apiserverCert)))
		if err != nil {
			t.Fatal(err)
		}
		if lacking := pki.Lacking(after, append(slices.Clone(old.DNSNames), c.vip, c.addressOf(victim), "127.0.0.1")); len(lacking) > 0 {
			t.Errorf("the new certificate of %s lacks %v", victim, lacking)
		}
	}
}

func (c *cluster) writeCert(t *testing.T, host string, text []byte) {
	t.Helper()
	// Beside it first, so that it is there whole or not at all.
	if r := c.try(t, host, text, "tee", apiserverCert+".e2e"); r.code != 0 {
		t.Fatal(r)
	}
	c.exec(t, host, "mv", apiserverCert+".e2e", apiserverCert)
}

// presents waits until an apiserver presents a certificate that is for the virtual IP, or
// one that is not.
func (c *cluster) presents(t *testing.T, host string, named bool) {
	t.Helper()
	config := c.tls(t).Clone()
	config.ServerName = c.vip
	eventually(t, 2*time.Minute, "the apiserver of "+host+" presents the certificate that it was given", func() (bool, string) {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 3 * time.Second}, "tcp", net.JoinHostPort(c.addressOf(host), "6443"), config)
		if err == nil {
			conn.Close()
			return named, "it is for " + c.vip
		}
		return !named && strings.Contains(err.Error(), "not "+c.vip), err.Error()
	})
}
