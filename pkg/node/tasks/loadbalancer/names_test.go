package loadbalancer

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// controlPlane is a host with what kubeadm made, and a server that presents the
// certificate which is on the disk, as an apiserver does.
func controlPlane(t *testing.T) (h *host.Host, ca pki.KeyPair, endpoint string) {
	t.Helper()
	ca, err := pki.NewCA("kubernetes", 0)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := pki.Issue(ca, pki.Request{CommonName: "kube-apiserver", Server: true, DNSNames: []string{"kubernetes"}, IPs: []net.IP{net.ParseIP("10.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	h = hosttest.New(t, hosttest.NewCommander(t))
	hosttest.Write(t, h, caCert, string(ca.CertPEM), 0o644)
	hosttest.Write(t, h, caKey, string(ca.KeyPEM), 0o600)
	hosttest.Write(t, h, apiserverCert, string(pair.CertPEM), 0o644)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		raw, err := h.ReadFile(apiserverCert)
		if err != nil {
			return nil, err
		}
		c, err := tls.X509KeyPair(raw, pair.KeyPEM)
		return &c, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = c.(*tls.Conn).Handshake(); _ = c.Close() }()
		}
	}()
	return h, ca, l.Addr().String()
}

func names(t *testing.T, h *host.Host, spec NamesSpec) (NamesData, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	data, err := Names(ctx, node.Env{Host: h, Progress: func(string, ...any) {}}, spec)
	d, _ := data.(NamesData)
	return d, err
}

// TestNames: a certificate that lacks a name is made anew, and the task ends when the
// apiserver presents it; one that has them all is left alone.
func TestNames(t *testing.T) {
	h, ca, endpoint := controlPlane(t)
	spec := NamesSpec{Names: []string{"kubernetes", "10.0.0.100"}, Endpoint: endpoint}
	data, err := names(t, h, spec)
	if err != nil || !slices.Equal(data.Added, []string{"10.0.0.100"}) {
		t.Fatalf("%+v %v", data, err)
	}
	made, err := h.ReadFile(apiserverCert)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pki.ParseCert(made)
	if err != nil || len(pki.Lacking(cert, []string{"kubernetes", "10.0.0.1", "10.0.0.100"})) > 0 {
		t.Errorf("%v %v %v", err, cert.DNSNames, cert.IPAddresses)
	}
	if err := pki.Verify(made, ca.CertPEM); err != nil {
		t.Error(err)
	}
	if data, err := names(t, h, spec); err != nil || len(data.Added) > 0 {
		t.Errorf("again: %+v %v", data, err)
	}
	if again, err := h.ReadFile(apiserverCert); err != nil || !bytes.Equal(again, made) {
		t.Errorf("it was made once more: %v", err)
	}
}

// TestNamesFails: without the CA's key, or with a certificate of somebody else, nothing is
// changed; an apiserver that goes on with another certificate is told.
func TestNamesFails(t *testing.T) {
	stranger, err := pki.NewCA("stranger", 0)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := pki.Issue(stranger, pki.Request{CommonName: "kube-apiserver", Server: true, DNSNames: []string{"kubernetes"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]func(t *testing.T, h *host.Host){
		"no key of the CA":            func(t *testing.T, h *host.Host) { must(t, os.Remove(h.Path(caKey))) },
		"no CA":                       func(t *testing.T, h *host.Host) { must(t, os.Remove(h.Path(caCert))) },
		"no certificate":              func(t *testing.T, h *host.Host) { must(t, os.Remove(h.Path(apiserverCert))) },
		"a certificate of a stranger": func(t *testing.T, h *host.Host) { hosttest.Write(t, h, apiserverCert, string(foreign.CertPEM), 0o644) },
		"a damaged certificate":       func(t *testing.T, h *host.Host) { hosttest.Write(t, h, apiserverCert, "x", 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			h, _, endpoint := controlPlane(t)
			tc(t, h)
			before, _ := h.ReadFile(apiserverCert)
			if data, err := names(t, h, NamesSpec{Names: []string{"10.0.0.100"}, Endpoint: endpoint}); err == nil {
				t.Errorf("%+v", data)
			}
			if after, _ := h.ReadFile(apiserverCert); !bytes.Equal(before, after) {
				t.Error("the certificate was changed")
			}
		})
	}
	t.Run("not taken up", func(t *testing.T) {
		h, _, _ := controlPlane(t)
		_, _, other := controlPlane(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Names(ctx, node.Env{Host: h, Progress: func(string, ...any) {}}, NamesSpec{Names: []string{"10.0.0.100"}, Endpoint: other}); err == nil {
			t.Error("no error")
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
