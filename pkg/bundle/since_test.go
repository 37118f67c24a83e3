package bundle

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// twoBundles are one with a:v1, and the difference to it with a:v1 and b:v1,
// which share a layer.
func twoBundles(t *testing.T) (m *fakeMirror, old, difference string) {
	t.Helper()
	m = newFakeMirror(t)
	m.push("quay.io/x/a:v1", "amd64")
	m.push("quay.io/x/b:v1", "amd64")
	first := m.imagesOnly(t, "quay.io/x/a:v1")
	created(t, first)
	second := m.imagesOnly(t, "quay.io/x/a:v1", "quay.io/x/b:v1")
	second.Since = first.Output
	created(t, second)
	return m, first.Output, second.Output
}

func TestCreateSince(t *testing.T) {
	m, old, path := twoBundles(t)
	whole := m.imagesOnly(t, "quay.io/x/a:v1", "quay.io/x/b:v1")
	created(t, whole)
	b, err := Open(path)
	must(t, err)
	o, err := Open(old)
	must(t, err)
	c := b.Contents()
	// All of a, and the layer that b shares with it.
	left := b.Missing()
	if len(left) != 4 || c.Since == nil || c.Since.Bundle != o.Digest() || len(c.LeftOut()) != 4 || len(c.Images) != 2 {
		t.Errorf("%d missing, %d left out, %d images, since %+v", len(left), len(c.LeftOut()), len(c.Images), c.Since)
	}
	for _, l := range left {
		if !o.Has(l) || b.Has(l) {
			t.Errorf("blob %s: in the old one %t, in the new one %t", l.Digest, o.Has(l), b.Has(l))
		}
	}
	if err := c.Check("", "amd64", ""); err == nil || !strings.Contains(err.Error(), "only the difference") || !strings.Contains(err.Error(), "images push` takes both together, with --base") {
		t.Errorf("it may be used alone: %v", err)
	}
	must(t, b.Close())
	must(t, o.Close())

	if n, w := sizeOf(path), sizeOf(whole.Output); n >= w {
		t.Errorf("the difference has %d bytes, the whole %d", n, w)
	}
	together, err := OpenWithBases(path, old)
	must(t, err)
	must(t, together.Verify(t.Context(), nil))
	must(t, together.Contents().Check("", "amd64", ""))
	if len(together.Missing()) != 0 {
		t.Error("something is missing with its base")
	}
	must(t, together.Close())

	// What is the same twice is whole, and says so; a wrong base is refused.
	next := m.imagesOnly(t, "quay.io/x/b:v1")
	created(t, next)
	if _, err := OpenWithBases(path, next.Output); err == nil || !strings.Contains(err.Error(), "in none of") {
		t.Errorf("a wrong base: %v", err)
	}
	if _, err := OpenWithBases(path, path+".none"); err == nil {
		t.Error("a base that is not there")
	}
	alone, err := OpenWithBases(whole.Output)
	must(t, err)
	must(t, alone.Close())
}

// What the old bundle has is not pulled again, but for the small parts.
func TestSincePullsOnlyWhatIsNew(t *testing.T) {
	m, old, path := twoBundles(t)
	b, err := Open(path)
	must(t, err)
	defer func() { must(t, b.Close()) }()
	a, ok := b.Contents().Image("quay.io/x/a:v1")
	if !ok {
		t.Fatal("no image a")
	}
	opts := m.imagesOnly(t, "quay.io/x/a:v1", "quay.io/x/b:v1")
	opts.Since = old
	before := map[string]int{}
	paths := func() (out []string) {
		for _, l := range a.Blobs[2:] {
			out = append(out, "/v2/quay.io/x/a/blobs/"+l.Digest.String(), "/v2/quay.io/x/b/blobs/"+l.Digest.String())
		}
		return out
	}
	for _, p := range paths() {
		before[p] = m.count(p)
	}
	_, err = Create(t.Context(), opts, nil)
	must(t, err)
	for _, p := range paths() {
		if m.count(p) != before[p] {
			t.Errorf("%s was asked for again", p)
		}
	}
}

func TestSinceHasNothingOfIt(t *testing.T) {
	m, old, _ := twoBundles(t)
	dir := filepath.Join(t.TempDir(), "oci")
	path, err := layout.Write(dir, empty.Index)
	must(t, err)
	must(t, path.AppendImage(testImage(t, "alone", "amd64", "a layer that nobody shares")))
	opts := m.imagesOnly(t)
	opts.From, opts.Since = []string{"example.com/alone:v1=" + dir}, old
	if c := created(t, opts); c.Since != nil || len(c.Images) != 1 {
		t.Errorf("%+v", c)
	}
}

func TestOpenRefusesDifferencesThatLie(t *testing.T) {
	_, _, path := twoBundles(t)
	good, err := os.ReadFile(path)
	must(t, err)
	for name, c := range map[string]struct {
		change func(*Contents)
		want   string
	}{
		"not left out": {func(c *Contents) { c.Since = nil }, "is not in it"},
		"one less": {func(c *Contents) {
			s := *c.Since
			s.Blobs = s.Blobs[1:]
			c.Since = &s
		}, "is not in it"},
		"not its own": {func(c *Contents) {
			s := *c.Since
			s.Blobs = append(slices.Clone(s.Blobs), digest.FromString("x"))
			slices.Sort(s.Blobs)
			c.Since = &s
		}, "not among its blobs"},
		"no bundle":     {func(c *Contents) { c.Since = &Since{Blobs: c.Since.Blobs} }, "digest"},
		"none":          {func(c *Contents) { c.Since = &Since{Bundle: c.Since.Bundle} }, "left out"},
		"both archs":    {func(c *Contents) { c.Platforms = []string{"amd64", "arm64"} }, "never both"},
		"no arch":       {func(c *Contents) { c.Arch = "" }, "no architecture"},
		"own arch":      {func(c *Contents) { c.Images[0].Arch = "arm64" }, "not one of the bundle's"},
		"some versions": {func(c *Contents) { c.EtcdVersion = "v3.6.1" }, "not a version"},
	} {
		t.Run(name, func(t *testing.T) {
			data := resealed(t, good, c.change)
			if _, err := read(bytes.NewReader(data), int64(len(data))); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestDiff(t *testing.T) {
	blob := func(s string) Blob { return Blob{Digest: digest.FromString(s), Size: int64(len(s))} }
	img := func(ref string, blobs ...string) Image {
		i := Image{Ref: ref, For: nodeRoles()}
		for _, b := range blobs {
			i.Blobs = append(i.Blobs, blob(b))
		}
		i.Manifest = i.Blobs[0]
		return i
	}
	bin := func(name, version string) Binary {
		return Binary{Name: name, Path: "/usr/local/bin/" + name, Version: version, Blob: blob(name + version), SHA256: digest.FromString(version).Encoded()}
	}
	from := Contents{Arch: "amd64", Images: []Image{img("x.io/api:v1", "m1", "base", "api1"), img("x.io/gone:v1", "g", "base"),
		img("x.io/same:v1", "s", "base"), img("x.io/two:v1", "t1"), img("x.io/latest:x", "l1")}, Binaries: []Binary{bin("kubelet", "v1"), bin("runc", "v1")}}
	to := Contents{Arch: "amd64", Images: []Image{img("x.io/api:v2", "m2", "base", "api2", "shared"), img("x.io/new:v1", "n", "shared"),
		img("x.io/same:v1", "s", "base"), img("x.io/two:v1", "t1"), img("x.io/two:v2", "t2"), img("x.io/latest:x", "l2")},
		Binaries: []Binary{bin("kubelet", "v2"), bin("runc", "v1")}}
	d := Diff(from, to)
	var got []string
	for _, c := range d.Changed {
		got = append(got, "changed "+c.To.Name+" "+c.From.Version+" "+c.To.Version+" "+formatBytes(c.To.Bytes))
	}
	for _, a := range d.Added {
		got = append(got, "added "+a.Name+" "+a.Version+" "+formatBytes(a.Bytes))
	}
	for _, r := range d.Removed {
		got = append(got, "removed "+r.Name+" "+r.Version)
	}
	want := []string{"changed x.io/api v1 v2 12 B", "changed x.io/latest x x 2 B", "changed /usr/local/bin/kubelet v1 v2 9 B",
		"added x.io/new v1 7 B", "added x.io/two v2 2 B", "removed x.io/gone v1"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	// m2, api2, shared, n, t2, l2 and the kubelet, each once.
	if d.Blobs != 7 || d.Bytes != 2+4+6+1+2+2+9 {
		t.Errorf("%d blobs, %d bytes", d.Blobs, d.Bytes)
	}
	if same := Diff(to, to); len(same.Added)+len(same.Removed)+len(same.Changed)+same.Blobs != 0 || same.Bytes != 0 {
		t.Errorf("a bundle and itself: %+v", same)
	}
}

func TestSBOM(t *testing.T) {
	m := newFakeMirror(t)
	m.seed()
	opts := m.options(t)
	opts.From = []string{m.localFiles(t).docker}
	c := created(t, opts)
	b, err := Open(opts.Output)
	must(t, err)
	defer func() { must(t, b.Close()) }()
	data, err := json.Marshal(b.SBOM(time.Unix(1700000000, 0)))
	must(t, err)
	var doc map[string]any
	must(t, json.Unmarshal(data, &doc))
	for key, want := range map[string]any{"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
		"name": "kubectl-ha-bundle-" + testVersion} {
		if doc[key] != want {
			t.Errorf("%s is %v, want %v", key, doc[key], want)
		}
	}
	if ns, ok := doc["documentNamespace"].(string); !ok || !strings.Contains(ns, b.Digest().Encoded()) {
		t.Errorf("namespace %v", doc["documentNamespace"])
	}
	creation, ok := doc["creationInfo"].(map[string]any)
	if !ok || creation["created"] != "2023-11-14T22:13:20Z" || len(creation["creators"].([]any)) != 1 {
		t.Errorf("creation %v", doc["creationInfo"])
	}
	packages := checkSPDXPackages(t, doc["packages"].([]any))
	if want := 1 + len(c.Images) + len(c.Binaries); len(packages) != want {
		t.Errorf("%d packages, want %d", len(packages), want)
	}
	contained := 0
	for _, r := range doc["relationships"].([]any) {
		r := r.(map[string]any)
		if _, ok := packages[r["relatedSpdxElement"].(string)]; !ok {
			t.Errorf("a relationship to nothing: %v", r)
		}
		if r["relationshipType"] == "CONTAINS" && r["spdxElementId"] == spdxBundle {
			contained++
		}
	}
	if contained != len(packages)-1 {
		t.Errorf("%d of %d are contained", contained, len(packages)-1)
	}
	kubelet := packages["SPDXRef-program-18"]
	if kubelet["name"] != "kubelet" || kubelet["versionInfo"] != testVersion || kubelet["downloadLocation"] != "https://dl.k8s.io/v1.36.3/bin/linux/amd64/kubelet" {
		t.Errorf("the kubelet is %v", kubelet)
	}
}

// checkSPDXPackages checks what the schema of SPDX 2.3 requires of packages,
// and its lists of allowed words, and returns them by ID.
func checkSPDXPackages(t *testing.T, list []any) map[string]map[string]any {
	t.Helper()
	id := regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`)
	purl := regexp.MustCompile(`^pkg:(oci|generic)/[^/@?]+@[^/@?]+\?[^?]+$`)
	out := map[string]map[string]any{}
	for _, p := range list {
		p := p.(map[string]any)
		key, _ := p["SPDXID"].(string)
		if !id.MatchString(key) || out[key] != nil || p["name"] == "" || p["downloadLocation"] == "" || p["filesAnalyzed"] != false {
			t.Errorf("package %v", p)
		}
		out[key] = p
		if !slices.Contains([]any{"ARCHIVE", "APPLICATION", "CONTAINER"}, p["primaryPackagePurpose"]) {
			t.Errorf("purpose %v", p["primaryPackagePurpose"])
		}
		for _, c := range p["checksums"].([]any) {
			c := c.(map[string]any)
			if value, _ := c["checksumValue"].(string); c["algorithm"] != "SHA256" || len(value) != 64 || strings.ToLower(value) != value {
				t.Errorf("checksum %v", c)
			}
		}
		refs, _ := p["externalRefs"].([]any)
		for _, r := range refs {
			r := r.(map[string]any)
			if r["referenceCategory"] != "PACKAGE-MANAGER" || r["referenceType"] != "purl" || !purl.MatchString(r["referenceLocator"].(string)) {
				t.Errorf("reference %v", r)
			}
		}
	}
	return out
}

func TestItems(t *testing.T) {
	c := testContents()
	c.Images[0].Ref = "registry.k8s.io/a@" + string(digest.FromString("a"))
	c.Images[1].Source = kindDir
	var got []string
	for _, i := range c.Items() {
		got = append(got, strings.Join([]string{i.Kind, i.Name, i.Version, i.Arch, i.Source}, " "))
	}
	want := []string{"image registry.k8s.io/a " + string(digest.FromString("a")) + " amd64 docker://" + c.Images[0].Ref,
		"image registry.k8s.io/pause 3.10.2 amd64 dir", "program   amd64 ", "program   amd64 "}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if r := c.Items()[3].For; !slices.Equal(r, []v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleWorker}) {
		t.Error(r)
	}
}
