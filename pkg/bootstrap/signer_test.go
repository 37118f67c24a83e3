package bootstrap

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// askToSign makes keys, as the task does, and keeps them.
func (f *fakeHosts) askToSign(name string, spec certs.RequestSpec) (any, bool, error) {
	data := certs.RequestData{Pending: map[string]certs.Pending{}}
	for _, n := range append(slices.Clone(spec.Names), f.asksFor...) {
		pair, ok := f.certs[name+" "+n]
		if !ok {
			continue
		}
		key, err := pki.NewKeyLike(pair.CertPEM)
		if err != nil {
			return nil, false, err
		}
		request, err := pki.RenewalRequest(pair.CertPEM, key)
		if err != nil {
			return nil, false, err
		}
		f.waiting[name+" "+n] = key
		data.Pending[n] = certs.Pending{Current: pair.CertPEM, Request: request}
	}
	return data, true, nil
}

func (f *fakeHosts) installCertificates(name string, facts *observe.Facts, spec certs.InstallSpec) (any, bool, error) {
	var data certs.Data
	for n, cert := range spec.Certificates {
		pair := pki.KeyPair{CertPEM: cert, KeyPEM: f.waiting[name+" "+n]}
		ca := f.certs[name+" ca"].CertPEM
		if ca == nil {
			ca = f.certs["cp1 ca"].CertPEM
		}
		if err := errors.Join(pair.Check(), pki.Verify(cert, ca), pki.Succeeds(cert, f.certs[name+" "+n].CertPEM)); err != nil {
			return nil, false, err
		}
		end, err := pki.NotAfter(cert)
		if err != nil {
			return nil, false, err
		}
		f.certs[name+" "+n] = pair
		delete(facts.State.Due, n)
		data.Renewed = append(data.Renewed, certs.Renewed{Name: n, NotAfter: end})
	}
	return data, len(data.Renewed) > 0, nil
}

// TestBootstrapRenews: a second run renews what has less than half of its life left, with keys
// that stay on the hosts, and says so; a third has nothing to do.
func TestBootstrapRenews(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.run(nil); err != nil {
		t.Fatal(err)
	}
	w.hosts.take()
	before := map[string]string{}
	for _, name := range []string{"cp1", "cp2", "cp3"} {
		facts := w.hosts.facts[name]
		facts.State.ControlPlane, facts.State.APIServerReady = true, true
		facts.State.Due = map[string]time.Time{certs.EtcdServer: facts.Time.Add(100 * 24 * time.Hour), certs.EtcdPeer: facts.Time.Add(99 * 24 * time.Hour), certs.EtcdClient: facts.Time.Add(-time.Hour)}
		signer, err := OpenSigner(t.Context(), w.dir, w.c, 0)
		if err != nil {
			t.Fatal(err)
		}
		if w.hosts.certs[name+" "+certs.EtcdClient], err = signer.authority.client("kube-apiserver-etcd-client", 0); err != nil {
			t.Fatal(err)
		}
		before[name] = string(w.hosts.certs[name+" "+certs.EtcdServer].CertPEM)
	}
	dry, err := w.run(func(c *Config) { c.DryRun = true })
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"renew-etcd/cp1": "renew the etcd member's certificates (ends on ", "renew-etcd-login/cp3": "renew the certificate with which its apiserver logs in to etcd (ended on "} {
		if s := find(t, dry.Plan, id); !strings.HasPrefix(s.Title, want) {
			t.Errorf("%s: %s", id, s.Title)
		}
	}
	w.hosts.take()
	r, err := w.run(func(c *Config) { c.CertificateLife = 20 * time.Minute })
	if err != nil || !r.Changed {
		t.Fatalf("%v %v", r.Changed, err)
	}
	var got []string
	for _, step := range w.hosts.take() {
		if strings.HasPrefix(step, "renew-") && !slices.Contains(got, step) {
			got = append(got, step)
		}
	}
	if len(got) != 6 || strings.HasPrefix(got[0], "renew-etcd-login/") || strings.HasPrefix(got[2], "renew-etcd-login/") {
		t.Errorf("renewed in the order %v", got)
	}
	for name, old := range before {
		now := w.hosts.certs[name+" "+certs.EtcdServer].CertPEM
		end, err := pki.NotAfter(now)
		if string(now) == old || err != nil || time.Until(end) > 20*time.Minute {
			t.Errorf("%s: the same, or until %s, %v", name, end, err)
		}
	}
	if r, err = w.run(nil); err != nil || r.Changed {
		t.Errorf("a third run: %v %v", r.Changed, err)
	}
}

// TestPlanRenewsInTurn: one member after the other, etcd's health after all, logins after that,
// and nothing is joined before.
func TestPlanRenewsInTurn(t *testing.T) {
	c := testCluster(t, nil)
	o := completeHosts(c)
	for _, name := range []string{"cp1", "cp2", "cp3"} {
		h := o[name]
		h.Facts.State.Due = map[string]time.Time{certs.EtcdPeer: time.Now(), certs.EtcdClient: time.Now(), certs.APIServer: time.Now()}
		o[name] = h
	}
	p, err := MakePlan(c, o, testInputs())
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"renew-etcd/cp2": "etcd/cp2,renew-etcd/cp1", "renew-etcd/cp3": "etcd/cp3,renew-etcd/cp1,renew-etcd/cp2", "renew-etcd-login/cp2": "etcd-health"} {
		if got := strings.Join(find(t, p, id).After, ","); got != want {
			t.Errorf("%s comes after %s, want %s", id, got, want)
		}
	}
	if s := find(t, p, "etcd-health"); s.Skip != "" || !slices.Contains(s.After, "renew-etcd/cp3") {
		t.Errorf("%+v", s)
	}
	for _, id := range []string{StepJoin, StepKubeconfig} {
		if s := find(t, p, id); !slices.Contains(s.After, "renew-etcd-login/cp1") {
			t.Errorf("%s comes after %v", id, s.After)
		}
	}
	// Another CA's is not ours to renew, and a member that is begun gets new ones anyway.
	in := testInputs()
	in.Identity, in.EtcdCAs = "another", []string{"another"}
	if p, err = MakePlan(c, o, in); err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Steps {
		if strings.HasPrefix(s.ID, "renew-etcd/") {
			t.Errorf("%s", s.ID)
		}
	}
}

// TestSignerRefuses: a host gets nothing that is another's.
func TestSignerRefuses(t *testing.T) {
	c := testCluster(t, nil)
	ca, err := pki.NewCA("etcd", 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSigner(ca, c, 0)
	if err != nil {
		t.Fatal(err)
	}
	pending := func(ca pki.KeyPair, addresses ...string) certs.Pending {
		r := pki.Request{CommonName: "cp1", Server: true, Client: true}
		for _, a := range addresses {
			r.IPs = append(r.IPs, net.ParseIP(a))
		}
		pair, err := pki.Issue(ca, r)
		if err != nil {
			t.Fatal(err)
		}
		request, err := pki.RenewalRequest(pair.CertPEM, pair.KeyPEM)
		if err != nil {
			t.Fatal(err)
		}
		return certs.Pending{Current: pair.CertPEM, Request: request}
	}
	other, err := pki.NewCA("etcd", 0)
	if err != nil {
		t.Fatal(err)
	}
	byName := func(names ...string) certs.Pending {
		pair, err := pki.Issue(ca, pki.Request{CommonName: "cp1", DNSNames: names, IPs: []net.IP{net.ParseIP("127.0.7.11")}, Server: true, Client: true})
		if err != nil {
			t.Fatal(err)
		}
		request, err := pki.RenewalRequest(pair.CertPEM, pair.KeyPEM)
		if err != nil {
			t.Fatal(err)
		}
		return certs.Pending{Current: pair.CertPEM, Request: request}
	}
	cp1 := v1alpha1.Host{Name: "cp1", Address: "127.0.7.11"}
	for want, asked := range map[string]map[string]certs.Pending{
		"not for the host's address":   {certs.EtcdPeer: pending(ca, "127.0.7.12")},
		"of cp2 as well":               {certs.EtcdServer: pending(ca, "127.0.7.11", "127.0.7.12")},
		"for 127.0.7.12 of cp2":        {certs.EtcdClient: pending(ca, "127.0.7.12")},
		"for cp3 of cp3":               {certs.EtcdServer: byName("cp1", "cp3")},
		"another CA has signed it":     {certs.EtcdServer: pending(other, "127.0.7.11")},
		"not the etcd CA's to sign":    {certs.APIServer: pending(ca, "127.0.7.11")},
		"no certificate request found": {certs.EtcdServer: {Current: pending(ca, "127.0.7.11").Current}},
		"no certificate found":         {certs.EtcdServer: {}},
	} {
		if got, err := s.Sign(cp1, asked); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "of cp1: ") {
			t.Errorf("%s: %v %v", want, got, err)
		}
	}
	got, err := s.Sign(cp1, map[string]certs.Pending{certs.EtcdServer: pending(ca, "127.0.7.11"), certs.EtcdClient: pending(ca)})
	if err != nil || len(got.Certificates) != 2 {
		t.Errorf("%v %v", got, err)
	}
	// Any host may show a member's certificate, which is a login as well, and ask for its successor.
	for name, want := range map[string]string{certs.EtcdClient: "no control plane", certs.EtcdPeer: "no etcd member"} {
		if got, err := s.Sign(v1alpha1.Host{Name: "w1", Address: "127.0.7.21"}, map[string]certs.Pending{name: pending(ca)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s of w1: %v %v", name, got, err)
		}
	}
	if _, err := OpenSigner(t.Context(), t.TempDir()+"/none", c, 0); !errors.Is(err, ErrNoCA) || !strings.Contains(err.Error(), "copy that machine's state directory") {
		t.Errorf("without a CA: %v", err)
	}
}

// TestRenewHostSignsWhatItAskedFor: a host that answers with more gets nothing.
func TestRenewHostSignsWhatItAskedFor(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.run(nil); err != nil {
		t.Fatal(err)
	}
	w.hosts.take()
	signer, err := OpenSigner(t.Context(), w.dir, w.c, 0)
	if err != nil {
		t.Fatal(err)
	}
	h, _ := w.c.Host("cp1")
	w.hosts.asksFor = []string{certs.EtcdPeer}
	_, err = RenewHost(t.Context(), w.hosts, "lab", signer, h, []string{certs.EtcdServer}, "renew", report.SinkFunc(func(report.Event) {}))
	if err == nil || !strings.Contains(err.Error(), `cp1: it asks for the certificate "etcd-peer"`) {
		t.Errorf("%v", err)
	}
}

// TestSigned: the CA's name, and an end that has passed, do not make a certificate the CA's.
func TestSigned(t *testing.T) {
	ca, err := pki.NewCA("lab etcd CA", 0)
	forger, errForger := pki.NewCA("lab etcd CA", 0)
	if err := errors.Join(err, errForger); err != nil {
		t.Fatal(err)
	}
	s, err := NewSigner(ca, testCluster(t, nil), 0)
	if err != nil {
		t.Fatal(err)
	}
	for by, want := range map[*pki.KeyPair]bool{&ca: true, &forger: false} {
		for _, life := range []time.Duration{time.Millisecond, time.Hour} {
			pair, err := pki.Issue(*by, pki.Request{CommonName: "root", Client: true, Validity: life})
			if err != nil {
				t.Fatal(err)
			}
			cert, err := pki.ParseCert(pair.CertPEM)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Signed(cert); (err == nil) != want {
				t.Errorf("%v: %v", want, err)
			}
		}
	}
}
