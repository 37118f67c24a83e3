package bootstrap

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

func makeStacked(c *v1alpha1.Cluster) { c.Spec.Etcd.Topology = v1alpha1.EtcdStacked }

// stackedContents are testContents of a bundle for stacked etcd.
func stackedContents() bundle.Contents {
	c := testContents()
	c.Binaries = c.Binaries[:1]
	blob := blobOf(testBlob)
	c.Images = append(c.Images, bundle.Image{Ref: "registry.k8s.io/etcd:3.6.8-0", Manifest: blob, Blobs: []bundle.Blob{blob, blobOf(testConfig)}, For: []v1alpha1.Role{v1alpha1.RoleControlPlane}})
	return c
}

func stackedInputs() Inputs {
	in := testInputs()
	c := stackedContents()
	in.Contents, in.EtcdCAs = &c, nil
	return in
}

// stackedHosts are completeHosts of a cluster with stacked etcd.
func stackedHosts(c *v1alpha1.Cluster) Observation {
	o := completeHosts(c)
	for _, h := range c.ControlPlanes() {
		seen := o[h.Name]
		f := &seen.Facts
		f.Ours.Done = slices.DeleteFunc(f.Ours.Done, func(s string) bool { return s == tasks.Etcd })
		delete(f.Ours.Settings, tasks.Etcd)
		f.State.EtcdActive, f.State.EtcdCA = false, ""
		f.State.StackedEtcd, f.State.KubeadmEtcdCA = true, "kubeadm's"
		blob := blobOf(testBlob)
		f.Images["registry.k8s.io/etcd:3.6.8-0"] = string(blob.Digest)
		o[h.Name] = seen
	}
	return o
}

// TestStackedPlan: no step is about an etcd under systemd, and nothing is made of this machine's CA.
func TestStackedPlan(t *testing.T) {
	c := testCluster(t, makeStacked)
	in := stackedInputs()
	in.Identity = ""
	p, err := MakePlan(c, bareHosts(c), in)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Steps {
		if strings.Contains(s.ID, "etcd") || strings.HasPrefix(s.ID, "renew") {
			t.Errorf("there is the step %s", s.ID)
		}
	}
	init := find(t, p, "init/cp1")
	if spec := init.Spec.(controlplane.InitSpec); spec.Stacked == nil || spec.Stacked.Name != "cp1" || spec.Stacked.DataDir != "/var/lib/etcd" || !slices.Equal(init.After, []string{"images/cp1", "vip/cp1"}) {
		t.Errorf("init after %v: %+v", init.After, spec)
	}
	cp, w := find(t, p, "images/cp1").Spec.(prepare.ImagesSpec), find(t, p, "images/w1").Spec.(prepare.ImagesSpec)
	if len(cp.Images) != 4 || len(w.Images) != 3 {
		t.Errorf("a control plane gets %d images, a worker %d", len(cp.Images), len(w.Images))
	}
	if roles := find(t, p, "prepare/cp1").Spec.(prepare.Spec).Roles; slices.Contains(roles, v1alpha1.RoleEtcd) {
		t.Errorf("a control plane is prepared for %v", roles)
	}
	p, err = MakePlan(c, stackedHosts(c), stackedInputs())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := pending(p), []string{"vip/cp1", "vip/cp2", "vip/cp3", "join", "kubeconfig"}; !slices.Equal(got, want) {
		t.Errorf("of a complete cluster is left %v, want %v", got, want)
	}
}

func TestStackedPreflight(t *testing.T) {
	for name, tc := range map[string]struct {
		external bool // The file says external, the hosts are stacked.
		change   func(c *v1alpha1.Cluster, o Observation, in *Inputs)
		want     string // check: message; empty for no error
	}{
		"complete": {},
		"interrupted before the others are control planes": {change: func(_ *v1alpha1.Cluster, o Observation, _ *Inputs) {
			seen := o["cp2"]
			seen.Facts.State.EtcdData, seen.Facts.State.StackedEtcd, seen.Facts.State.ControlPlane = false, false, false
			seen.Facts.Ours.Done = []string{tasks.Prepare, tasks.Images, tasks.JoinNode}
			o["cp2"] = seen
		}},
		"a member's data is gone": {change: func(_ *v1alpha1.Cluster, o Observation, _ *Inputs) {
			seen := o["cp2"]
			seen.Facts.State.EtcdData = false
			o["cp2"] = seen
		}, want: "etcd-lost: the cluster is in use"},
		"made with external etcd": {change: func(_ *v1alpha1.Cluster, o Observation, _ *Inputs) {
			seen := o["cp3"]
			seen.Facts.Ours.Done = append(seen.Facts.Ours.Done, tasks.Etcd)
			o["cp3"] = seen
		}, want: "etcd-topology: etcd runs under systemd there"},
		"made with stacked etcd": {external: true, change: func(_ *v1alpha1.Cluster, _ Observation, in *Inputs) { in.EtcdCAs = []string{testCA} },
			want: "etcd-topology: etcd is a static pod of kubeadm's there"},
		"a bundle for external etcd": {change: func(_ *v1alpha1.Cluster, _ Observation, in *Inputs) { c := testContents(); in.Contents = &c },
			want: "bundle: the bundle has no etcd image"},
		"a bundle with another etcd": {change: func(c *v1alpha1.Cluster, _ Observation, _ *Inputs) { c.Spec.Etcd.Version = "v3.6.16" },
			want: "bundle: the bundle has the image of etcd v3.6.8, and spec.etcd.version is v3.6.16"},
		"another CA in the file": {change: func(_ *v1alpha1.Cluster, _ Observation, in *Inputs) {
			in.OwnCAs = map[certs.Authority]string{certs.AuthorityEtcd: "mine"}
		}, want: "own-ca: spec.pki.etcd is another CA (mine) than the one that is in use"},
		"the CA in the file": {change: func(_ *v1alpha1.Cluster, _ Observation, in *Inputs) {
			in.OwnCAs = map[certs.Authority]string{certs.AuthorityEtcd: "kubeadm's"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := testCluster(t, makeStacked)
			o, in := stackedHosts(c), stackedInputs()
			if tc.external {
				c.Spec.Etcd.Topology = v1alpha1.EtcdExternal
				contents := testContents()
				in.Contents = &contents
			}
			if tc.change != nil {
				tc.change(c, o, &in)
			}
			err := errorsOf(Preflight(c, o, in))
			check, message, _ := strings.Cut(tc.want, ": ")
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), message) || !strings.Contains(err.Error(), check)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestStackedRun: a cluster is made and found complete, this machine has no CA of it, and hosts of it are refused to
// who does not know it.
func TestStackedRun(t *testing.T) {
	w := newWorld(t, makeStacked)
	stacked := func(cfg *Config) {
		cfg.Bundle = func(context.Context, string) (Bundle, error) { return stackedBundle{}, nil }
	}
	r, err := w.run(stacked)
	if err != nil || !r.Changed {
		t.Fatalf("%v, %+v", err, r)
	}
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			t.Errorf("there is a CA on this machine: %s", e.Name())
		}
	}
	in, err := LocalInputs(t.Context(), w.dir, w.c)
	if err != nil || !identitySyntax.MatchString(in.Identity) || len(in.EtcdCAs) > 0 {
		t.Fatalf("this machine knows %+v, %v", in, err)
	}
	for name, facts := range w.hosts.facts {
		facts.Ours.Identity = in.Identity
		if facts.State.EtcdCA != "" {
			t.Errorf("%s has a member under systemd", name)
		}
	}
	if r, err = w.run(stacked); err != nil || r.Changed {
		t.Errorf("a second run: %v, changed %v", err, r.Changed)
	}
	file := filepath.Join(w.dir, identityFile)
	if err := os.WriteFile(file, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = w.run(stacked); err == nil || !strings.Contains(err.Error(), "has not 64 hexadecimal digits") {
		t.Errorf("with a damaged file: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err = w.run(stacked); err == nil || !strings.Contains(err.Error(), "other-cluster") {
		t.Errorf("where it is not known: %v", err)
	}
}

// TestStackedOwnCA: a CA of the user's own goes to the first host, and stays away from this machine's state.
func TestStackedOwnCA(t *testing.T) {
	w := newWorld(t, makeStacked)
	ca, err := pki.NewCA("own etcd", 0)
	if err != nil {
		t.Fatal(err)
	}
	stacked := func(cfg *Config) {
		cfg.Bundle = func(context.Context, string) (Bundle, error) { return stackedBundle{}, nil }
		cfg.OwnCAs = OwnCAs{certs.AuthorityEtcd: ca}
	}
	for range 2 {
		if _, err := w.run(stacked); err != nil {
			t.Fatal(err)
		}
	}
	want, err := fingerprint(ca.CertPEM)
	if got := w.hosts.facts["cp3"].State.KubeadmEtcdCA; err != nil || got != want {
		t.Errorf("the hosts have %s, want %s, %v", got, want, err)
	}
	if _, err := os.Stat(filepath.Join(w.dir, etcdCA)); err == nil {
		t.Error("the CA is in the state directory")
	}
}

// TestStackedAddPlan: a new control plane joins as a node; its member comes with its promotion.
func TestStackedAddPlan(t *testing.T) {
	c := testCluster(t, makeStacked)
	o := Observation{"cp3": bare(c, c.ControlPlanes()[2])}
	in := stackedInputs()
	in.Running = true
	p, err := MakeAddPlan(c, []string{"cp3"}, o, in)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := pending(p), []string{"prepare/cp3", "images/cp3", "vip/cp3", "join-node/cp3", "tidy/cp3"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	cfg := AddConfig{Cluster: c, Names: []string{"cp3"}}
	if cfg.anyMember() {
		t.Error("a CA on this machine is asked for")
	}
}
