package certs

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// pairOf reads FILE.crt and FILE.key of a host.
func pairOf(t *testing.T, root, file string) pki.KeyPair {
	t.Helper()
	cert, errCert := os.ReadFile(root + file + ".crt")
	key, errKey := os.ReadFile(root + file + ".key")
	if err := errors.Join(errCert, errKey); err != nil {
		t.Fatal(err)
	}
	return pki.KeyPair{CertPEM: cert, KeyPEM: key}
}

// away takes the key of the cluster's CA from a host.
func awayFrom(t *testing.T, hs *hosts) pki.KeyPair {
	t.Helper()
	ca := pairOf(t, hs.roots["cp1"], pkiDir+"/ca")
	if err := os.Remove(hs.roots["cp1"] + pkiDir + "/ca.key"); err != nil {
		t.Fatal(err)
	}
	return ca
}

// TestRescueByCAsThatAreKeptElsewhere: with no key on any host all is signed by the CAs that were
// given, each by the one that has signed it before; without these each says what to do.
func TestRescueByCAsThatAreKeptElsewhere(t *testing.T) {
	c, etcdCA := newCluster(), newCA(t)
	hs := newHosts(t, c, etcdCA, time.Millisecond)
	ca := awayFrom(t, hs)
	_, err := hs.rescue(t, Options{Cluster: c, Hosts: hs, Only: []string{"cp1"}, Names: []string{certs.APIServer, certs.Scheduler}})
	if err == nil || !strings.Contains(err.Error(), "apiserver of cp1: the key of its CA is on no control plane node; provide") {
		t.Errorf("without the CA: %v", err)
	}
	hs.done = nil
	r, err := hs.rescue(t, Options{Cluster: c, Hosts: hs, Only: []string{"cp1", "w1"}, CAs: []pki.KeyPair{ca, etcdCA}, Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, one := range append(r.Renewed["cp1"].Renewed, r.Renewed["w1"].Renewed...) {
		names = append(names, one.Name)
	}
	if got := strings.Join(names, " "); got != "kubelet apiserver-etcd-client apiserver admin.conf scheduler.conf kubelet" {
		t.Errorf("renewed are %s", got)
	}
	if slices.ContainsFunc(hs.done, func(d string) bool {
		return strings.HasPrefix(d, tasks.RenewCertificates) || strings.HasPrefix(d, tasks.SignCertificates)
	}) {
		t.Errorf("a host was asked to sign: %v", hs.done)
	}
	for file, by := range map[string]pki.KeyPair{pkiDir + "/apiserver": ca, pkiDir + "/apiserver-etcd-client": etcdCA} {
		if err := pki.Verify(pairOf(t, hs.roots["cp1"], file).CertPEM, by.CertPEM); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	if _, err := os.Stat(hs.roots["cp1"] + pkiDir + "/ca.key"); !os.IsNotExist(err) {
		t.Errorf("the CA's key is on the host: %v", err)
	}
}

// TestRescueLooksFirst: what is asked about is what was found, and nothing was changed before.
func TestRescueLooksFirst(t *testing.T) {
	c, etcdCA := newCluster(), newCA(t)
	hs := newHosts(t, c, etcdCA, time.Millisecond)
	no := errors.New("no")
	var seen Plan
	o := Options{Cluster: c, Hosts: hs, StateDir: kept(t, etcdCA), Confirm: func(_ context.Context, p Plan) error { seen = p; return no }}
	if _, err := hs.rescue(t, o); !errors.Is(err, no) || seen.Count() != 12 || len(seen.Hosts) != 5 {
		t.Errorf("%v, asked about %+v", err, seen)
	}
	o.DryRun, o.Confirm = true, func(context.Context, Plan) error { t.Error("a dry run asks"); return nil }
	if r, err := hs.rescue(t, o); err != nil || r.Plan.Count() != 12 {
		t.Errorf("%+v %v", r.Plan, err)
	}
	for _, d := range hs.done {
		if !strings.HasPrefix(d, tasks.Certificates+" ") {
			t.Errorf("%s before it was asked", d)
		}
	}
	well := newHosts(t, c, etcdCA, time.Hour)
	o = Options{Cluster: c, Hosts: well, StateDir: kept(t, etcdCA), Confirm: func(context.Context, Plan) error { t.Error("asked about nothing"); return nil }}
	if r, err := well.rescue(t, o); err != nil || !r.Plan.Empty() {
		t.Errorf("%+v %v", r.Plan, err)
	}
}

// TestSignedElsewhere: requests go out as files, are signed by openssl, and come back; what is for
// another key, or lacks what was there, is refused on this machine.
func TestSignedElsewhere(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl")
	}
	c, etcdCA := newCluster(), newCA(t)
	hs := newHosts(t, c, etcdCA, time.Hour)
	ca := awayFrom(t, hs)
	h, _ := c.Host("cp1")
	names := []string{certs.APIServer, certs.Scheduler}
	dir := t.TempDir()
	var before []byte
	for range 2 { // Asked again it is for the same key.
		pending, err := ask(t.Context(), c, hs, h, names, report.Discard())
		if err != nil {
			t.Fatal(err)
		}
		files, err := writeRequests(dir, "cp1", pending)
		if err != nil || strings.Join(files, " ") != filepath.Join(dir, "cp1/apiserver.csr")+" "+filepath.Join(dir, "cp1/scheduler.conf.csr") {
			t.Fatalf("%v %v", files, err)
		}
		now, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if before != nil && pki.Answers(sign(t, openssl, ca, files[0]), now) != nil {
			t.Error("the second request is for another key")
		}
		before = now
	}
	for _, n := range names {
		write(t, dir, "/cp1/"+n+".crt", sign(t, openssl, ca, file(dir, "cp1", n, ".csr")))
	}
	s := signers{cluster: c, folder: dir, noEtcd: errors.New("not here")}
	pending, err := ask(t.Context(), c, hs, h, names, report.Discard())
	if err != nil {
		t.Fatal(err)
	}
	spec, err := s.Sign(h, pending)
	if err != nil || len(spec.Certificates) != 2 {
		t.Fatalf("%+v %v", spec, err)
	}
	if _, err := hs.rescue(t, Options{Cluster: c, Hosts: hs, Only: []string{"cp1"}, Names: names, SignedDir: dir}); err != nil {
		t.Fatal(err)
	}
	if now := pairOf(t, hs.roots["cp1"], pkiDir+"/apiserver"); now.Check() != nil || string(now.CertPEM) != string(spec.Certificates[certs.APIServer]) {
		t.Errorf("what was signed is not in its place: %v", now.Check())
	}

	other, err := pki.Issue(ca, pki.Request{CommonName: "kube-apiserver", Server: true, DNSNames: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	pending, err = ask(t.Context(), c, hs, h, names, report.Discard())
	if err != nil {
		t.Fatal(err)
	}
	for what, tc := range map[string]struct {
		content []byte
		want    string
	}{
		"another key":   {other.CertPEM, "is for another key"},
		"no cert":       {[]byte("x"), "no certificate found"},
		"the last ones": {spec.Certificates[certs.APIServer], "is for another key"},
	} {
		write(t, dir, "/cp1/apiserver.crt", tc.content)
		if _, err := s.Sign(h, pending); err == nil || !strings.Contains(err.Error(), tc.want) || action.KindOf(err) != action.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "cp1/apiserver.crt")); err != nil {
		t.Fatal(err)
	}
	if err := s.lacks("cp1", certs.Certificate{Name: certs.APIServer, RenewedBy: certs.OwnerElsewhere}); err == nil || !strings.Contains(err.Error(), "apiserver.crt is missing") {
		t.Errorf("one that is missing: %v", err)
	}
}

// sign has openssl sign a request with its extensions, as docs/certificates.md says.
func sign(t *testing.T, openssl string, ca pki.KeyPair, csr string) []byte {
	t.Helper()
	dir := t.TempDir()
	writePair(t, dir, "/ca", ca)
	cmd := exec.CommandContext(t.Context(), openssl, "x509", "-req", "-in", csr, "-CA", dir+"/ca.crt", "-CAkey", dir+"/ca.key", "-CAcreateserial", "-copy_extensions", "copyall", "-days", "365", "-out", dir+"/out.crt")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cert, err := os.ReadFile(dir + "/out.crt")
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestGivenCAs: what nothing can be signed by is refused before anybody is asked, and a host gets
// what it has and nothing else.
func TestGivenCAs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short, err := pki.NewCA("kubernetes", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := pki.Issue(short, pki.Request{CommonName: "a", Client: true})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		for want, ca := range map[string]pki.KeyPair{
			"the CA's own certificate has ended": short,
			"not the certificate of a CA":        leaf,
			"no private key found":               {CertPEM: short.CertPEM},
		} {
			_, err := Options{Cluster: newCluster(), CAs: []pki.KeyPair{ca}}.signers(t.Context())
			if err == nil || !strings.Contains(err.Error(), want) || action.KindOf(err) != action.Invalid {
				t.Errorf("%s: %v", want, err)
			}
		}
	})
	c, ca := newCluster(), newCA(t)
	admin := maker{t, time.Hour}.issue(ca, pki.Request{CommonName: "kubernetes-admin", Organization: []string{"system:masters"}, Client: true})
	request, err := pki.RenewalRequest(admin.CertPEM, admin.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	s := signers{cluster: c, given: []pki.KeyPair{ca}}
	for host, may := range map[string]bool{"cp1": true, "w1": false, "e1": false} {
		h, _ := c.Host(host)
		_, err := s.Sign(h, map[string]certs.Pending{certs.Admin: {Current: admin.CertPEM, Request: request}})
		if (err == nil) != may {
			t.Errorf("an administrator's login for %s: %v", host, err)
		}
	}
	cp1, _ := c.Host("cp1")
	if _, err := (signers{cluster: c, given: []pki.KeyPair{newCA(t)}}).Sign(cp1, map[string]certs.Pending{certs.Admin: {Current: admin.CertPEM, Request: request}}); err == nil || !strings.Contains(err.Error(), "none of the CAs provided has signed it") {
		t.Errorf("by another CA of the same name: %v", err)
	}
}
