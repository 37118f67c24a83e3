package bootstrap

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// newOwn makes CAs as a user has them, of these names.
func newOwn(t *testing.T, names map[certs.Authority]string) OwnCAs {
	t.Helper()
	own := OwnCAs{}
	for a, name := range names {
		pair, err := pki.NewCA(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		own[a] = pair
	}
	return own
}

func threeOwn(t *testing.T) OwnCAs {
	return newOwn(t, map[certs.Authority]string{certs.AuthorityKubernetes: "Example Kubernetes", certs.AuthorityFrontProxy: "Example front proxy", certs.AuthorityEtcd: "Example etcd"})
}

// TestBootstrapWithOwnCAs: they are in use in the end, shown in the plan, and a second run changes nothing.
// Those that are not given are made.
func TestBootstrapWithOwnCAs(t *testing.T) {
	for name, left := range map[string][]certs.Authority{"all": nil, "etcd's alone": {certs.AuthorityKubernetes, certs.AuthorityFrontProxy}, "all but etcd's": {certs.AuthorityEtcd}} {
		t.Run(name, func(t *testing.T) {
			w, own := newWorld(t, nil), threeOwn(t)
			for _, a := range left {
				delete(own, a)
			}
			with := func(c *Config) { c.OwnCAs = own }
			dry, err := w.run(func(c *Config) { with(c); c.DryRun = true })
			if err != nil || len(dry.Plan.Notes) != len(own) {
				t.Fatalf("dry run: %q, %v", dry.Plan.Notes, err)
			}
			for a, pair := range own {
				if !slices.ContainsFunc(dry.Plan.Notes, func(n string) bool { return n == "your own CA for "+string(a)+": "+pki.Describe(pair.CertPEM) }) {
					t.Errorf("the plan does not show the CA for %s: %q", a, dry.Plan.Notes)
				}
			}
			if _, err := os.Stat(w.dir); !os.IsNotExist(err) {
				t.Errorf("a dry run keeps a CA: %v", err)
			}
			w.hosts.failAt = "init/cp1"
			if _, err := w.run(with); err == nil {
				t.Fatal("no error")
			}
			w.hosts.failAt = ""
			if _, err := w.run(with); err != nil {
				t.Fatal(err)
			}
			w.whole()
			facts := w.hosts.facts["cp1"].State
			for a, has := range map[certs.Authority]string{certs.AuthorityKubernetes: facts.ClusterCA, certs.AuthorityFrontProxy: facts.FrontProxyCA, certs.AuthorityEtcd: facts.EtcdCA} {
				pair, given := own[a]
				if !given {
					continue
				}
				if want, err := fingerprint(pair.CertPEM); err != nil || has != want {
					t.Errorf("the CA for %s is not the user's own: %v", a, err)
				}
			}
			if given, kept := own[certs.AuthorityEtcd].CertPEM, w.caFile(); given != nil && kept != string(given) {
				t.Error("the etcd CA of the state directory is another one")
			}
			if r, err := w.run(with); err != nil || r.Changed {
				t.Errorf("again: changed %v, %v", r.Changed, err)
			}
			// A cluster that has been made needs them no more.
			if r, err := w.run(nil); err != nil || r.Changed {
				t.Errorf("without them: changed %v, %v", r.Changed, err)
			}
		})
	}
}

// TestOtherOwnCA: a cluster that runs with other CAs is refused before anything is changed.
func TestOtherOwnCA(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.run(func(c *Config) { c.OwnCAs = threeOwn(t) }); err != nil {
		t.Fatal(err)
	}
	ca := w.caFile()
	for a, want := range map[certs.Authority]string{certs.AuthorityKubernetes: "rotate-ca kubernetes", certs.AuthorityFrontProxy: "rotate-ca front-proxy", certs.AuthorityEtcd: "rotate-ca etcd"} {
		w.hosts.take()
		_, err := w.run(func(c *Config) { c.OwnCAs = newOwn(t, map[certs.Authority]string{a: "another"}) })
		var found *PreflightError
		var other *OtherCA
		said := ""
		switch {
		case errors.As(err, &found):
			said = found.Error()
		case errors.As(err, &other):
			_, said = other.Explain()
		}
		if !strings.Contains(said, want) {
			t.Errorf("%s: %v", a, err)
		}
		for _, req := range w.hosts.take() {
			if !looking(req) {
				t.Errorf("%s: %s was asked for", a, req)
			}
		}
	}
	if w.caFile() != ca {
		t.Error("the etcd CA was replaced")
	}
}

// TestOwnCADuringARotation: both CAs of a rotation are the cluster's.
func TestOwnCADuringARotation(t *testing.T) {
	dir, cluster, own := t.TempDir(), successionCluster(), threeOwn(t)
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := makeAuthority(t.Context(), dir, cluster.Metadata.Name, own); err != nil {
		t.Fatal(err)
	}
	cas, err := OpenEtcdCAs(t.Context(), dir, cluster)
	if err != nil {
		t.Fatal(err)
	}
	if err := cas.Begin(t.Context(), certs.PhaseTrust, false); err != nil {
		t.Fatal(err)
	}
	in, err := LocalInputs(t.Context(), dir, cluster)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ownInputs(in, own, dir, false); err != nil {
		t.Errorf("the former one: %v", err)
	}
	var other *OtherCA
	if _, err := ownInputs(in, threeOwn(t), dir, false); !errors.As(err, &other) {
		t.Errorf("another one: %v", err)
	}
}

// TestOwnCAOfAnotherCluster: clusters are told apart by their etcd CAs, so that no two have the same.
func TestOwnCAOfAnotherCluster(t *testing.T) {
	w, own := newWorld(t, nil), threeOwn(t)
	if _, err := makeAuthority(t.Context(), filepath.Join(filepath.Dir(w.dir), "other@10.0.0.1"), "other", own); err != nil {
		t.Fatal(err)
	}
	_, err := w.run(func(c *Config) { c.OwnCAs = own })
	var other *OtherCA
	if !errors.As(err, &other) || !strings.Contains(err.Error(), "other@10.0.0.1") {
		t.Errorf("got %v", err)
	}
	if len(w.hosts.take()) > 0 || w.caFile() != "" {
		t.Error("something was done")
	}
	delete(own, certs.AuthorityEtcd)
	if _, err := w.run(func(c *Config) { c.OwnCAs = own }); err != nil {
		t.Errorf("the others: %v", err)
	}
}

// TestCheckOwnCAs: each is tried with the names of the cluster, and all problems are told at once.
func TestCheckOwnCAs(t *testing.T) {
	c := testCluster(t, func(c *v1alpha1.Cluster) { c.Spec.Network.ServiceSubnet = "fd00:10::/112" })
	if warnings, err := threeOwn(t).Check(c, time.Now()); err != nil || len(warnings) > 0 {
		t.Errorf("%v, %v", warnings, err)
	}
	tried, err := trials(certs.AuthorityKubernetes, c)
	if err != nil || tried[0].IPs[0].String() != "fd00:10::1" || !slices.Contains(tried[0].DNSNames, "kubernetes.default.svc.cluster.local") || !slices.Contains(tried[0].DNSNames, "w1") {
		t.Errorf("trials %+v, %v", tried, err)
	}
	own := threeOwn(t)
	own[certs.AuthorityFrontProxy] = own[certs.AuthorityKubernetes]
	own[certs.AuthorityEtcd] = newOwn(t, map[certs.Authority]string{certs.AuthorityEtcd: "Example Kubernetes"})[certs.AuthorityEtcd]
	_, err = own.Check(c, time.Now().Add(20*365*24*time.Hour))
	for _, want := range []string{"spec.pki.kubernetes: ", "spec.pki.etcd: ", "has ended", "spec.pki.kubernetes and spec.pki.frontProxy: they have the same key", "spec.pki.kubernetes and spec.pki.etcd: they have the same subject"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

// TestReadOwnCAs: files are where the Cluster file says, and problems are told with the field.
func TestReadOwnCAs(t *testing.T) {
	dir, own := t.TempDir(), threeOwn(t)
	c := testCluster(t, func(c *v1alpha1.Cluster) {
		c.Spec.PKI = v1alpha1.PKI{Kubernetes: v1alpha1.CA{CertFile: "a.crt", KeyFile: "a.key"}, Etcd: v1alpha1.CA{CertFile: "b.crt", KeyFile: "b.key"}}
	})
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(p string) string { return filepath.Join(dir, p) }
	if got, err := ReadOwnCAs(testCluster(t, nil), at); err != nil || len(got) > 0 {
		t.Errorf("none: %v, %v", got, err)
	}
	write("a.crt", own[certs.AuthorityKubernetes].CertPEM)
	write("a.key", own[certs.AuthorityEtcd].KeyPEM)
	_, err := ReadOwnCAs(c, at)
	for _, want := range []string{"spec.pki.kubernetes: ", "does not belong to the certificate", "spec.pki.etcd: ", "b.crt: no such file or directory; a cluster that has been made needs neither"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	write("a.key", own[certs.AuthorityKubernetes].KeyPEM)
	write("b.crt", own[certs.AuthorityEtcd].CertPEM)
	write("b.key", own[certs.AuthorityEtcd].KeyPEM)
	got, err := ReadOwnCAs(c, at)
	if err != nil || len(got) != 2 || !pki.Same(got[certs.AuthorityEtcd].CertPEM, own[certs.AuthorityEtcd].CertPEM) {
		t.Errorf("%v, %v", got, err)
	}
}
