package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// handMade signs a certificate as somebody else does: with what this package never asks for.
func handMade(t *testing.T, ca KeyPair, public any, begins, ends time.Time) []byte {
	t.Helper()
	caCert, caKey, err := ca.parse()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "kube-apiserver", Organization: []string{"b", "a"}, Country: []string{"DE"}},
		NotBefore: begins, NotAfter: ends, DNSNames: []string{"by-hand.example.org", "*.example.org"}, IPAddresses: []net.IP{net.ParseIP("10.0.0.9")},
		URIs:     []*url.URL{{Scheme: "spiffe", Host: "x"}},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, caCert, public, caKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestRenew: the successor of a certificate that somebody made by hand, and that has ended, is
// for the same, has another key, and lives as long.
func TestRenew(t *testing.T) {
	ca, err := NewCA("etcd", 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	old := handMade(t, ca, theirs.Public(), now.Add(-49*time.Hour), now.Add(-time.Hour))
	key, err := NewKeyLike(old)
	if err != nil {
		t.Fatal(err)
	}
	request, err := RenewalRequest(old, key)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := Renew(ca, old, request, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := (KeyPair{CertPEM: fresh, KeyPEM: key}).Check(); err != nil {
		t.Error(err)
	}
	if err := Verify(fresh, ca.CertPEM); err != nil {
		t.Error(err)
	}
	if err := Succeeds(fresh, old); err != nil {
		t.Error(err)
	}
	was, err := ParseCert(old)
	if err != nil {
		t.Fatal(err)
	}
	is, err := ParseCert(fresh)
	if err != nil {
		t.Fatal(err)
	}
	if string(is.RawSubject) != string(was.RawSubject) || !slices.Equal(is.DNSNames, was.DNSNames) || len(is.IPAddresses) != 1 || len(is.URIs) != 1 ||
		is.KeyUsage != was.KeyUsage || !slices.Equal(is.ExtKeyUsage, was.ExtKeyUsage) {
		t.Errorf("%+v", is)
	}
	if _, ok := is.PublicKey.(*rsa.PublicKey); !ok || is.SerialNumber.Cmp(was.SerialNumber) == 0 || string(is.RawSubjectPublicKeyInfo) == string(was.RawSubjectPublicKeyInfo) {
		t.Errorf("its key is a %T, or the old one; its number is %s", is.PublicKey, is.SerialNumber)
	}
	if left := time.Until(is.NotAfter); left < 47*time.Hour || left > 48*time.Hour {
		t.Errorf("it lives for %s", left)
	}
	if asked, err := Renew(ca, old, request, time.Hour); err != nil || mustLeft(t, asked) > time.Hour {
		t.Errorf("asked for an hour: %v, %s", err, mustLeft(t, asked))
	}
}

func mustLeft(t *testing.T, certPEM []byte) time.Duration {
	t.Helper()
	end, err := NotAfter(certPEM)
	if err != nil {
		t.Fatal(err)
	}
	return time.Until(end)
}

// TestRenewFails: nobody gets a certificate by a CA that has not signed the old one, nor more
// than the old one was for.
func TestRenewFails(t *testing.T) {
	ca, err := NewCA("etcd", 0)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewCA("etcd", 0)
	if err != nil {
		t.Fatal(err)
	}
	ended := shortCA(t)
	pair, err := Issue(ca, Request{CommonName: "cp1", Server: true, DNSNames: []string{"cp1"}})
	if err != nil {
		t.Fatal(err)
	}
	request, err := RenewalRequest(pair.CertPEM, pair.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	weak := weakRequest(t)
	forged := slices.Clone(request)
	block, _ := pem.Decode(forged)
	block.Bytes[len(block.Bytes)-1] ^= 1
	forged = pem.EncodeToMemory(block)
	for name, tc := range map[string]struct {
		ca            KeyPair
		cert, request []byte
		want          string
	}{
		"another CA":           {other, pair.CertPEM, request, "another CA"},
		"no key of the CA":     {KeyPair{CertPEM: ca.CertPEM}, pair.CertPEM, request, "no private key"},
		"a CA's certificate":   {ca, ca.CertPEM, request, "it is a CA's"},
		"no request":           {ca, pair.CertPEM, pair.CertPEM, "no certificate request"},
		"a forged request":     {ca, pair.CertPEM, forged, "read the certificate request"},
		"a weak key":           {ca, pair.CertPEM, weak, "2048 bits"},
		"a CA that has ended":  {ended, handMadeBy(t, ended), request, "the CA's own certificate has ended: that of"},
		"no certificate there": {ca, nil, request, "no certificate"},
	} {
		got, err := Renew(tc.ca, tc.cert, tc.request, 0)
		if err == nil || got != nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %q %v", name, got, err)
		}
		if errors.Is(err, ErrOtherCA) != (name == "another CA") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A request that asks for more gets what there was.
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	greedy, err := SigningRequest(key, Request{CommonName: "root", Organization: []string{"system:masters"}, DNSNames: []string{"cp2"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Renew(ca, pair.CertPEM, greedy, 0)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ParseCert(got)
	if err != nil || cert.Subject.CommonName != "cp1" || len(cert.Subject.Organization) > 0 || !slices.Equal(cert.DNSNames, []string{"cp1"}) {
		t.Errorf("%v %v %v", cert.Subject, cert.DNSNames, err)
	}
}

func shortCA(t *testing.T) KeyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "old"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := encode(der, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func handMadeBy(t *testing.T, ca KeyPair) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return handMade(t, ca, key.Public(), time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
}

func weakRequest(t *testing.T) []byte {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// TestDue: half of a life, of a year at most.
func TestDue(t *testing.T) {
	now := time.Now()
	const day = 24 * time.Hour
	for name, tc := range map[string]struct {
		began, left time.Duration
		want        bool
	}{
		"new":                                {0, 365 * day, false},
		"a month before half":                {150 * day, 215 * day, false},
		"a month after half":                 {213 * day, 152 * day, true},
		"ended":                              {365 * day, -time.Hour, true},
		"minutes, new":                       {0, 20 * time.Minute, false},
		"minutes, old":                       {15 * time.Minute, 5 * time.Minute, true},
		"kubeadm's, new, with a CA of years": {4 * 365 * day, 364 * day, false},
		"kubeadm's, old, with a CA of years": {4 * 365 * day, 150 * day, true},
		"of ten years":                       {5 * 365 * day, 4 * 365 * day, false},
	} {
		if got := Due(&x509.Certificate{NotBefore: now.Add(-tc.began), NotAfter: now.Add(tc.left)}, now); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestSucceeds: what has less than the old one does not take its place.
func TestSucceeds(t *testing.T) {
	ca, err := NewCA("etcd", 0)
	if err != nil {
		t.Fatal(err)
	}
	full := Request{CommonName: "cp1", Server: true, Client: true, DNSNames: []string{"cp1"}, IPs: []net.IP{net.ParseIP("10.0.0.1")}}
	old, err := Issue(ca, full)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Request){
		"another subject": func(r *Request) { r.CommonName = "cp2" },
		"another group":   func(r *Request) { r.Organization = []string{"system:masters"} },
		"without a name":  func(r *Request) { r.DNSNames = nil },
		"without an IP":   func(r *Request) { r.IPs = nil },
		"without a use":   func(r *Request) { r.Client = false },
	} {
		r := full
		change(&r)
		fresh, err := Issue(ca, r)
		if err != nil {
			t.Fatal(err)
		}
		if Succeeds(fresh.CertPEM, old.CertPEM) == nil {
			t.Errorf("%s: it may", name)
		}
	}
	more := full
	more.DNSNames = append(more.DNSNames, "api.example.org")
	fresh, err := Issue(ca, more)
	if err != nil {
		t.Fatal(err)
	}
	if err := Succeeds(fresh.CertPEM, old.CertPEM); err != nil {
		t.Error(err)
	}
}

// TestSpent: of what kubeadm makes, which begins with its CA, the last year counts.
func TestSpent(t *testing.T) {
	now := time.Now()
	const day = 24 * time.Hour
	for name, tc := range map[string]struct {
		notBefore, notAfter time.Time
		want                float64
	}{
		"new":             {now.Add(-5 * time.Minute), now.Add(365 * day), 0},
		"two thirds":      {now.Add(-5*time.Minute - 40*time.Minute), now.Add(20 * time.Minute), 2. / 3},
		"as old as a CA":  {now.Add(-5 * 365 * day), now.Add(73 * day), 0.8},
		"ended":           {now.Add(-2 * time.Hour), now, 1},
		"never was valid": {now, now, 1},
	} {
		if got := Spent(tc.notBefore, tc.notAfter, now); got < tc.want-0.001 || got > tc.want+0.001 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestIssuedBy: one of several CAs in a file is enough, as while a CA is exchanged.
func TestIssuedBy(t *testing.T) {
	var cas []KeyPair
	for _, name := range []string{"old", "new"} {
		ca, err := NewCA(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		cas = append(cas, ca)
	}
	pair, err := Issue(cas[0], Request{CommonName: "a", Client: true})
	if err != nil {
		t.Fatal(err)
	}
	both := append(append([]byte{}, cas[1].CertPEM...), cas[0].CertPEM...)
	if err := IssuedBy(both, pair.CertPEM); err != nil {
		t.Error(err)
	}
	if err := IssuedBy(cas[1].CertPEM, pair.CertPEM); !errors.Is(err, ErrOtherCA) {
		t.Error(err)
	}
	for what, ca := range map[string][]byte{"no CA": nil, "what can't be read": []byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")} {
		if err := IssuedBy(ca, pair.CertPEM); err == nil || errors.Is(err, ErrOtherCA) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
