package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// ownCA is a CA as somebody brings it, with a key.
func ownCA(t *testing.T, name string, key *ecdsa.PrivateKey, change func(*x509.Certificate)) pki.KeyPair {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(4 * pki.DefaultValidity),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pki.KeyPair{CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), KeyPEM: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestCheckNext: what a CA of the caller's own that replaces another one can be.
func TestCheckNext(t *testing.T) {
	c := newCluster()
	c.SetDefaults()
	key := newKey(t)
	from, next := ownCA(t, "Example CA", key, nil), ownCA(t, "Example CA G2", newKey(t), nil)
	for name, x := range map[string]struct {
		next    pki.KeyPair
		to      []byte
		want    string
		warning string
	}{
		"another one":       {next: next},
		"the one in use":    {next: from, want: "they have the same key"},
		"renewed":           {next: ownCA(t, "Example CA G3", key, nil), want: "they have the same key"},
		"of the same name":  {next: ownCA(t, "Example CA", newKey(t), nil), want: "they have the same subject"},
		"no CA":             {next: ownCA(t, "Example", newKey(t), func(c *x509.Certificate) { c.IsCA = false }), want: "is not a CA"},
		"for other names":   {next: ownCA(t, "Example", newKey(t), func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.com"} }), want: "is not valid"},
		"ends soon":         {next: ownCA(t, "Example", newKey(t), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour) }), warning: "expires with it"},
		"path length 0":     {next: ownCA(t, "Example", newKey(t), func(c *x509.Certificate) { c.MaxPathLenZero = true }), warning: "path length is 0"},
		"as it was begun":   {next: next, to: next.CertPEM},
		"another was begun": {next: next, to: ownCA(t, "Other", newKey(t), nil).CertPEM, want: "a rotation to another CA"},
	} {
		t.Run(name, func(t *testing.T) {
			o := RotateOptions{Authority: certs.AuthorityKubernetes, Next: &x.next, Options: Options{Cluster: c}}
			notes, err := o.checkNext(from.CertPEM, x.to, time.Now())
			if (err == nil) != (x.want == "") || err != nil && (!strings.Contains(err.Error(), x.want) || action.KindOf(err) != action.Invalid) {
				t.Fatalf("got %v, want %q", err, x.want)
			}
			if x.warning != "" && !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, x.warning) }) {
				t.Errorf("notes %q, want %q", notes, x.warning)
			}
		})
	}
	root := ownCA(t, "Example root", newKey(t), nil)
	below, err := pki.CrossSign(root, next.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	if notes, err := (RotateOptions{Authority: certs.AuthorityKubernetes}).checkNext(below, nil, time.Now()); err != nil || len(notes) != 1 || !strings.Contains(notes[0], "was signed by CN=Example root") {
		t.Errorf("an intermediate CA that is replaced by one that is made: %q, %v", notes, err)
	}
	for want, o := range map[string]RotateOptions{
		"have a key and no CA": {Authority: certs.AuthorityServiceAccount, Next: &next},
		"needs no new CA":      {Authority: certs.AuthorityKubernetes, Next: &next, Back: true},
	} {
		if _, err := o.checkRotation(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestApart: the CA of the API's clients is not that of front proxies.
func TestApart(t *testing.T) {
	clients, proxies := ownCA(t, "Clients", newKey(t), nil), ownCA(t, "Proxies", newKey(t), nil)
	kube := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: authentication},
		Data: map[string]string{clientCAKey: string(clients.CertPEM), requestCAKey: string(proxies.CertPEM)}})
	next := ownCA(t, "Example", newKey(t), nil)
	for name, x := range map[string]struct {
		authority certs.Authority
		next      *pki.KeyPair
		refused   bool
	}{
		"its own": {certs.AuthorityKubernetes, &next, false}, "front proxies'": {certs.AuthorityKubernetes, &proxies, true},
		"clients'": {certs.AuthorityFrontProxy, &clients, true}, "etcd's own": {certs.AuthorityEtcd, &next, false}, "clients' for etcd": {certs.AuthorityEtcd, &clients, true}, "front proxies' for etcd": {certs.AuthorityEtcd, &proxies, true}, "made": {certs.AuthorityKubernetes, nil, false},
	} {
		err := RotateOptions{Authority: x.authority, Next: x.next}.apart(t.Context(), kube)
		if (err != nil) != x.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPlanToOwn: the plan of a rotation to a CA of the caller's own, by what control plane nodes have. One
// that the cluster uses for something else is refused, by its key or its subject; one that it has already is
// no error, and nothing to do.
func TestPlanToOwn(t *testing.T) {
	c := newCluster()
	c.SetDefaults()
	key := newKey(t)
	from, etcd, former := ownCA(t, "kubernetes", newKey(t), nil), ownCA(t, "Example etcd", key, nil), ownCA(t, "Example former etcd", newKey(t), nil)
	next := ownCA(t, "Example", newKey(t), nil)
	look := certs.RotationLookData{Signs: from.CertPEM, Trusted: [][]byte{from.CertPEM}, Held: [][]byte{from.CertPEM},
		Others: map[certs.Authority][]byte{certs.AuthorityEtcd: slices.Concat(etcd.CertPEM, former.CertPEM)}}
	for name, x := range map[string]struct {
		next  pki.KeyPair
		begun bool
		want  string
		inUse bool
	}{
		"its own":                     {next: next},
		"the etcd CA":                 {next: etcd, want: "they have the same key"},
		"the second of two etcd CAs":  {next: former, want: "they have the same key"},
		"the etcd CA's key":           {next: ownCA(t, "Example G2", key, nil), want: "the cluster's CA for etcd: they have the same key"},
		"the etcd CA's subject":       {next: ownCA(t, "Example etcd", newKey(t), nil), want: "they have the same subject"},
		"the one in use":              {next: from, inUse: true},
		"the one that it is gone to":  {next: next, begun: true},
		"one that was begun, as etcd": {next: etcd, begun: true},
	} {
		for _, a := range []certs.Authority{certs.AuthorityKubernetes, certs.AuthorityFrontProxy} {
			w := &rotating{RotateOptions: RotateOptions{Authority: a, Next: &x.next, Options: Options{Cluster: c}}, clients: &client.Clients{Kube: fake.NewClientset()},
				looks: map[string]certs.RotationLookData{"cp1": {Signs: from.CertPEM}, "cp2": look}, state: rotationState{authority: a}}
			if x.begun {
				w.state.exists, w.state.from, w.state.to = true, from.CertPEM, x.next.CertPEM
			}
			p, err := w.plan(t.Context())
			if (err == nil) != (x.want == "") || err != nil && (!strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), "as cp2 has it") || action.KindOf(err) != action.Invalid) {
				t.Errorf("%s for %s: got %v, want %q", name, a, err, x.want)
			}
			if err == nil && (p.InUse() != x.inUse || p.Empty() != x.inUse || p.To != pki.ID(x.next.CertPEM)) {
				t.Errorf("%s for %s: %+v", name, a, p)
			}
		}
	}
}

// TestSealOwn: each node can read the key that was encrypted to it, and the phase from which the former CA
// is of no use depends on what it may sign.
func TestSealOwn(t *testing.T) {
	from, next := ownCA(t, "Example", newKey(t), func(c *x509.Certificate) { c.MaxPathLenZero = true }), ownCA(t, "Example G2", newKey(t), nil)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	w := &rotating{RotateOptions: RotateOptions{Authority: certs.AuthorityKubernetes, Next: &next}, state: rotationState{from: from.CertPEM, to: next.CertPEM}}
	sealed, err := w.sealOwn(map[string]string{"cp1": id.Recipient().String()})
	if err != nil || !w.ownsTarget() {
		t.Fatal(err)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed["cp1"]), id)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, next.KeyPEM) {
		t.Errorf("what was encrypted is not the key: %v", err)
	}
	if _, err := w.sealOwn(map[string]string{"cp1": "nobody"}); err == nil || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("to nobody: %v", err)
	}
	if got := w.cuts(); got != certs.PhaseIssue {
		t.Errorf("path length 0: %s", got)
	}
	w.state.from = next.CertPEM
	if got := w.cuts(); got != certs.PhaseFinish {
		t.Errorf("a CA that may sign CAs: %s", got)
	}
}

// TestRotateEtcdToOwn: the CA in use in the end is the caller's own, also when a run that was killed has left
// it; another one is refused while the rotation goes on.
func TestRotateEtcdToOwn(t *testing.T) {
	f, open := newEtcdRotation(t)
	next, other := ownCA(t, "Example etcd", newKey(t), nil), ownCA(t, "Other etcd", newKey(t), nil)
	f.secret = next.KeyPEM
	with := func(pair pki.KeyPair) *rotatingEtcd {
		t.Helper()
		w := open(false)
		w.Next = &pair
		if err := w.cas.Use(pair); err != nil {
			t.Fatal(err)
		}
		return w
	}
	store, err := pki.OpenStore(open(false).StateDir)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Keep(t.Context(), "etcd-"+pki.ID(next.CertPEM), next); err != nil { // As a run that was killed.
		t.Fatal(err)
	}
	if p, err := with(next).plan(); err != nil || p.To != pki.ID(next.CertPEM) {
		t.Errorf("the plan goes to %s, %v", p.To, err)
	}
	if err := with(next).run(t, certs.PhaseTrust); err != nil {
		t.Fatal(err)
	}
	if err := with(other).run(t, ""); err == nil || !strings.Contains(err.Error(), "a rotation to another CA") {
		t.Errorf("another one: %v", err)
	}
	if err := open(false).run(t, certs.PhaseIssue); err != nil { // Continued without naming it.
		t.Fatal(err)
	}
	if err := with(next).run(t, ""); err != nil {
		t.Fatal(err)
	}
	if now := open(false).cas.From(); !pki.Same(now, next.CertPEM) {
		t.Errorf("the CA in use is %s", pki.ID(now))
	}
	before := f.calls
	if p, err := with(next).plan(); err != nil || !p.InUse() || p.To != pki.ID(next.CertPEM) {
		t.Errorf("once more: %+v, %v", p, err)
	}
	if err := with(next).run(t, ""); err != nil || f.calls != before {
		t.Errorf("once more: %v, and hosts are asked", err)
	}
	for host, cas := range f.trusting() {
		if !pki.Same(cas, next.CertPEM) || len(pki.Certs(cas)) != 1 {
			t.Errorf("%s trusts something else", host)
		}
	}
}

// TestAddonsOfAFormerCA: a certificate that an etcd CA has signed which was replaced, as one that came back
// with a restore, is named and not passed over; one of the cluster's CA is its installation's.
func TestAddonsOfAFormerCA(t *testing.T) {
	former, etcd, cluster := ownCA(t, "etcd", newKey(t), nil), ownCA(t, "etcd", newKey(t), nil), ownCA(t, "kubernetes", newKey(t), nil)
	found := map[string]certs.LookData{}
	cert, err := pki.ParseCert(etcd.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	found["cp1"] = certs.LookData{Certificates: []certs.Certificate{{Name: certs.EtcdServer, IssuerFingerprint: pki.Fingerprint(cert)}}}
	signer, err := (&signers{cluster: newCluster(), given: []pki.KeyPair{etcd}, noEtcd: io.EOF}).addons(found)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		ca           pki.KeyPair
		renews, left bool
	}{"etcd's": {etcd, true, false}, "a former etcd CA's": {former, false, true}, "the cluster's": {cluster, false, false}} {
		pair, err := pki.Issue(x.ca, pki.Request{CommonName: "prometheus", Client: true})
		if err != nil {
			t.Fatal(err)
		}
		kube := fake.NewClientset(
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ha-monitoring", Name: rootCA}, Data: map[string]string{rootCAKey: string(cluster.CertPEM)}},
			&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ha-monitoring", Name: "login"}, Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": pair.CertPEM}},
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ha-system", Name: "addon-monitoring", Labels: map[string]string{"app.kubernetes.io/component": "addon"}},
				Data: map[string]string{"inventory.json": `{"name":"monitoring","objects":[{"apiVersion":"v1","kind":"Secret","namespace":"ha-monitoring","name":"login"}]}`}})
		p := Plan{}
		if err := (Options{All: true}).addons(t.Context(), &client.Clients{Kube: kube}, &p, signer, nil); err != nil {
			t.Fatal(err)
		}
		if (len(p.Addons) == 1) != x.renews || (len(p.Left) == 1) != x.left {
			t.Errorf("%s: renews %v, leaves %v", name, p.Addons, p.Left)
		}
	}
}

// TestWhoseAddon: an etcd CA of any name is known by what it has signed, and by no name.
func TestWhoseAddon(t *testing.T) {
	c := newCluster()
	etcd, cluster := ownCA(t, "Example", newKey(t), nil), ownCA(t, "Example", newKey(t), nil)
	cert, err := pki.ParseCert(etcd.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]certs.LookData{"cp1": {Certificates: []certs.Certificate{{Name: certs.APIServer, Issuer: "Example"}, {Name: certs.EtcdServer, Issuer: "Example", IssuerFingerprint: pki.Fingerprint(cert)}}}}
	s := signers{cluster: c, given: []pki.KeyPair{cluster, etcd}, noEtcd: io.EOF}
	signer, err := s.addons(found)
	if err != nil || !pki.Same(signer.CA(), etcd.CertPEM) {
		t.Errorf("the signer of addons is another one: %v", err)
	}
	if _, err := s.addons(nil); err == nil {
		t.Error("a CA was guessed")
	}
	kube := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ha-monitoring", Name: rootCA}, Data: map[string]string{rootCAKey: string(cluster.CertPEM)}})
	for name, x := range map[string]struct {
		ca   pki.KeyPair
		want bool
	}{"etcd's": {etcd, true}, "the cluster's": {cluster, false}} {
		pair, err := pki.Issue(x.ca, pki.Request{CommonName: "prometheus", Client: true})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := notByCluster(t.Context(), &client.Clients{Kube: kube}, "ha-monitoring", pair.CertPEM); err != nil || got != x.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
