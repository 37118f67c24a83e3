package etcdmember

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// TestTrust: CAs reach the member, a restart is asked for only where one is owed, CAs that have not
// signed what the member shows are refused, and what it does not get well with is put back.
func TestTrust(t *testing.T) {
	from, to := authority(t), authority(t)
	both := append(bytes.Clone(from.CertPEM), to.CertPEM...)
	pair := issue(t, from, "10.0.0.1")
	m := newMachine(t)
	set := testSpec()
	set.CA, set.ServerCert, set.ServerKey, set.PeerCert, set.PeerKey = from.CertPEM, pair.CertPEM, pair.KeyPEM, pair.CertPEM, pair.KeyPEM
	if _, err := m.run(t, set); err != nil {
		t.Fatal(err)
	}
	m.On("journalctl --unit etcd.service --lines 30 --no-pager --output cat", "panic")
	var asked []string
	sick := error(nil)
	do := func(name string, cas []byte) (restarted bool, h *host.Host, err error) {
		h = hosttest.Open(t, m.root, m)
		m.Reset()
		asked = nil
		data, err := trust(t.Context(), node.Env{Host: h, Progress: func(string, ...any) {}}, TrustSpec{Name: name, Address: set.Members[name], Members: set.Members, CAs: cas}, probes{
			dial:    func(context.Context, string) error { return nil },
			spare:   func(context.Context, node.Env, Spec) error { asked = append(asked, "spare"); return nil },
			healthy: func(context.Context, node.Env, Spec) error { asked = append(asked, "healthy"); return sick },
		})
		got, _ := data.(TrustData)
		return got.Restarted, h, err
	}
	has := func(h *host.Host, want []byte) {
		t.Helper()
		if now, err := h.ReadFile(caFile); err != nil || !bytes.Equal(now, want) {
			t.Errorf("it trusts %d CAs, %v; want %d", len(pki.Certs(now)), err, len(pki.Certs(want)))
		}
	}
	restarted, h, err := do("a", both)
	if err != nil || !restarted || strings.Join(asked, " ") != "spare healthy" {
		t.Fatalf("%v %v %v", restarted, asked, err)
	}
	has(h, both)
	turned := append(bytes.Clone(to.CertPEM), from.CertPEM...)
	if restarted, h, err = do("a", turned); err != nil || restarted || len(h.Changes()) > 0 || asked != nil {
		t.Errorf("the same in another order: %v %v %v %v", restarted, h.Changes(), asked, err)
	}
	if _, h, err = do("a", to.CertPEM); err == nil || host.Hint(err) == "" || len(h.Changes()) > 0 {
		t.Errorf("a CA that has signed nothing: %v, %v", err, h.Changes())
	}
	if _, h, err = do("a", nil); err == nil || len(h.Changes()) > 0 {
		t.Errorf("no CA: %v, %v", err, h.Changes())
	}
	sick = errors.New("b is away")
	if _, h, err = do("a", from.CertPEM); err == nil || !strings.Contains(err.Error(), "b is away") || !strings.Contains(err.Error(), "of before again") {
		t.Errorf("%v", err)
	}
	has(h, both)
	if _, _, err := do("b", both); err == nil || !strings.Contains(err.Error(), "this host's etcd member is a, not b") {
		t.Errorf("another member's: %v", err)
	}
}

// TestRealTrust rotates the CA of three real members as kubectl ha does, beside a client that writes:
// it trusts both CAs, and nothing that it was told is there gets lost. Who trusts only the old one is
// refused at the end.
func TestRealTrust(t *testing.T) {
	all := startMembers(t, named(t, "ETCD"))
	from, err := all[0].h.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	old, err := Identity(all[0].h)
	if err != nil {
		t.Fatal(err)
	}
	to := authority(t)
	both := append(bytes.Clone(from), to.CertPEM...)
	login := issue(t, to, "127.0.0.1")

	trustAll := func(cas []byte, restarts int) {
		t.Helper()
		for _, m := range inOrder(t, all) {
			m.restarts = 0
			env := node.Env{Host: m.h, Progress: func(format string, args ...any) { t.Logf(m.name+": "+format, args...) }}
			_, err := trust(t.Context(), env, TrustSpec{Name: m.name, Address: m.address, Members: m.members, CAs: cas}, probes{dial: dialPeer, spare: handedOver, healthy: waitHealthy})
			if err != nil {
				t.Fatal(err)
			}
			if m.restarts != restarts {
				t.Errorf("%s was restarted %d times, want %d", m.name, m.restarts, restarts)
			}
		}
	}
	trustAll(both, 1)
	trustAll(both, 0)

	// From here on there is a writer that trusts both, with a certificate of the new CA.
	var endpoints []string
	for _, m := range all {
		endpoints = append(endpoints, httpsURL(m.address, ClientPort))
	}
	certificate, err := tls.X509KeyPair(login.CertPEM, login.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(both)
	writer, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop(), TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	written, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			put, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if _, err := writer.Put(put, "/written/"+strconv.Itoa(written), "x"); err == nil {
				written++
			}
			cancel()
		}
	}()
	for _, m := range all {
		pair := issue(t, to, m.address)
		for file, content := range map[string][]byte{serverKey: pair.KeyPEM, peerKey: pair.KeyPEM, serverCert: pair.CertPEM, peerCert: pair.CertPEM} {
			hosttest.Write(t, m.h, file, string(content), 0o600)
		}
	}
	same(t, client(t, all[0]))
	trustAll(to.CertPEM, 1)
	same(t, client(t, all[0]))
	stop()
	<-done
	if written == 0 {
		t.Error("nothing was written meanwhile")
	}
	got, err := writer.Get(t.Context(), "/written/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	// The last one may be there without anybody having been told.
	if err != nil || got.Count < int64(written) || got.Count > int64(written)+1 {
		t.Fatalf("%+v, %v; %d were written", got, err, written)
	}
	if err := writer.Close(); err != nil {
		t.Error(err)
	}
	stranger, err := etcd.Connect(t.Context(), endpoints, etcd.TLS{CA: both, Cert: old.Cert, Key: old.Key})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stranger.Status(t.Context()) {
		if s.Err == nil {
			t.Errorf("%s still lets somebody in whom the old CA has signed", s.Endpoint)
		}
	}
	if err := stranger.Close(); err != nil {
		t.Error(err)
	}
}
