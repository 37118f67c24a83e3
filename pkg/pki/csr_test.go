package pki

import (
	"crypto/x509"
	"net"
	"strings"
	"testing"
)

func TestSignServer(t *testing.T) {
	ca, err := NewCA("kubernetes", 0)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	request, err := SigningRequest(key, Request{CommonName: "headlamp", Organization: []string{"system:masters"},
		DNSNames: []string{"localhost"}, IPs: []net.IP{net.ParseIP("10.0.0.100")}})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := SignServer(ca, request)
	if err != nil {
		t.Fatal(err)
	}
	if err := (KeyPair{CertPEM: signed, KeyPEM: key}).Check(); err != nil {
		t.Error(err)
	}
	if err := Verify(signed, ca.CertPEM); err != nil {
		t.Error(err)
	}
	cert, err := ParseCert(signed)
	if err != nil {
		t.Fatal(err)
	}
	if cert.VerifyHostname("10.0.0.100") != nil || cert.VerifyHostname("localhost") != nil || cert.VerifyHostname("10.0.0.1") == nil {
		t.Errorf("it is for %v and %v", cert.DNSNames, cert.IPAddresses)
	}
	// The request's groups would make its holder an administrator.
	if len(cert.Subject.Organization) > 0 || len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth {
		t.Errorf("it is for %v, with the usages %v", cert.Subject, cert.ExtKeyUsage)
	}

	nameless, err := SigningRequest(key, Request{CommonName: "headlamp"})
	if err != nil {
		t.Fatal(err)
	}
	leaf := KeyPair{CertPEM: signed, KeyPEM: key}
	for name, c := range map[string]struct {
		ca      KeyPair
		request []byte
		want    string
	}{
		"no request":   {ca, ca.CertPEM, "no certificate request"},
		"no addresses": {ca, nameless, "names or addresses"},
		"no CA":        {leaf, request, "is no CA"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := SignServer(c.ca, c.request); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
