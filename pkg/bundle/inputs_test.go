package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// imagesOnly are options for a bundle of images, by way of the mirror.
func (m *fakeMirror) imagesOnly(t *testing.T, refs ...string) CreateOptions {
	opts := m.options(t)
	opts.KubernetesVersion, opts.ExtraImages = "", refs
	return opts
}

// created makes a bundle, reads all of it, and makes it once more: the bytes
// must be the same.
func created(t *testing.T, opts CreateOptions) Contents {
	t.Helper()
	_, err := Create(t.Context(), opts, nil)
	must(t, err)
	b, err := Open(opts.Output)
	must(t, err)
	defer func() { must(t, b.Close()) }()
	must(t, b.Verify(t.Context(), nil))
	first, err := os.ReadFile(opts.Output)
	must(t, err)
	opts.Output = filepath.Join(t.TempDir(), "again.tar")
	_, err = Create(t.Context(), opts, nil)
	must(t, err)
	second, err := os.ReadFile(opts.Output)
	must(t, err)
	if !bytes.Equal(first, second) {
		t.Error("two bundles of the same inputs differ")
	}
	return b.Contents()
}

// entries are a bundle's images, as "ref arch source roles".
func entries(c Contents) (out []string) {
	for _, i := range c.Images {
		roles := ""
		for _, r := range i.For {
			roles += " " + string(r)
		}
		out = append(out, strings.TrimSpace(i.Ref+" "+i.Arch)+" "+i.Source+roles)
	}
	return out
}

func wantEntries(t *testing.T, c Contents, want ...string) {
	t.Helper()
	if got := entries(c); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCreateForTwoArchitectures(t *testing.T) {
	m := newFakeMirror(t)
	m.seed("amd64", "arm64")
	m.push("docker.io/library/haproxy:3.0.21", "amd64", "arm64")
	opts := m.options(t)
	opts.Archs, opts.LoadBalancer = []string{"arm64", "amd64", "arm64"}, "haproxy"
	both := created(t, opts)
	if both.Arch != "" || !slices.Equal(both.Platforms, []string{"amd64", "arm64"}) || len(both.Images) != 14 || len(both.Binaries) != 24 {
		t.Errorf("arch %q, platforms %v, %d images, %d binaries", both.Arch, both.Platforms, len(both.Images), len(both.Binaries))
	}
	must(t, both.Check(testVersion, "arm64", v1alpha1.NetworkPluginNone))
	for _, arch := range both.Platforms {
		opts := m.options(t)
		opts.Arch, opts.LoadBalancer = arch, "haproxy"
		alone := created(t, opts)
		a, err := json.Marshal(alone)
		must(t, err)
		b, err := json.Marshal(both.ForArch(arch))
		must(t, err)
		if !bytes.Equal(a, b) {
			t.Errorf("the part for %s is\n%s\nbut a bundle for it alone is\n%s", arch, b, a)
		}
	}
	if cut := both.ForArch("riscv64"); len(cut.Blobs()) != 0 || both.Check("", "riscv64", "") == nil {
		t.Error("there is something for riscv64")
	}
	balancer, ok := both.Image(HAProxyImage)
	if !ok || !slices.Equal(balancer.For, []v1alpha1.Role{v1alpha1.RoleControlPlane}) {
		t.Errorf("haproxy: %v %v", ok, balancer.For)
	}
}

func TestCreateImagesOnly(t *testing.T) {
	m := newFakeMirror(t)
	m.push("quay.io/a/b:v1", "amd64", "arm64")
	c := created(t, m.imagesOnly(t, "quay.io/a/b:v1"))
	wantEntries(t, c, "quay.io/a/b:v1 docker://quay.io/a/b:v1 control-plane worker")
	if err := c.Check(testVersion, "", ""); err == nil || !strings.Contains(err.Error(), "images only") {
		t.Error(err)
	}
	opts := m.imagesOnly(t)
	if _, err := Create(t.Context(), opts, nil); err == nil || !strings.Contains(err.Error(), "nothing is to go into it") {
		t.Error(err)
	}
}

func TestImagesInManifests(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	write("a/deployment.yaml", `
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      initContainers: [{name: i, image: init}]
      containers: [{name: a, image: "quay.io/a/b:v1"}, {name: injected}]
      volumes: [{name: m, image: {reference: "quay.io/a/model:v1"}}, {name: e, emptyDir: {}}]
---
kind: CronJob
spec: {jobTemplate: {spec: {template: {spec: {containers: [{image: "cron:1"}]}}}}}
---
`)
	write("a/b/list.json", `{"kind": "List", "items": [{"kind": "Pod", "spec": {"containers": [{"image": "pod:1"}],
		"ephemeralContainers": [{"image": "debug:1"}]}}]}`)
	write("a/crd.yml", `
kind: CustomResourceDefinition
spec: {schema: {properties: {containers: {type: array, items: {properties: {image: {type: string}}}}, image: {default: "not:this"}}}}
---
kind: Tenant
spec: {image: "not:this", pool: {template: {containers: [{image: "custom:1"}]}}}
`)
	write("a/README.md", "image: not:this")
	got, err := ImagesInManifests([]string{filepath.Join(dir, "a"), filepath.Join(dir, "a/deployment.yaml")})
	must(t, err)
	want := []string{"docker.io/library/cron:1", "docker.io/library/custom:1", "docker.io/library/debug:1",
		"docker.io/library/init:latest", "docker.io/library/pod:1", "quay.io/a/b:v1", "quay.io/a/model:v1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got, err := ImagesInManifests(nil); len(got) != 0 || err != nil {
		t.Error(got, err)
	}
	for _, c := range []struct{ path, want string }{
		{write("template.yaml", "spec: {{ .Values.x }}\n"), "must be rendered"},
		{write("odd.yaml", "containers: [{image: 'UPPER/Case'}]"), "UPPER/Case"},
		{write("none.yaml", "kind: ConfigMap"), "names any image"},
		{write("anchor.yaml", "x: &x {image: \"a:1\"}\n---\ncontainers: [*x]\n"), "document 2"},
		{write("list.yaml", "- a"), "neither YAML nor JSON"},
		{write("deep.yaml", "a: "+strings.Repeat("[", 300)+strings.Repeat("]", 300)), "nested"},
		{filepath.Join(dir, "nowhere"), "nowhere"},
	} {
		if _, err := ImagesInManifests([]string{c.path}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		}
	}
}

// The bundle has the image that is applied: kubectl's reader, and so the one that applies
// addons and network plugins, lets a merge key replace a field that stands before it.
func TestImagesInManifestsAreThoseThatAreApplied(t *testing.T) {
	pod := "x: &base {image: \"merged:1\"}\nspec:\n  containers:\n  - "
	for text, want := range map[string]string{
		pod + "image: own:1\n    <<: *base\n":                       "docker.io/library/merged:1",
		pod + "<<: *base\n    image: own:1\n":                       "docker.io/library/own:1",
		pod + "image: own:1\n    image: twice:1\n":                  "docker.io/library/twice:1",
		"---\n---\n" + pod + "image: own:1\n--- # end\n":            "docker.io/library/own:1",
		`{"kind": "ConfigMap"}{"containers": [{"image": "own:1"}]}`: "docker.io/library/own:1",
	} {
		file := filepath.Join(t.TempDir(), "pod.yaml")
		must(t, os.WriteFile(file, []byte(text), 0o600))
		if got, err := ImagesInManifests([]string{file}); err != nil || !slices.Equal(got, []string{want}) {
			t.Errorf("%s\ngot %v %v, want %s", text, got, err, want)
		}
	}
}

// files are the local files that images can come from.
type files struct{ docker, ociArchive, oci, dir string }

func (m *fakeMirror) localFiles(t *testing.T) (f files) {
	dir := t.TempDir()
	f.docker = filepath.Join(dir, "saved.tar")
	tag, err := name.NewTag("example.com/saved:v1")
	must(t, err)
	must(t, tarball.WriteToFile(f.docker, tag, testImage(t, "saved", "amd64")))

	f.oci = filepath.Join(dir, "oci")
	path, err := layout.Write(f.oci, empty.Index)
	must(t, err)
	named := func(annotations map[string]string) layout.Option { return layout.WithAnnotations(annotations) }
	must(t, path.AppendImage(testImage(t, "one", "amd64"), named(map[string]string{ocispec.AnnotationRefName: "example.com/one:v1"}),
		layout.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"})))
	must(t, path.AppendImage(testImage(t, "one", "arm64"), named(map[string]string{ocispec.AnnotationRefName: "example.com/one:v1"}),
		layout.WithPlatform(v1.Platform{OS: "linux", Architecture: "arm64"})))
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: testImage(t, "two", "amd64"), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: testImage(t, "two", "arm64"), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}})
	must(t, path.AppendIndex(index, named(map[string]string{annotationContainerd: "example.com/two:v1", ocispec.AnnotationRefName: "v1"})))

	f.ociArchive = filepath.Join(dir, "oci.tar")
	must(t, os.WriteFile(f.ociArchive, tarOf(t, f.oci), 0o600))

	f.dir = filepath.Join(dir, "dir")
	must(t, os.Mkdir(f.dir, 0o755))
	img := testImage(t, "three", "amd64")
	data, err := img.RawManifest()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(f.dir, "manifest.json"), data, 0o600))
	must(t, os.WriteFile(filepath.Join(f.dir, "version"), []byte("Directory Transport Version: 1.1\n"), 0o600))
	config, err := img.RawConfigFile()
	must(t, err)
	digest, err := img.ConfigName()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(f.dir, digest.Hex), config, 0o600))
	layers, err := img.Layers()
	must(t, err)
	for _, l := range layers {
		digest, err := l.Digest()
		must(t, err)
		r, err := l.Compressed()
		must(t, err)
		var content bytes.Buffer
		_, err = content.ReadFrom(r)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(f.dir, digest.Hex), content.Bytes(), 0o600))
	}
	return f
}

// tarOf packs a directory, with a link that nobody should follow.
func tarOf(t *testing.T, dir string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	must(t, w.AddFS(os.DirFS(dir)))
	must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "blobs/sha256/evil", Linkname: "/etc/passwd"}))
	must(t, w.Close())
	return out.Bytes()
}

// gzipped is the path of the file's compressed copy.
func gzipped(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err = w.Write(data)
	must(t, errors.Join(err, w.Close()))
	must(t, os.WriteFile(file+".gz", out.Bytes(), 0o600))
	return file + ".gz"
}

func TestCreateFromFiles(t *testing.T) {
	m := newFakeMirror(t)
	f := m.localFiles(t)
	both := []string{"amd64", "arm64"}
	for name, c := range map[string]struct {
		from, archs []string
		want        []string
	}{
		"docker save": {[]string{f.docker}, nil, []string{"example.com/saved:v1 docker-archive control-plane worker"}},
		"named":       {[]string{"other:v2=" + f.docker}, nil, []string{"docker.io/library/other:v2 docker-archive control-plane worker"}},
		"layout": {[]string{f.oci}, nil, []string{"example.com/one:v1 oci control-plane worker",
			"example.com/two:v1 oci control-plane worker"}},
		"archive for both": {[]string{f.ociArchive}, both, []string{
			"example.com/one:v1 amd64 oci-archive control-plane worker", "example.com/one:v1 arm64 oci-archive control-plane worker",
			"example.com/two:v1 amd64 oci-archive control-plane worker", "example.com/two:v1 arm64 oci-archive control-plane worker"}},
		"directory": {[]string{"three=dir:" + f.dir}, nil, []string{"docker.io/library/three:latest dir control-plane worker"}},
		"one of both": {[]string{"three=" + f.dir, f.docker}, both, []string{"docker.io/library/three:latest amd64 dir control-plane worker",
			"example.com/saved:v1 amd64 docker-archive control-plane worker"}},
		"packed docker save": {[]string{gzipped(t, f.docker)}, nil, []string{"example.com/saved:v1 docker-archive control-plane worker"}},
		"packed archive": {[]string{gzipped(t, f.ociArchive)}, nil, []string{"example.com/one:v1 oci-archive control-plane worker",
			"example.com/two:v1 oci-archive control-plane worker"}},
		"twice the same": {[]string{f.docker, f.docker}, nil, []string{"example.com/saved:v1 docker-archive control-plane worker"}},
	} {
		t.Run(name, func(t *testing.T) {
			opts := m.imagesOnly(t)
			opts.From, opts.Archs = c.from, c.archs
			opts.WorkDir = t.TempDir()
			wantEntries(t, created(t, opts), c.want...)
			left, err := os.ReadDir(opts.WorkDir)
			must(t, err)
			for _, l := range left {
				if !slices.Contains([]string{"blobs", "ingest"}, l.Name()) {
					t.Errorf("left behind: %s", l.Name())
				}
			}
		})
	}
}

// A bundle is an OCI archive: another can be made of it.
func TestCreateFromBundle(t *testing.T) {
	m := newFakeMirror(t)
	m.push("quay.io/a/b:v1", "amd64", "arm64")
	opts := m.imagesOnly(t, "quay.io/a/b:v1")
	opts.Archs = []string{"amd64", "arm64"}
	old := created(t, opts)
	next := m.imagesOnly(t)
	next.From = []string{opts.Output}
	c := created(t, next)
	wantEntries(t, c, "quay.io/a/b:v1 oci-archive control-plane worker")
	if c.Images[0].Manifest != old.ForArch("amd64").Images[0].Manifest {
		t.Error("it is another image")
	}
}

// What a file has is not asked of a registry, and goes to whom the list says.
func TestFilesGoBeforeRegistries(t *testing.T) {
	m := newFakeMirror(t)
	m.seed("amd64")
	path, err := layout.Write(filepath.Join(t.TempDir(), "oci"), empty.Index)
	must(t, err)
	img := testImage(t, "own build", "amd64")
	must(t, path.AppendImage(img, layout.WithAnnotations(map[string]string{ocispec.AnnotationRefName: "registry.k8s.io/kube-apiserver:" + testVersion})))
	opts := m.options(t)
	opts.From = []string{string(path)}
	c := created(t, opts)
	got, ok := c.Image("registry.k8s.io/kube-apiserver:" + testVersion)
	digest, err := img.Digest()
	must(t, err)
	if !ok || string(got.Manifest.Digest) != digest.String() || !slices.Equal(got.For, []v1alpha1.Role{v1alpha1.RoleControlPlane}) || len(c.Images) != 6 {
		t.Errorf("%v %+v, %d images", ok, got, len(c.Images))
	}
}

func TestCreateFromRefuses(t *testing.T) {
	m := newFakeMirror(t)
	f := m.localFiles(t)
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, data, 0o600))
		return path
	}
	archive, err := os.ReadFile(f.ociArchive)
	must(t, err)
	changed := func(name string, change func(*entry)) string {
		all := untar(t, archive)
		for i := range all {
			change(&all[i])
		}
		return write(name, retar(t, slices.DeleteFunc(all, func(e entry) bool { return e.header.Name == "" })))
	}
	spoiled := func(e *entry) {
		if strings.HasPrefix(e.header.Name, blobPrefix) && len(e.data) > 0 {
			e.data = slices.Clone(e.data)
			e.data[0] ^= 1
		}
	}
	for name, c := range map[string]struct {
		from []string
		want string
	}{
		"no file":          {[]string{filepath.Join(dir, "none.tar")}, "none.tar"},
		"no name":          {[]string{f.dir}, "has no name: give it one with REF=" + f.dir},
		"one name for two": {[]string{"x=" + f.oci}, "can't be the name of all"},
		"bad name":         {[]string{"a/UPPER=" + f.docker}, "UPPER"},
		"text":             {[]string{write("x.txt", []byte("no archive"))}, "not a whole archive"},
		"empty":            {[]string{write("empty", nil)}, "not a whole archive"},
		"other tar":        {[]string{write("other.tar", targz(t, "x", "-"))}, "none of"},
		"other directory":  {[]string{dir}, "none of"},
		"cut off":          {[]string{write("cut.tar", archive[:len(archive)/2])}, "cut.tar"},
		"corrupted blobs":  {[]string{changed("bad.tar", spoiled)}, "turned out to be"},
		"blob with a path": {[]string{changed("path.tar", func(e *entry) {
			if strings.HasPrefix(e.header.Name, blobPrefix) {
				e.header.Name = blobPrefix + "../../../" + e.header.Name
			}
		})}, "no such file"},
		"index too large": {[]string{changed("index.tar", func(e *entry) {
			if e.header.Name == "index.json" {
				e.data = make([]byte, maxIndex+1)
			}
		})}, "larger than"},
		"blobs missing": {[]string{changed("gone.tar", func(e *entry) {
			if strings.HasPrefix(e.header.Name, blobPrefix) {
				e.header.Name = ""
			}
		})}, "example.com/"},
		"two of a name": {[]string{"example.com/saved:v1=" + f.dir, f.docker}, "two files have different images"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := m.imagesOnly(t)
			opts.From = c.from
			_, err := Create(t.Context(), opts, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if _, err := os.Stat(opts.Output); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("there is something under the bundle's name: %v", err)
			}
		})
	}
	// A layout with a blob that is cut off: refused at once, nothing is tried
	// again on a disk.
	path, err := layout.Write(filepath.Join(dir, "cut"), empty.Index)
	must(t, err)
	img := testImage(t, "cut", "amd64")
	must(t, path.AppendImage(img))
	layers, err := img.Layers()
	must(t, err)
	digest, err := layers[1].Digest()
	must(t, err)
	must(t, os.Truncate(filepath.Join(dir, "cut", "blobs", "sha256", digest.Hex), 10))
	opts := m.imagesOnly(t)
	opts.From = []string{"cut=" + string(path)}
	events := &recorder{}
	if _, err := Create(t.Context(), opts, events); err == nil || !strings.Contains(err.Error(), digest.String()) {
		t.Error(err)
	}
	for _, e := range events.events {
		if strings.Contains(e.Message, "tried again") {
			t.Error(e.Message)
		}
	}
	opts = m.imagesOnly(t)
	opts.From, opts.Arch = []string{f.docker}, "arm64"
	if _, err := Create(t.Context(), opts, nil); err == nil || !strings.Contains(err.Error(), "for linux/amd64, not for linux/arm64") {
		t.Error(err)
	}
}
