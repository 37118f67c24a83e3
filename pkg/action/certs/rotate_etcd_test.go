package certs

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// etcdHosts plays two control planes, one of them a member, and a member on a host of its own. After
// each change it sees that everybody trusts what everybody else shows.
type etcdHosts struct {
	t *testing.T
	c *v1alpha1.Cluster
	// member and apiserver are the CAs that a host's programs trust; certs what they show, and waiting
	// the keys of successors.
	member, apiserver map[string][]byte
	certs, waiting    map[string]map[string]pki.KeyPair
	drained           map[string]bool
	// good has what was found to be trusted, with the CAs.
	good map[string]bool
	// calls counts; the one with the number fails does, after it was carried out if late is set.
	calls, fails int
	late         bool
	// secret is what must be in no request.
	secret []byte
}

func (f *etcdHosts) Run(_ context.Context, name string, req node.Request, _ report.Sink) (node.Result, error) {
	f.calls++
	if bytes.Contains(req.Spec, f.secret[40:80]) {
		f.t.Errorf("%s: the key of the CA is in a request", req.Task)
	}
	failed := fmt.Errorf("%s was cut off", name)
	if f.calls == f.fails && !f.late {
		return node.Result{}, failed
	}
	data, changed, err := f.do(name, req)
	if err != nil {
		return node.Result{Failure: &node.Failure{Message: err.Error()}}, nil
	}
	if f.calls == f.fails {
		return node.Result{}, failed
	}
	raw, err := json.Marshal(data)
	r := node.Result{Data: raw}
	if changed {
		r.Changes = []host.Change{{Action: "write", Target: "x"}}
		if !req.DryRun {
			f.consistent(req.Task + " on " + name)
		}
	}
	return r, err
}

func (f *etcdHosts) do(name string, req node.Request) (data any, changed bool, err error) {
	read := func(into any) {
		if err := json.Unmarshal(req.Spec, into); err != nil {
			f.t.Fatal(err)
		}
	}
	put := func(all map[string][]byte, cas []byte) bool {
		changed := !pki.SameSet(pki.Certs(all[name]), pki.Certs(cas))
		if changed && !req.DryRun {
			all[name] = cas
		}
		return changed
	}
	switch req.Task {
	case tasks.EtcdGate:
		return struct{}{}, false, nil
	case tasks.Drain:
		var spec vip.DrainSpec
		read(&spec)
		f.drained[name] = spec.Drain
		return vip.DrainData{}, true, nil
	case tasks.Certificates:
		return f.look(name), false, nil
	case tasks.EtcdTrust:
		var spec etcdmember.TrustSpec
		read(&spec)
		return etcdmember.TrustData{}, put(f.member, spec.CAs), nil
	case tasks.RotateAuthority:
		var spec certs.RotationSpec
		read(&spec)
		if !req.DryRun && len(f.c.ControlPlanes()) > 1 && !f.drained[name] && !spec.Reached(f.apiserver[name]) {
			f.t.Errorf("the apiserver of %s is restarted while the virtual IP may be there", name)
		}
		return certs.RotationData{}, put(f.apiserver, spec.Anchors()), nil
	case tasks.CertificateRequests:
		var spec certs.RequestSpec
		read(&spec)
		out := certs.RequestData{Pending: map[string]certs.Pending{}}
		for _, n := range spec.Names {
			now := f.certs[name][n]
			key, err := pki.NewKeyLike(now.CertPEM)
			if err != nil {
				return nil, false, err
			}
			request, err := pki.RenewalRequest(now.CertPEM, key)
			if err != nil {
				return nil, false, err
			}
			f.waiting[name][n] = pki.KeyPair{KeyPEM: key}
			out.Pending[n] = certs.Pending{Current: now.CertPEM, Request: request}
		}
		return out, true, nil
	case tasks.InstallCertificates:
		var spec certs.InstallSpec
		read(&spec)
		for n, cert := range spec.Certificates {
			pair := pki.KeyPair{CertPEM: cert, KeyPEM: f.waiting[name][n].KeyPEM}
			if err := pair.Check(); err != nil {
				return nil, false, err
			}
			f.certs[name][n] = pair
		}
		return certs.Data{}, true, nil
	}
	f.t.Errorf("nobody expected the task %s", req.Task)
	return nil, false, errors.New("unexpected")
}

// look tells of the certificates as a host does.
func (f *etcdHosts) look(name string) certs.LookData {
	var d certs.LookData
	for n, pair := range f.certs[name] {
		one := certs.Certificate{Name: n}
		for _, ca := range pki.Certs(slices.Concat(f.member[name], f.apiserver[name])) {
			cert, err := pki.ParseCert(ca)
			if by, errBy := pki.SignedBy(pair.CertPEM, ca); err == nil && errBy == nil && by {
				one.IssuerFingerprint = pki.Fingerprint(cert)
			}
		}
		d.Certificates = append(d.Certificates, one)
	}
	return d
}

// consistent is what a rotation must never break: who connects to whom is trusted there.
func (f *etcdHosts) consistent(after string) {
	f.t.Helper()
	for who, cas := range f.trusting() {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(cas)
		for h, all := range f.certs {
			for n, pair := range all {
				known := string(cas) + string(pair.CertPEM)
				if f.good[known] {
					continue
				}
				f.good[known] = true
				cert, err := pki.ParseCert(pair.CertPEM)
				if err == nil {
					_, err = cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
				}
				if err != nil {
					f.t.Fatalf("after %s, %s does not trust %s of %s: %v", after, who, n, h, err)
				}
			}
		}
	}
}

func (f *etcdHosts) trusting() map[string][]byte {
	out := map[string][]byte{}
	for h, cas := range f.member {
		out["the member on "+h] = cas
	}
	for h, cas := range f.apiserver {
		out["the apiserver on "+h] = cas
	}
	return out
}

// newEtcdRotation is a cluster with its state directory, before anything was rotated.
func newEtcdRotation(t *testing.T) (*etcdHosts, func(back bool) *rotatingEtcd) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := pki.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	root, _, err := store.CA(t.Context(), "etcd", "c etcd CA")
	if err != nil {
		t.Fatal(err)
	}
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Hosts: []v1alpha1.Host{
		{Name: "cp1", Address: "10.0.0.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleEtcd}},
		{Name: "cp2", Address: "10.0.0.2", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}},
		{Name: "e1", Address: "10.0.0.3", Roles: []v1alpha1.Role{v1alpha1.RoleEtcd}},
	}}}
	c.Metadata.Name = "c"
	f := &etcdHosts{t: t, c: c, member: map[string][]byte{}, apiserver: map[string][]byte{}, certs: map[string]map[string]pki.KeyPair{}, waiting: map[string]map[string]pki.KeyPair{}, drained: map[string]bool{}, good: map[string]bool{}, secret: root.KeyPEM}
	issue := func(host string, names ...string) {
		h, _ := c.Host(host)
		for _, n := range names {
			request := pki.Request{CommonName: host, DNSNames: []string{host}, IPs: []net.IP{net.ParseIP(h.Address)}, Server: true, Client: true}
			if n == certs.EtcdClient {
				request = pki.Request{CommonName: "apiserver", Client: true}
			}
			pair, err := pki.Issue(root, request)
			if err != nil {
				t.Fatal(err)
			}
			if f.certs[host] == nil {
				f.certs[host], f.waiting[host] = map[string]pki.KeyPair{}, map[string]pki.KeyPair{}
			}
			f.certs[host][n] = pair
		}
	}
	issue("cp1", certs.EtcdServer, certs.EtcdPeer, certs.EtcdClient)
	issue("cp2", certs.EtcdClient)
	issue("e1", certs.EtcdServer, certs.EtcdPeer)
	f.member["cp1"], f.member["e1"], f.apiserver["cp1"], f.apiserver["cp2"] = root.CertPEM, root.CertPEM, root.CertPEM, root.CertPEM
	kube := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SystemNamespace}})
	return f, func(back bool) *rotatingEtcd {
		w := &rotatingEtcd{RotateOptions: RotateOptions{Authority: certs.AuthorityEtcd, Back: back, Options: Options{Cluster: c, Hosts: f, StateDir: dir}},
			clients: &client.Clients{Kube: kube}, sink: report.Discard(), may: func() error { return nil }}
		if w.state, err = readRotation(t.Context(), kube, certs.AuthorityEtcd); err != nil {
			t.Fatal(err)
		}
		if w.cas, err = bootstrap.OpenEtcdCAs(t.Context(), dir, c); err != nil {
			t.Fatal(err)
		}
		return w
	}
}

// run carries out what is left, up to a phase.
func (w *rotatingEtcd) run(t *testing.T, until certs.Phase) error {
	w.Until = until
	p, err := w.plan()
	if err != nil {
		return err
	}
	for _, phase := range p.Phases {
		if err := w.carryOut(t.Context(), phase); err != nil {
			return err
		}
	}
	return nil
}

// TestRotateEtcd goes through a rotation, and through one that is taken back from each phase, cut off
// at each question to a host, before and after the host has done it: it goes on, nobody ever shows
// what another does not trust, and at the end there is one CA.
func TestRotateEtcd(t *testing.T) {
	for name, c := range map[string]struct {
		first certs.Phase
		back  bool
	}{"to its end": {certs.PhaseIssue, false}, "taken back from trust": {certs.PhaseTrust, true}, "taken back from issue": {certs.PhaseIssue, true}} {
		for _, late := range []bool{false, true} {
			if late && c.back {
				continue // A host that has done it and one that has not are told apart by going forwards.
			}
			// Forwards at each question; the others share most of them, and take every third.
			step := 3
			if !late && !c.back {
				step = 1
			}
			t.Run(fmt.Sprintf("%s, late %v", name, late), func(t *testing.T) {
				t.Parallel()
				for fails, whole := 1, false; !whole; fails += step {
					f, open := newEtcdRotation(t)
					f.fails, f.late = fails, late
					former := open(false).cas.From()
					attempt := func(back bool, until certs.Phase) {
						err := open(back).run(t, until)
						if err != nil && !strings.Contains(err.Error(), "was cut off") {
							t.Fatalf("cut off at question %d: %v", fails, err)
						}
						if err != nil { // As whoever runs the command again.
							err = open(back).run(t, until)
						}
						if err != nil {
							t.Fatalf("again, after question %d: %v", fails, err)
						}
					}
					attempt(false, c.first)
					if c.back {
						attempt(true, "")
					} else {
						attempt(false, "")
					}
					whole = f.calls < fails
					w := open(false)
					if w.state.exists || w.cas.To() != nil || pki.Same(w.cas.From(), former) != c.back {
						t.Fatalf("question %d: the rotation is not at its end: %v", fails, w.state)
					}
					for who, cas := range f.trusting() {
						if all := pki.Certs(cas); len(all) != 1 || !pki.Same(all[0], w.cas.From()) {
							t.Errorf("question %d: %s trusts %d CAs", fails, who, len(all))
						}
					}
					f.consistent("all")
					for h, drained := range f.drained {
						if drained {
							t.Errorf("question %d: %s may not have the virtual IP any more", fails, h)
						}
					}
					if keys, err := filepath.Glob(filepath.Join(w.StateDir, "*", "ca.key")); err != nil || len(keys) != 1 {
						t.Errorf("question %d: %v, %v", fails, keys, err)
					}
				}
			})
		}
	}
}

// TestRotateEtcdRefuses: what can't go well is not begun.
func TestRotateEtcdRefuses(t *testing.T) {
	f, open := newEtcdRotation(t)
	refused := func(w *rotatingEtcd, until certs.Phase, want string) {
		t.Helper()
		if err := w.run(t, until); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	refused(open(true), "", "there is no rotation")
	if err := open(false).run(t, certs.PhaseTrust); err != nil {
		t.Fatal(err)
	}
	// Who has the state directory of before the rotation does not begin another one.
	w := open(false)
	w.StateDir = t.TempDir()
	if err := os.Chmod(w.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(w.StateDir, "etcd"), os.DirFS(filepath.Join(open(false).StateDir, "etcd"))); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"etcd", "etcd/ca.crt", "etcd/ca.key"} {
		mode := os.FileMode(0o600)
		if path == "etcd" {
			mode = 0o700
		}
		if err := os.Chmod(filepath.Join(w.StateDir, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if w.cas, err = bootstrap.OpenEtcdCAs(t.Context(), w.StateDir, w.Cluster); err != nil {
		t.Fatal(err)
	}
	refused(w, "", "was begun on another machine")
	if err := open(false).run(t, certs.PhaseIssue); err != nil {
		t.Fatal(err)
	}
	// Somebody has put a certificate of the former CA back.
	store, err := pki.OpenStore(open(false).StateDir)
	if err != nil {
		t.Fatal(err)
	}
	root, _, err := store.Load(t.Context(), "etcd")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := pki.Issue(root, pki.Request{CommonName: "apiserver", Client: true, Validity: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	f.certs["cp2"][certs.EtcdClient] = pair
	refused(open(false), "", "apiserver-etcd-client of cp2")
}

// TestRotateEtcdJoinedBefore: a control plane and a member that trust the former CA only trust both
// before anything is signed by the new one.
func TestRotateEtcdJoinedBefore(t *testing.T) {
	f, open := newEtcdRotation(t)
	former := open(false).cas.From()
	if err := open(false).run(t, certs.PhaseTrust); err != nil {
		t.Fatal(err)
	}
	f.member["e1"], f.apiserver["cp2"] = former, former
	if err := open(false).run(t, certs.PhaseIssue); err != nil {
		t.Fatal(err)
	}
	f.consistent("all")
}

// TestRotateEtcdTakenBackElsewhere: a copy of the state directory of before the rotation has the CA in
// use that one which is being taken back will have; it does not take that for done.
func TestRotateEtcdTakenBackElsewhere(t *testing.T) {
	_, open := newEtcdRotation(t)
	if err := open(false).run(t, certs.PhaseIssue); err != nil {
		t.Fatal(err)
	}
	w := open(true)
	if err := w.cas.Begin(t.Context(), certs.PhaseIssue, true); err != nil {
		t.Fatal(err)
	}
	if err := w.state.begin(t.Context(), w.clients.Kube, certs.PhaseIssue, true); err != nil {
		t.Fatal(err)
	}
	other := open(true)
	other.StateDir = t.TempDir()
	from, err := os.ReadFile(filepath.Join(w.StateDir, "etcd", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(w.StateDir, "etcd", "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(other.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := pki.OpenStore(other.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Keep(t.Context(), "etcd", pki.KeyPair{CertPEM: from, KeyPEM: key}); err != nil {
		t.Fatal(err)
	}
	if other.cas, err = bootstrap.OpenEtcdCAs(t.Context(), other.StateDir, other.Cluster); err != nil {
		t.Fatal(err)
	}
	if err := other.run(t, ""); err == nil || !strings.Contains(err.Error(), "was begun on another machine") {
		t.Errorf("got %v", err)
	}
	if err := open(true).run(t, ""); err != nil {
		t.Fatal(err)
	}
}

// TestLeftOut: a file that lacks a control plane or a member, or the role of one, is not up to date.
func TestLeftOut(t *testing.T) {
	f, _ := newEtcdRotation(t)
	if left := leftOut(f.c, f.c); len(left) > 0 {
		t.Errorf("of the same hosts: %v", left)
	}
	file := *f.c
	file.Spec.Hosts = slices.Clone(f.c.Spec.Hosts[:2])
	file.Spec.Hosts[1].Roles = []v1alpha1.Role{v1alpha1.RoleWorker}
	if left := leftOut(&file, f.c); !slices.Equal(left, []string{"cp2", "e1"}) {
		t.Errorf("got %v", left)
	}
}
