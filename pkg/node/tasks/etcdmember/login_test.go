package etcdmember

import (
	"net"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// authority makes a CA for a test.
func authority(t *testing.T) pki.KeyPair {
	t.Helper()
	ca, err := pki.NewCA("test etcd CA", 0)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// issue makes a member's certificate, which is a client's as well. On one machine its connections
// come from 127.0.0.1, and etcd compares that with the certificate.
func issue(t *testing.T, ca pki.KeyPair, address string) pki.KeyPair {
	t.Helper()
	pair, err := pki.Issue(ca, pki.Request{CommonName: "member", IPs: []net.IP{net.ParseIP(address), net.IPv4(127, 0, 0, 1)}, Server: true, Client: true})
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// login is one that nobody knows.
func login(t *testing.T) etcd.TLS {
	t.Helper()
	ca := authority(t)
	pair := issue(t, ca, "127.0.0.1")
	return etcd.TLS{CA: ca.CertPEM, Cert: pair.CertPEM, Key: pair.KeyPEM}
}
