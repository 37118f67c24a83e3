package controlplane

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// TestShowChain: who knows only the former CA trusts the apiserver of a host that has joined after
// the CA was exchanged.
func TestShowChain(t *testing.T) {
	must := func(pair pki.KeyPair, err error) pki.KeyPair {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	old := must(pki.NewCA("kubernetes", 0))
	fresh := must(pki.NextCA(old.CertPEM, 0))
	server := pki.Request{CommonName: "kube-apiserver", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true}
	crossed, err := pki.CrossSign(old, fresh.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ca             pki.KeyPair
		trusted, chain []byte
		want           int
	}{
		"the phase issue":         {fresh, append(append([]byte{}, fresh.CertPEM...), old.CertPEM...), crossed, 2},
		"the phase trust":         {old, append(append([]byte{}, old.CertPEM...), fresh.CertPEM...), nil, 1},
		"the CA itself is shown":  {fresh, append(append([]byte{}, fresh.CertPEM...), old.CertPEM...), fresh.CertPEM, 1},
		"nothing is being turned": {fresh, fresh.CertPEM, crossed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			theirs := must(pki.Issue(c.ca, server))
			pair, err := tls.X509KeyPair(append(append([]byte{}, theirs.CertPEM...), c.chain...), theirs.KeyPEM)
			if err != nil {
				t.Fatal(err)
			}
			api := httptest.NewUnstartedServer(http.NotFoundHandler())
			api.TLS = &tls.Config{Certificates: []tls.Certificate{pair}} //nolint:gosec // a test's own server
			api.StartTLS()
			defer api.Close()
			h := hosttest.New(t, hosttest.NewCommander(t))
			hosttest.Write(t, h, caCert, string(c.trusted), 0o644)
			hosttest.Write(t, h, pkiDir+"/apiserver.crt", string(must(pki.Issue(c.ca, server)).CertPEM), 0o644)
			for range 2 {
				if err := showChain(t.Context(), h, api.URL); err != nil {
					t.Fatal(err)
				}
			}
			own, err := h.ReadFile(pkiDir + "/apiserver.crt")
			if err != nil || len(pki.Certs(own)) != c.want {
				t.Fatalf("it shows %d certificates instead of %d, %v", len(pki.Certs(own)), c.want, err)
			}
			if c.want < 2 {
				return
			}
			roots, rest := x509.NewCertPool(), x509.NewCertPool()
			roots.AppendCertsFromPEM(old.CertPEM)
			rest.AppendCertsFromPEM(own)
			leaf, err := pki.ParseCert(own)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: rest}); err != nil {
				t.Error(err)
			}
		})
	}
	h := hosttest.New(t, hosttest.NewCommander(t))
	hosttest.Write(t, h, caCert, string(fresh.CertPEM)+string(old.CertPEM), 0o644)
	hosttest.Write(t, h, pkiDir+"/apiserver.crt", string(must(pki.Issue(fresh, server)).CertPEM), 0o644)
	if err := showChain(t.Context(), h, "https://127.0.0.1:1"); err == nil {
		t.Error("nobody was asked, and it goes on")
	}
}
