package loadbalancer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/kubeadmconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// serve is a server with a certificate for these names.
func serve(t *testing.T, ca pki.KeyPair, dns []string, ips ...net.IP) string {
	t.Helper()
	pair, err := pki.Issue(ca, pki.Request{CommonName: "kube-apiserver", Server: true, DNSNames: dns, IPs: ips})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
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
	return l.Addr().String()
}

// TestLacking: a name that is not in the certificate is told from a server that can't be
// trusted, or is not there.
func TestLacking(t *testing.T) {
	ca, err := pki.NewCA("kubernetes", 0)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.CertPEM)
	config := &tls.Config{RootCAs: pool}
	c := testCluster()
	c.Spec.ExtraSANs = []string{"api.example.org", serverName}
	want := names(c)
	if !slices.Equal(want, []string{"kubernetes", "10.0.0.100", "api.example.org"}) {
		t.Fatal(want)
	}
	vip := net.ParseIP("10.0.0.100")
	for name, tc := range map[string]struct {
		at   string
		lack []string
	}{
		"all":     {serve(t, ca, []string{"kubernetes", "api.example.org"}, vip), nil},
		"address": {serve(t, ca, []string{"kubernetes", "api.example.org"}), []string{"10.0.0.100"}},
		"name":    {serve(t, ca, []string{"kubernetes"}, vip), []string{"api.example.org"}},
	} {
		if got, err := lackingAt(context.Background(), config, tc.at, want); err != nil || !slices.Equal(got, tc.lack) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	stranger, err := pki.NewCA("kubernetes", 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]string{"another CA": serve(t, stranger, []string{"kubernetes"}, vip), "nobody": "127.0.0.1:1"} {
		if got, err := lackingAt(context.Background(), config, at, want); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestWithNames: kubeadm's configuration gets the names that it lacks, and keeps the rest.
func TestWithNames(t *testing.T) {
	const before = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nclusterName: c\n"
	want := []string{serverName, "10.0.0.100", "api.example.org"}
	edit := func(text string) (string, bool, error) { return kubeadmconfig.Edit(text, withNames(want)) }
	text, changed, err := edit(before + "apiServer:\n  certSANs: [cp1, 10.0.0.100]\n  extraArgs: [{name: v, value: \"2\"}]\n")
	if err != nil || !changed || !strings.Contains(text, "- cp1\n  - 10.0.0.100\n  - api.example.org\n") || !strings.Contains(text, "name: v") || strings.Contains(text, "- kubernetes") {
		t.Errorf("%v %v\n%s", changed, err, text)
	}
	if _, changed, err := edit(text); changed || err != nil {
		t.Errorf("again: %v %v", changed, err)
	}
	if text, changed, err := edit(before); err != nil || !changed || !strings.Contains(text, "certSANs:\n  - 10.0.0.100\n") || !strings.Contains(text, "clusterName: c") {
		t.Errorf("without any: %v %v\n%s", changed, err, text)
	}
}
