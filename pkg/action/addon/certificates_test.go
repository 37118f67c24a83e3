package addon

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

func trustOf(digest string) bundles.Trust { return bundles.Trust{Digest: digest} }

// scraper is an addon with a certificate by each authority.
func scraper() []choice {
	d := addon.Descriptor{Name: "scraper", Certificates: []addon.Certificate{
		{Secret: "etcd-client", Namespace: "scraper", Authority: addon.AuthorityEtcd, CommonName: "scraper"},
		{Secret: "serving", Namespace: "scraper", Authority: addon.AuthorityCluster, CommonName: "scraper", Server: true}}}
	return []choice{{addon: &addon.Addon{Descriptor: d}, item: v1alpha1.AddonItem{Name: "scraper"}}}
}

// etcdsCA makes etcd's CA in a directory.
func etcdsCA(t *testing.T, dir string) pki.KeyPair {
	t.Helper()
	store, err := pki.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	ca, _, err := store.CA(t.Context(), "etcd", "etcd-ca")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func planOf(kube *fake.Clientset, stateDir func(*v1alpha1.Cluster) (string, error)) *Install {
	return &Install{Cluster: &v1alpha1.Cluster{}, site: &site{clients: &client.Clients{Kube: kube}}, chosen: scraper(), stateDir: stateDir}
}

// TestSign: etcd's CA signs its own only, on this machine.
func TestSign(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	ca := etcdsCA(t, dir)
	p := planOf(fake.NewClientset(), func(*v1alpha1.Cluster) (string, error) { return dir, nil })
	if err := p.Sign(t.Context()); err != nil {
		t.Fatal(err)
	}
	var cert []byte
	for key, part := range p.signed {
		if !strings.HasPrefix(key, "scraper.etcd-client.") {
			t.Errorf("%s is handed over", key)
		}
		if c, err := pki.ParseCert(part); err == nil && !c.IsCA {
			cert = part
		}
	}
	if err := pki.Verify(cert, ca.CertPEM); err != nil {
		t.Errorf("it is not etcd's CA that has signed: %v", err)
	}
	p.stateDir = func(*v1alpha1.Cluster) (string, error) { return "", errors.New("signed twice") }
	if err := p.Sign(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestSignWhileRotated: the CA signs that signs members' certificates now, and what is trusted is
// handed over whole, also when the first one is gone.
func TestSignWhileRotated(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	etcdsCA(t, dir)
	p := planOf(fake.NewClientset(), func(*v1alpha1.Cluster) (string, error) { return dir, nil })
	cas, err := bootstrap.OpenEtcdCAs(t.Context(), dir, p.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(trusted int) {
		t.Helper()
		p.signed = nil
		if err := p.Sign(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := pki.Verify(p.signed[install.SecretKey("scraper", "etcd-client", "tls.crt")], cas.To()); err != nil {
			t.Errorf("it is not the new CA that has signed: %v", err)
		}
		if all := pki.Certs(p.signed[install.SecretKey("scraper", "etcd-client", "ca.crt")]); len(all) != trusted {
			t.Errorf("%d CAs are handed over, want %d", len(all), trusted)
		}
	}
	for phase, trusted := range map[certs.Phase]int{certs.PhaseIssue: 2, certs.PhaseFinish: 1} {
		if err := cas.Begin(t.Context(), phase, false); err != nil {
			t.Fatal(err)
		}
		sign(trusted)
	}
	if err := cas.Begin(t.Context(), certs.PhaseFinish, false); err != nil {
		t.Fatal(err)
	}
	if err := cas.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	sign(1)
}

func TestSignRefuses(t *testing.T) {
	kube := fake.NewClientset()
	forbidden := fake.NewClientset()
	forbidden.PrependReactor("get", "secrets", func(ktesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("forbidden") })
	empty := filepath.Join(t.TempDir(), "state")
	for name, c := range map[string]struct {
		plan *Install
		says string
		kind action.Kind
	}{
		"the CA is elsewhere":   {planOf(kube, func(*v1alpha1.Cluster) (string, error) { return empty, nil }), "the CA key is not in " + empty, action.Findings},
		"no directory":          {planOf(kube, nil), "the directory with the etcd CA is missing", ""},
		"none can be found":     {planOf(kube, func(*v1alpha1.Cluster) (string, error) { return "", errors.New("no home") }), "no home", ""},
		"secrets can't be read": {planOf(forbidden, nil), "forbidden", ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.plan.Sign(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.says) || action.KindOf(err) != c.kind {
				t.Errorf("got %v (%s)", err, action.KindOf(err))
			}
			if c.plan.signed != nil {
				t.Error("it counts as done")
			}
		})
	}
}

// TestGoodCertificatesStay: a Secret that etcd's CA has signed is made anew near its end only.
func TestGoodCertificatesStay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	ca := etcdsCA(t, dir)
	pair, err := pki.Issue(ca, pki.Request{CommonName: "scraper", Client: true})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := pki.ParseCert(pair.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "scraper", Name: "etcd-client"},
		Data: map[string][]byte{corev1.TLSCertKey: pair.CertPEM, corev1.TLSPrivateKeyKey: pair.KeyPEM, "ca.crt": ca.CertPEM}}
	for name, c := range map[string]struct {
		now time.Time
		due int
	}{"new": {time.Now(), 0}, "near its end": {parsed.NotAfter.Add(-time.Hour), 1}, "over": {parsed.NotAfter.Add(time.Hour), 1}} {
		due, err := dueOfEtcd(context.Background(), fake.NewClientset(secret), scraper(), c.now)
		if err != nil || len(due) != c.due {
			t.Errorf("%s: %+v, %v", name, due, err)
		}
	}
}
