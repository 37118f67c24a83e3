package pki

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func newCA(t *testing.T, name string) KeyPair {
	t.Helper()
	ca, err := NewCA(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestIssue(t *testing.T) {
	ca := newCA(t, "etcd-ca")
	pair, err := Issue(ca, Request{CommonName: "cp1", Organization: []string{"g"}, DNSNames: []string{"cp1", "localhost"},
		IPs: []net.IP{net.ParseIP("10.0.0.1"), net.ParseIP("::1")}, Server: true, Client: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := pair.Check(); err != nil {
		t.Error(err)
	}
	if err := Verify(pair.CertPEM, ca.CertPEM); err != nil {
		t.Error(err)
	}
	cert, err := ParseCert(pair.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cp1", "localhost", "10.0.0.1", "::1"} {
		if err := cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if cert.IsCA || len(cert.ExtKeyUsage) != 2 || cert.NotBefore.After(time.Now().Add(-time.Minute)) {
		t.Errorf("certificate %+v", cert)
	}
	if _, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM); err != nil {
		t.Error(err)
	}
	if err := Verify(pair.CertPEM, newCA(t, "etcd-ca").CertPEM); err == nil {
		t.Error("another CA of the same name verifies it")
	}
}

func TestIssueNeverOutlivesTheCA(t *testing.T) {
	ca, err := NewCA("short", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := Issue(ca, Request{CommonName: "x", Client: true})
	if err != nil {
		t.Fatal(err)
	}
	end, err := NotAfter(pair.CertPEM)
	caEnd, errCA := NotAfter(ca.CertPEM)
	if err != nil || errCA != nil || end.After(caEnd) {
		t.Errorf("ends %s, the CA %s (%v %v)", end, caEnd, err, errCA)
	}
	expired, err := NewCA("expired", -time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Issue(expired, Request{CommonName: "x", Client: true}); err == nil || !strings.Contains(err.Error(), "expired on") {
		t.Errorf("an expired CA issues: %v", err)
	}
}

func TestIssueErrors(t *testing.T) {
	ca, other := newCA(t, "a"), newCA(t, "b")
	leaf, err := Issue(ca, Request{CommonName: "leaf", Server: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ca   KeyPair
		r    Request
		want string
	}{
		"no name":      {ca, Request{Client: true}, "needs a common name"},
		"no use":       {ca, Request{CommonName: "x"}, "needs a common name and a use"},
		"no CA":        {leaf, Request{CommonName: "x", Client: true}, "leaf is no CA"},
		"another key":  {KeyPair{ca.CertPEM, other.KeyPEM}, Request{CommonName: "x", Client: true}, "does not belong"},
		"no key":       {KeyPair{CertPEM: ca.CertPEM}, Request{CommonName: "x", Client: true}, "no private key"},
		"no cert":      {KeyPair{KeyPEM: ca.KeyPEM}, Request{CommonName: "x", Client: true}, "no certificate"},
		"broken block": {KeyPair{[]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), ca.KeyPEM}, Request{CommonName: "x", Client: true}, "read the certificate"},
	} {
		if _, err := Issue(tc.ca, tc.r); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

func TestCertHashAndSameKey(t *testing.T) {
	a, b := newCA(t, "a"), newCA(t, "b")
	cert, err := ParseCert(a.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(spki)
	got, err := CertHash(append([]byte("# a comment\n"), a.CertPEM...))
	if err != nil || got != "sha256:"+hex.EncodeToString(sum[:]) {
		t.Errorf("hash %s, %v", got, err)
	}
	if _, err := CertHash([]byte("nothing")); err == nil {
		t.Error("a hash of nothing")
	}
	if same, err := SameKey(a.CertPEM, a.CertPEM); !same || err != nil {
		t.Errorf("%v %v", same, err)
	}
	if same, err := SameKey(a.CertPEM, b.CertPEM); same || err != nil {
		t.Errorf("%v %v", same, err)
	}
	if _, err := SameKey(a.CertPEM, nil); err == nil {
		t.Error("compared with nothing")
	}
}

func TestKeyPairNeverPrintsItsKey(t *testing.T) {
	ca := newCA(t, "secret-ca")
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, ca); got != "key pair of secret-ca" {
			t.Errorf("%s prints %q", format, got)
		}
	}
}
