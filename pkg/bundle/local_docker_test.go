package bundle

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// tarEntry is what a test writes into an archive.
type tarEntry struct {
	name, link string
	kind       byte
	data       []byte
}

func writeTar(t *testing.T, entries []tarEntry) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Size: int64(len(e.data)), Mode: 0o644}
		if e.kind != 0 {
			h.Typeflag, h.Linkname = e.kind, e.link
		}
		must(t, w.WriteHeader(h))
		_, err := w.Write(e.data)
		must(t, err)
	}
	must(t, w.Close())
	file := filepath.Join(t.TempDir(), "saved.tar")
	must(t, os.WriteFile(file, out.Bytes(), 0o600))
	return file
}

func layerTar(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(writeTar(t, []tarEntry{{name: name, data: []byte(name)}}))
	must(t, err)
	return data
}

// configFor is an image's config with these layers.
func configFor(layers ...[]byte) []byte {
	var sums []string
	for _, l := range layers {
		sums = append(sums, `"`+digest.FromBytes(l).String()+`"`)
	}
	return fmt.Appendf(nil, `{"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [%s]}}`, strings.Join(sums, ", "))
}

// saved is an archive as Docker before 25 writes it, of two images that share a layer:
// the second's is a link to the first's, and stands before it.
func saved(t *testing.T, change func(entries []tarEntry, listed []dockerImage) []tarEntry) string {
	t.Helper()
	base, top := layerTar(t, "base"), layerTar(t, "top")
	a, b, c := strings.Repeat("a", 64), strings.Repeat("b", 64), strings.Repeat("c", 64)
	listed := []dockerImage{
		{Config: "one.json", RepoTags: []string{"reg.example.com/one:1"}, Layers: []string{a + "/layer.tar", b + "/layer.tar"}},
		{Config: "two.json", RepoTags: []string{"reg.example.com/two:1", "reg.example.com/two:latest"}, Layers: []string{c + "/layer.tar"}},
	}
	entries := []tarEntry{
		{name: c + "/layer.tar", kind: tar.TypeSymlink, link: "../" + a + "/layer.tar"},
		{name: a + "/layer.tar", data: base}, {name: b + "/layer.tar", data: top},
		{name: "one.json", data: configFor(base, top)}, {name: "two.json", data: configFor(base)},
	}
	if change != nil {
		entries = change(entries, listed)
	}
	manifest, err := json.Marshal(listed)
	must(t, err)
	return writeTar(t, append(entries, tarEntry{name: dockerManifest, data: manifest}))
}

func TestDockerArchivesWithLinks(t *testing.T) {
	both := []string{"reg.example.com/one:1", "reg.example.com/two:1", "reg.example.com/two:latest"}
	a := strings.Repeat("a", 64)
	for name, c := range map[string]struct {
		change func([]tarEntry, []dockerImage) []tarEntry
		err    string
	}{
		"symbolic link": {},
		"hard link": {change: func(e []tarEntry, _ []dockerImage) []tarEntry {
			e[0].kind, e[0].link = tar.TypeLink, a+"/layer.tar"
			return e
		}},
		"link to a link": {change: func(e []tarEntry, _ []dockerImage) []tarEntry {
			e[0].link = "../x"
			return append(e, tarEntry{name: "x", kind: tar.TypeSymlink, link: a + "/layer.tar"})
		}},
		"names with ./": {change: func(e []tarEntry, _ []dockerImage) []tarEntry {
			for i := range e {
				e[i].name = "./" + e[i].name
			}
			return e
		}},
		"a layer twice in one image": {change: func(e []tarEntry, listed []dockerImage) []tarEntry {
			listed[1].Layers = append(listed[1].Layers, listed[1].Layers[0])
			e[4].data = configFor(e[1].data, e[1].data)
			return e
		}},
		"link in a circle": {change: func(e []tarEntry, _ []dockerImage) []tarEntry {
			e[0].link = "layer.tar"
			return e
		}, err: "leads nowhere"},
		"link out of it": {change: func(e []tarEntry, _ []dockerImage) []tarEntry {
			e[0].link = "/etc/passwd"
			return e
		}, err: "is not in it"},
		"a layer of another": {change: func(e []tarEntry, _ []dockerImage) []tarEntry {
			e[0].link = "../" + strings.Repeat("b", 64) + "/layer.tar"
			return e
		}, err: "image @1 in it: its layers are"},
		"fewer layers than the config has": {change: func(e []tarEntry, listed []dockerImage) []tarEntry {
			listed[0].Layers = listed[0].Layers[:1]
			return e
		}, err: "image @0 in it: its layers are"},
		"a layer missing": {change: func(e []tarEntry, _ []dockerImage) []tarEntry { return slices.Delete(e, 2, 3) }, err: "is not in it"},
		"no config":       {change: func(e []tarEntry, _ []dockerImage) []tarEntry { return slices.Delete(e, 3, 4) }, err: "its config"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newFakeMirror(t)
			opts := m.imagesOnly(t)
			opts.From = []string{saved(t, c.change)}
			if c.err != "" {
				if _, err := Create(t.Context(), opts, nil); err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want one with %q", err, c.err)
				}
				return
			}
			got := created(t, opts)
			var refs []string
			for _, i := range got.Images {
				refs = append(refs, i.Ref)
				if i.Source != kindDockerArchive {
					t.Errorf("%s is from %s", i.Ref, i.Source)
				}
			}
			if !slices.Equal(refs, both) {
				t.Errorf("got %v", refs)
			}
			one, two := got.Images[0].Blobs, got.Images[1].Blobs
			if one[2].Digest != two[2].Digest || one[2].Size == 0 {
				t.Errorf("the layer is not shared: %v %v", one, two)
			}
			b, err := Open(opts.Output)
			must(t, err)
			must(t, b.Verify(t.Context(), nil))
			must(t, b.Close())
		})
	}
}

// TestImagesWithoutNames: an archive that was saved by IDs says which images have no
// name, and what it says to do works.
func TestImagesWithoutNames(t *testing.T) {
	nameless := func(e []tarEntry, listed []dockerImage) []tarEntry {
		listed[0].RepoTags, listed[1].RepoTags = nil, nil
		return e
	}
	half := func(e []tarEntry, listed []dockerImage) []tarEntry {
		listed[1].RepoTags = nil
		return e
	}
	ids := func(t *testing.T) (one, two string) {
		base, top := layerTar(t, "base"), layerTar(t, "top")
		return digest.FromBytes(configFor(base, top)).Encoded()[:12], digest.FromBytes(configFor(base)).Encoded()[:12]
	}
	one, two := ids(t)
	oci := filepath.Join(t.TempDir(), "oci")
	path, err := layout.Write(oci, empty.Index)
	must(t, err)
	must(t, path.AppendImage(testImage(t, "one", "amd64")))
	must(t, path.AppendImage(testImage(t, "two", "amd64")))
	must(t, path.AppendImage(testImage(t, "three", "amd64"), layout.WithAnnotations(map[string]string{"kind": "dev.cosignproject.cosign/sigs"})))
	a, b := "docker.io/library/a:1", "docker.io/library/b:1"
	both, mixed := saved(t, nameless), saved(t, half)
	for name, c := range map[string]struct {
		from []string
		want []string
		// err are parts of the error.
		err []string
	}{
		"none has one":            {from: []string{both}, err: []string{"@0 (ID " + one + ")", "@1 (ID " + two + ")", "REF=" + both + ":@0 and REF=" + both + ":@1"}},
		"as it says":              {from: []string{"a:1=" + both + ":@0", "b:1=" + both + ":@1"}, want: []string{a, b}},
		"one of them":             {from: []string{"b:1=" + both + ":@1"}, want: []string{b}},
		"one name for both":       {from: []string{"a:1=" + both}, err: []string{"can't be the name of all 2", "REF=" + both + ":@INDEX", "@0 (ID " + one + ")"}},
		"no such":                 {from: []string{"a:1=" + both + ":@2"}, err: []string{"no image @2", "@1 (ID " + two + ")"}},
		"one without":             {from: []string{both + ":@1"}, err: []string{"@1 (ID " + two + ")", "REF=" + both + ":@1"}},
		"one has one":             {from: []string{mixed}, err: []string{"@1 (ID " + two + ")", "REF=" + mixed + ":@1"}},
		"one has one, as it says": {from: []string{mixed, "b:1=" + mixed + ":@1"}, want: []string{b, "reg.example.com/one:1"}},
		"the one with a name":     {from: []string{mixed + ":@0"}, want: []string{"reg.example.com/one:1"}},
		"layout":                  {from: []string{oci}, err: []string{"@0 (ID ", "@1 (ID ", "REF=" + oci + ":@0"}},
		"layout, as it says":      {from: []string{"a:1=" + oci + ":@0", "b:1=" + oci + ":@1"}, want: []string{a, b}},
		"layout, one name":        {from: []string{"a:1=" + oci}, err: []string{"can't be the name of all 2"}},
		"a signature":             {from: []string{"a:1=" + oci + ":@2"}, err: []string{"no image @2"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newFakeMirror(t)
			opts := m.imagesOnly(t)
			opts.From = c.from
			if len(c.err) > 0 {
				_, err := Create(t.Context(), opts, nil)
				for _, part := range c.err {
					if err == nil || !strings.Contains(err.Error(), part) {
						t.Errorf("error %v\nwant one with %q", err, part)
					}
				}
				return
			}
			var refs []string
			for _, i := range created(t, opts).Images {
				refs = append(refs, i.Ref)
			}
			if !slices.Equal(refs, c.want) {
				t.Errorf("got %v", refs)
			}
		})
	}
}

// TestParseFrom: a file may be called like anything.
func TestParseFrom(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"x.tar", "a=b", "y:@0", "c=d.tar"} {
		must(t, os.WriteFile(name, nil, 0o600))
	}
	for text, want := range map[string]fromFile{
		"x.tar":          {given: "x.tar", index: -1},
		"r:1=x.tar":      {name: "docker.io/library/r:1", given: "x.tar", index: -1},
		"r:1=x.tar:@3":   {name: "docker.io/library/r:1", given: "x.tar", index: 3},
		"x.tar:@12":      {given: "x.tar", index: 12},
		"a=b":            {given: "a=b", index: -1},
		"y:@0":           {given: "y:@0", index: -1},
		"c=d.tar:@1":     {given: "c=d.tar", index: 1},
		"r:1=dir:x":      {name: "docker.io/library/r:1", given: "dir:x", index: -1},
		"r:1=gone.tar":   {name: "docker.io/library/r:1", given: "gone.tar", index: -1},
		"r:1=x.tar:@-1":  {name: "docker.io/library/r:1", given: "x.tar:@-1", index: -1},
		"r:1=x.tar:name": {name: "docker.io/library/r:1", given: "x.tar:name", index: -1},
	} {
		got, err := parseFrom(text)
		got.path = ""
		if err != nil || got != want {
			t.Errorf("%s: %+v %v, want %+v", text, got, err, want)
		}
	}
}

// TestRealArchives: what Debian's podman, buildah and skopeo write is read, and the
// images have the layers that these programs say.
func TestRealArchives(t *testing.T) {
	for _, program := range []string{"podman", "buildah", "skopeo"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s on this machine: apt-get install podman buildah skopeo", program)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("podman and buildah want root to keep images in a folder of this test's own")
	}
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	storage := []string{"--storage-driver", "vfs", "--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "runroot")}
	run := func(program string, args ...string) string {
		t.Helper()
		if program != "skopeo" {
			args = append(slices.Clone(storage), args...)
		}
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir = dir
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s %v: %v\n%s", program, args, err, stderr.String())
		}
		return strings.TrimSpace(stdout.String())
	}
	must(t, os.WriteFile(filepath.Join(dir, "one"), []byte("1"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "two"), []byte("2"), 0o600))
	container := run("buildah", "from", "scratch")
	run("buildah", "copy", container, "one", "/one")
	run("buildah", "config", "--arch", "amd64", container)
	run("buildah", "commit", container, "localhost/base:1")
	container = run("buildah", "from", "localhost/base:1")
	run("buildah", "copy", container, "two", "/two")
	run("buildah", "commit", container, "localhost/two:1")
	id := run("buildah", "commit", container)
	run("podman", "save", "-m", "-o", "podman.tar", "localhost/base:1", "localhost/two:1")
	run("podman", "save", "-m", "-o", "podman-id.tar", "localhost/base:1", id)
	run("podman", "save", "--format", "oci-archive", "-o", "podman-oci.tar", "localhost/two:1")
	run("podman", "save", "--format", "docker-dir", "-o", "podman-dir", "localhost/two:1")
	run("podman", "save", "--format", "oci-dir", "-o", "podman-ocidir", "localhost/two:1")
	run("buildah", "push", "localhost/two:1", "docker-archive:buildah.tar:localhost/two:1")
	run("buildah", "push", "localhost/two:1", "oci-archive:buildah-oci.tar")
	run("skopeo", "copy", "docker-archive:podman.tar:localhost/two:1", "docker-archive:skopeo.tar:example.com/x:1")
	run("skopeo", "copy", "docker-archive:podman.tar:localhost/two:1", "oci-archive:skopeo-oci.tar:v1")
	run("skopeo", "copy", "docker-archive:podman.tar:localhost/two:1", "dir:skopeo-dir")
	in := func(name string) string { return filepath.Join(dir, name) }
	base, two, x := "localhost/base:1", "localhost/two:1", "docker.io/library/x:1"
	for _, c := range []struct {
		from, want []string
		// err is a part of the error.
		err string
	}{
		{from: []string{in("podman.tar")}, want: []string{base, two}},
		{from: []string{in("podman-id.tar")}, err: "@1 (ID " + id[:12] + ")"},
		{from: []string{in("podman-id.tar"), "x:1=" + in("podman-id.tar") + ":@1"}, want: []string{x, base}},
		{from: []string{in("podman-oci.tar")}, want: []string{two}},
		{from: []string{"x:1=" + in("podman-dir")}, want: []string{x}},
		{from: []string{in("podman-dir")}, err: "has no name"},
		{from: []string{in("podman-ocidir")}, want: []string{two}},
		{from: []string{in("buildah.tar")}, want: []string{two}},
		{from: []string{in("buildah-oci.tar")}, err: "has no name"},
		{from: []string{"x:1=" + in("buildah-oci.tar")}, want: []string{x}},
		{from: []string{in("skopeo.tar")}, want: []string{"example.com/x:1"}},
		{from: []string{in("skopeo-oci.tar")}, err: "REF=" + in("skopeo-oci.tar")},
		{from: []string{"x:1=" + in("skopeo-oci.tar")}, want: []string{x}},
		{from: []string{"x:1=" + in("skopeo-dir")}, want: []string{x}},
	} {
		opts := newFakeMirror(t).imagesOnly(t)
		opts.From = c.from
		contents, err := Create(t.Context(), opts, nil)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v: error %v, want one with %q", c.from, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", c.from, err)
			continue
		}
		var refs []string
		for _, i := range contents.Images {
			refs = append(refs, i.Ref)
			if want := map[bool]int{true: 3, false: 4}[i.Ref == base]; len(i.Blobs) != want {
				t.Errorf("%v: %s has %d blobs, want %d", c.from, i.Ref, len(i.Blobs), want)
			}
		}
		if !slices.Equal(refs, c.want) {
			t.Errorf("%v: %v, want %v", c.from, refs, c.want)
		}
	}
}

// TestCosignsLayout: signatures are no images.
func TestCosignsLayout(t *testing.T) {
	for kind, image := range map[string]bool{"image": true, "imageIndex": true, "sigs": false, "atts": false, "sboms": false} {
		d := ocispec.Descriptor{Annotations: map[string]string{"kind": "dev.cosignproject.cosign/" + kind}}
		if notAnImage(d) == image {
			t.Errorf("%s: %v", kind, !image)
		}
	}
	if notAnImage(ocispec.Descriptor{Annotations: map[string]string{"kind": "sigs"}}) {
		t.Error("somebody else's kind")
	}
}
