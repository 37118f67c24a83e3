package pki

import (
	"strings"
	"testing"
)

// FuzzPair: a certificate and a key are read or refused, and no error has the key in it.
func FuzzPair(f *testing.F) {
	const key = "MHcCAQEEIBnF0123456789"
	for _, seed := range []string{"", "-----BEGIN EC PRIVATE KEY-----\n" + key + "\n-----END EC PRIVATE KEY-----\n", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
		"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", "-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cert, err := ParseCert(data)
		if (err == nil) != (cert != nil) {
			t.Errorf("%v, %v", cert, err)
		}
		signer, err := ParseKey(data)
		if (err == nil) != (signer != nil) {
			t.Errorf("%v, %v", signer, err)
		}
		if err != nil && strings.Contains(err.Error(), key) {
			t.Error("the error has the key in it")
		}
		p := KeyPair{CertPEM: data, KeyPEM: data}
		if p.Check() == nil && (cert == nil || signer == nil) {
			t.Error("the pair is well, its halves are not")
		}
	})
}

// FuzzOwn: what somebody brings as a CA is one certificate with its key, or refused.
func FuzzOwn(f *testing.F) {
	ca, err := NewCA("Example", 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ca.CertPEM, ca.KeyPEM)
	f.Add(append(ca.CertPEM, ca.CertPEM...), ca.KeyPEM)
	f.Add(ca.KeyPEM, ca.CertPEM)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, certs, key []byte) {
		own, err := Own(certs, key)
		if err != nil {
			return
		}
		if len(Certs(own.CertPEM)) != 1 || !Holds(own.KeyPEM, own.CertPEM) {
			t.Error("a pair that is none")
		}
	})
}
