package pki

import (
	"bytes"
	"net"
	"slices"
	"testing"
	"time"
)

// TestAddNames: the new certificate is the old one with more names, and the key stays.
func TestAddNames(t *testing.T) {
	ca, err := NewCA("kubernetes", time.Hour*48)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := Issue(ca, Request{CommonName: "kube-apiserver", Server: true, Validity: 24 * time.Hour, DNSNames: []string{"kubernetes", "cp1"}, IPs: []net.IP{net.ParseIP("10.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	if same, err := AddNames(ca, pair.CertPEM, []string{"kubernetes", "10.0.0.1"}); same != nil || err != nil {
		t.Errorf("nothing to add: %q %v", same, err)
	}
	names := []string{"kubernetes", "10.0.0.100", "fd00::100", "api.example.org"}
	got, err := AddNames(ca, pair.CertPEM, names)
	if err != nil {
		t.Fatal(err)
	}
	old, err := ParseCert(pair.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := ParseCert(got)
	if err != nil {
		t.Fatal(err)
	}
	if l := Lacking(old, names); !slices.Equal(l, names[1:]) {
		t.Errorf("the old one lacks %v", l)
	}
	if l := Lacking(fresh, append(names, "cp1", "10.0.0.1")); len(l) > 0 {
		t.Errorf("the new one lacks %v", l)
	}
	if fresh.Subject.CommonName != "kube-apiserver" || !slices.Equal(fresh.ExtKeyUsage, old.ExtKeyUsage) || fresh.KeyUsage != old.KeyUsage || fresh.IsCA {
		t.Errorf("%+v", fresh)
	}
	if !bytes.Equal(fresh.RawSubjectPublicKeyInfo, old.RawSubjectPublicKeyInfo) || fresh.SerialNumber.Cmp(old.SerialNumber) == 0 {
		t.Error("it has another key, or the same number")
	}
	if err := Verify(got, ca.CertPEM); err != nil {
		t.Error(err)
	}
	if lives := fresh.NotAfter.Sub(fresh.NotBefore); lives < 24*time.Hour || lives > 25*time.Hour {
		t.Errorf("it lives for %s", lives)
	}
	if err := (KeyPair{CertPEM: got, KeyPEM: pair.KeyPEM}).Check(); err != nil {
		t.Error(err)
	}
}

// TestAddNamesFails: nothing is signed by a CA that is not the certificate's own.
func TestAddNamesFails(t *testing.T) {
	ca, err := NewCA("kubernetes", 0)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewCA("kubernetes", 0)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := Issue(ca, Request{CommonName: "kube-apiserver", Server: true, DNSNames: []string{"kubernetes"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ca   KeyPair
		cert []byte
	}{
		"another CA":              {other, pair.CertPEM},
		"no key of the CA":        {KeyPair{CertPEM: ca.CertPEM}, pair.CertPEM},
		"another CA's key":        {KeyPair{CertPEM: ca.CertPEM, KeyPEM: other.KeyPEM}, pair.CertPEM},
		"no CA":                   {pair, pair.CertPEM},
		"no certificate":          {ca, []byte("x")},
		"an empty one":            {ca, nil},
		"a key for a certificate": {ca, pair.KeyPEM},
	} {
		if got, err := AddNames(tc.ca, tc.cert, []string{"10.0.0.100"}); err == nil || got != nil {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}
