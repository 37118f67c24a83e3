package bundles

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/bundletest"
)

func TestUnverifiedOf(t *testing.T) {
	program := func(component, arch string, check bundle.Check) bundle.Binary {
		return bundle.Binary{Component: component, Version: "v1", Arch: arch, Check: check}
	}
	image := func(ref, arch, source string, check bundle.Check) bundle.Image {
		return bundle.Image{Ref: ref, Arch: arch, Source: source, Check: check}
	}
	got := UnverifiedOf(bundle.Contents{
		Binaries: []bundle.Binary{program("runc", "amd64", bundle.CheckOrigin), program("etcd", "amd64", bundle.CheckOrigin), program("etcd", "arm64", bundle.CheckOrigin), program("cni", "amd64", bundle.CheckRelease)},
		Images: []bundle.Image{image("r/b:1", "amd64", "docker://r/b:1", bundle.CheckNone), image("r/b:1", "arm64", "docker://r/b:1", bundle.CheckNone),
			image("r/a:1", "amd64", "saved.tar", bundle.CheckNone), image("r/c:1", "amd64", "docker://r/c:1", bundle.CheckSignature), image("r/d:1", "amd64", "", "")},
	})
	want := []Unverified{
		{"etcd v1", "a checksum from its source"}, {"runc v1", "a checksum from its source"},
		{"r/b:1", "its tag"}, {"r/a:1", "the local file it came from"}, {"r/d:1", "not recorded: the bundle was made by an older kubectl ha"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
}

// TestVersionIn: Name and it agree, and what else is in the cache has none.
func TestVersionIn(t *testing.T) {
	for _, v := range []string{"v1.36.3", "v1.37.0-rc.0"} {
		if got := versionIn(Name(bundle.CreateOptions{KubernetesVersion: v})); got != v {
			t.Errorf("%s is %q", v, got)
		}
	}
	for _, name := range []string{"work", "images-0a0a0a", "v1.36.3-amd64-0a0a.tar.work", "other.tar", ".tar", ""} {
		if got := versionIn(name); got != "" {
			t.Errorf("%q is %q", name, got)
		}
	}
}

// catalogue finds what is in it, and nothing else.
func catalogue(t *testing.T) func([]string) (addon.Catalogue, []string, error) {
	t.Helper()
	all, err := addon.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	return func(args []string) (addon.Catalogue, []string, error) {
		for _, a := range args {
			if all[a] == nil {
				return nil, nil, action.Invalidf("there is no addon %s", a)
			}
		}
		return all, args, nil
	}
}

func TestWhatGoesIn(t *testing.T) {
	cluster := &v1alpha1.Cluster{}
	cluster.Spec.KubernetesVersion, cluster.Spec.Network.Plugin = "v1.35.4", v1alpha1.NetworkPluginNone
	cluster.Spec.Images.ExtraImages = []string{"r/extra:1"}
	o := CreateOptions{Cluster: cluster, CreateOptions: bundle.CreateOptions{Output: "x.tar", ExtraImages: []string{"r/a:1"}}}
	got, err := o.resolve()
	if err != nil || got.KubernetesVersion != "v1.35.4" || got.NetworkPlugin != v1alpha1.NetworkPluginNone || !slices.Equal(got.ExtraImages, []string{"r/a:1", "r/extra:1"}) {
		t.Errorf("the cluster's: %+v, %v", got, err)
	}
	o.KubernetesVersion = "v1.36.3"
	if got, err := o.resolve(); err != nil || got.KubernetesVersion != "v1.36.3" {
		t.Errorf("what is named goes before: %+v, %v", got, err)
	}
	if got, err := (CreateOptions{CreateOptions: o.CreateOptions}).resolve(); err != nil || got.NetworkPlugin != v1alpha1.NetworkPluginFlannel {
		t.Errorf("a version without a plugin: %+v, %v", got, err)
	}
	// All addons are those of their names, with what they need, each once.
	find := catalogue(t)
	all, _, _ := find(nil)
	o = CreateOptions{CreateOptions: bundle.CreateOptions{Output: "x.tar"}, With: []string{AllAddons, all.Names()[0]}, Catalogue: find}
	got, err = o.resolve()
	if err != nil || len(got.Addons) != len(all) || got.NetworkPlugin != "" {
		t.Errorf("all addons: %+v, %v", got.Addons, err)
	}
	for _, a := range all {
		for _, i := range a.Images() {
			if !slices.Contains(got.ExtraImages, i) {
				t.Errorf("%s of %s is not in it", i, a.Descriptor.Name)
			}
		}
	}
}

func TestWhatCantGoIn(t *testing.T) {
	version := func(change func(*CreateOptions)) CreateOptions {
		o := CreateOptions{CreateOptions: bundle.CreateOptions{KubernetesVersion: "v1.36.3", Output: "x.tar"}}
		change(&o)
		return o
	}
	for what, tc := range map[string]struct {
		o    CreateOptions
		want string
	}{
		"nothing":               {CreateOptions{CreateOptions: bundle.CreateOptions{Output: "x.tar"}}, "specify the contents"},
		"no version":            {version(func(o *CreateOptions) { o.KubernetesVersion = "latest" }), "--kubernetes-version"},
		"nowhere":               {version(func(o *CreateOptions) { o.Output = "" }), "--out"},
		"trust in no mirror":    {version(func(o *CreateOptions) { o.TrustMirror = true }), "--trust-mirror requires"},
		"another plugin":        {version(func(o *CreateOptions) { o.NetworkPlugin = "weave" }), "--network-plugin weave"},
		"another load balancer": {version(func(o *CreateOptions) { o.LoadBalancer = "envoy" }), "--load-balancer envoy"},
		"another architecture":  {version(func(o *CreateOptions) { o.Archs = []string{"amd64", "mips"} }), "--arch mips"},
		"another addon":         {version(func(o *CreateOptions) { o.With, o.Catalogue = []string{"nothing"}, catalogue(t) }), "there is no addon nothing"},
	} {
		dir := t.TempDir()
		if tc.o.Output != "" {
			tc.o.Output = filepath.Join(dir, tc.o.Output)
		}
		_, err := Create(t.Context(), tc.o, report.Discard())
		if action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", what, err)
		}
		if made, _ := filepath.Glob(filepath.Join(dir, "*")); len(made) > 0 {
			t.Errorf("%s: there is %v", what, made)
		}
	}
}

// TestNeedsThatAreNotThere: an addon whose needs nobody has is refused.
func TestNeedsThatAreNotThere(t *testing.T) {
	lonely := &addon.Addon{Descriptor: addon.Descriptor{Name: "lonely", Needs: []string{"company"}}}
	o := CreateOptions{CreateOptions: bundle.CreateOptions{Output: "x.tar"}, With: []string{"lonely"},
		Catalogue: func(args []string) (addon.Catalogue, []string, error) {
			return addon.Catalogue{"lonely": lonely}, args, nil
		}}
	if _, err := o.resolve(); action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "company") {
		t.Errorf("got %v", err)
	}
	broken := errors.New("unreadable")
	o.Catalogue = func([]string) (addon.Catalogue, []string, error) { return nil, nil, broken }
	if _, err := o.resolve(); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// TestInspectCompareVerify: of bundles of local files, and of what is none.
func TestInspectCompareVerify(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	bundletest.Create(t, file("a.tar"), "example.com/a:v1")
	bundletest.Create(t, file("b.tar"), "example.com/a:v2")
	a, err := Inspect(file("a.tar"))
	if err != nil || len(a.Images) != 1 || a.Size <= 0 || a.Signed || a.MissingBlobs != 0 || len(a.Unverified) != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	checked, err := Verify(t.Context(), VerifyOptions{Path: file("a.tar"), Trust: Trust{Digest: a.Digest.String()}}, report.Discard())
	if err != nil || checked.Digest != a.Digest {
		t.Errorf("%+v, %v", checked, err)
	}
	if d, err := Compare(file("a.tar"), file("b.tar")); err != nil || len(d.Changed) != 1 || d.SeveralArchs {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err := Compare(file("a.tar"), file("a.tar")); err != nil || len(d.Changed)+len(d.Added)+len(d.Removed) != 0 {
		t.Errorf("the same: %+v, %v", d, err)
	}
	if bill, err := SBOM(file("a.tar"), time.Unix(0, 0)); err != nil || len(bill.Packages) != 2 {
		t.Errorf("%+v, %v", bill, err)
	}
	none := file("none.tar")
	for what, err := range map[string]error{
		"inspect":      func() error { _, err := Inspect(none); return err }(),
		"bill":         func() error { _, err := SBOM(none, time.Unix(0, 0)); return err }(),
		"compare with": func() error { _, err := Compare(file("a.tar"), none); return err }(),
		"compare":      func() error { _, err := Compare(none, file("a.tar")); return err }(),
		"verify":       func() error { _, err := Verify(t.Context(), VerifyOptions{Path: none}, report.Discard()); return err }(),
		"another digest": func() error {
			_, err := Verify(t.Context(), VerifyOptions{Path: file("a.tar"), Trust: Trust{Digest: "sha256:" + strings.Repeat("0a", 32)}}, report.Discard())
			return err
		}(),
	} {
		if action.KindOf(err) != action.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestSigningKey: a key that can't be read says which.
func TestSigningKey(t *testing.T) {
	for path, stdin := range map[string]string{filepath.Join(t.TempDir(), "none.key"): "", "-": "no key"} {
		if key, err := SigningKey(path, strings.NewReader(stdin)); key != nil || action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "--sign-key "+path) {
			t.Errorf("%s: %v, %v", path, key, err)
		}
	}
}
