package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// entry is one file of a tar that is taken apart and put together again.
type entry struct {
	header tar.Header
	data   []byte
}

func untar(t *testing.T, data []byte) (out []entry) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		must(t, err)
		content, err := io.ReadAll(r)
		must(t, err)
		out = append(out, entry{*h, content})
	}
}

func retar(t *testing.T, entries []entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		e.header.Size = int64(len(e.data))
		must(t, w.WriteHeader(&e.header))
		_, err := w.Write(e.data)
		must(t, err)
	}
	must(t, w.Close())
	return out.Bytes()
}

// binaryBlob is the position of a binary's blob among the entries.
func binaryBlob(t *testing.T, entries []entry) int {
	t.Helper()
	data := retar(t, entries)
	b, err := read(bytes.NewReader(data), int64(len(data)))
	must(t, err)
	name := blobPrefix + b.contents.Binaries[0].Blob.Digest.Encoded()
	return slices.IndexFunc(entries, func(e entry) bool { return e.header.Name == name })
}

// resealed is the bundle's tar with other contents, all digests being right.
func resealed(t *testing.T, data []byte, change func(*Contents)) []byte {
	t.Helper()
	b, err := read(bytes.NewReader(data), int64(len(data)))
	must(t, err)
	old, err := seal(b.contents)
	must(t, err)
	c := b.contents
	c.Binaries, c.Images = append([]Binary{}, c.Binaries...), append([]Image{}, c.Images...)
	change(&c)
	docs, err := seal(c)
	must(t, err)
	var out []entry
	for _, e := range untar(t, data) {
		d := digest.NewDigestFromEncoded(digest.SHA256, strings.TrimPrefix(e.header.Name, blobPrefix))
		if _, ok := old.blobs[d]; ok {
			continue
		}
		if e.header.Name == "index.json" {
			e.data = docs.index
		}
		out = append(out, e)
	}
	for d, content := range docs.blobs {
		out = append(out, entry{tar.Header{Typeflag: tar.TypeReg, Name: blobPrefix + d.Encoded(), Mode: 0o644}, content})
	}
	return retar(t, out)
}

// declared is the bundle with one more file that should have that many bytes.
func declared(good []byte, size int64) func(*testing.T) []byte {
	return func(t *testing.T) []byte {
		out := bytes.NewBuffer(slices.Clone(good[:len(good)-1024]))
		w := tar.NewWriter(out)
		must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: blobPrefix + strings.Repeat("0", 64), Size: size, Mode: 0o644}))
		_, err := w.Write(make([]byte, 4096))
		must(t, err)
		// Never closed: the archive ends within the file.
		return out.Bytes()
	}
}

// hugeManifest is a bundle whose own manifest is larger than any.
func hugeManifest(t *testing.T) []byte {
	data := make([]byte, maxManifest+1)
	own := descriptor(ocispec.MediaTypeImageManifest, data)
	own.ArtifactType = ArtifactType
	index, err := json.Marshal(ocispec.Index{Manifests: []ocispec.Descriptor{own}})
	must(t, err)
	file := func(name string, data []byte) entry {
		return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, data}
	}
	return retar(t, []entry{file("oci-layout", []byte("{}")), file("index.json", index), file(blobPrefix+own.Digest.Encoded(), data)})
}

func TestOpenRefuses(t *testing.T) {
	good, err := os.ReadFile(testBundle(t))
	must(t, err)
	entries := func(change func([]entry) []entry) func(*testing.T) []byte {
		return func(t *testing.T) []byte { return retar(t, change(untar(t, good))) }
	}
	contents := func(change func(*Contents)) func(*testing.T) []byte {
		return func(t *testing.T) []byte { return resealed(t, good, change) }
	}
	named := func(name string) func(*testing.T) []byte {
		return entries(func(e []entry) []entry {
			return append(e, entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, []byte("x")})
		})
	}
	for name, c := range map[string]struct {
		make func(*testing.T) []byte
		want error
		text string
	}{
		"empty":       {func(*testing.T) []byte { return nil }, ErrNotBundle, ""},
		"text":        {func(*testing.T) []byte { return []byte(strings.Repeat("no tar\n", 500)) }, ErrNotBundle, ""},
		"cut blob":    {func(*testing.T) []byte { return good[:len(good)*2/3] }, ErrDamaged, ""},
		"cut short":   {func(*testing.T) []byte { return good[:600] }, ErrDamaged, ""},
		"cut between": {entries(func(e []entry) []entry { return e[:len(e)-1] }), ErrDamaged, "is not in it"},
		"other layout": {entries(func(e []entry) []entry {
			e[1].data = []byte(`{"schemaVersion":2,"manifests":[]}`)
			return e
		}), ErrNotBundle, ArtifactType},
		"index no json": {entries(func(e []entry) []entry { e[1].data = []byte("<"); return e }), ErrDamaged, "index.json"},
		"index huge":    {entries(func(e []entry) []entry { e[1].data = make([]byte, maxIndex+1); return e }), ErrDamaged, "bytes are more than"},
		"no index":      {entries(func(e []entry) []entry { return append(e[:1:1], e[2:]...) }), ErrNotBundle, "index.json"},
		"blob shorter": {entries(func(e []entry) []entry {
			at := binaryBlob(t, e)
			e[at].data = e[at].data[1:]
			return e
		}), ErrDamaged, "bytes instead of"},
		"twice": {entries(func(e []entry) []entry { return append(e, e[3]) }), ErrDamaged, "twice"},
		"link": {entries(func(e []entry) []entry {
			return append(e, entry{tar.Header{Typeflag: tar.TypeSymlink, Name: "blobs/x", Linkname: "/etc/passwd"}, nil})
		}), ErrNotBundle, "neither file nor directory"},
		"hard link": {entries(func(e []entry) []entry {
			return append(e, entry{tar.Header{Typeflag: tar.TypeLink, Name: "blobs/x", Linkname: "index.json"}, nil})
		}), ErrNotBundle, "neither file nor directory"},
		"device": {entries(func(e []entry) []entry {
			return append(e, entry{tar.Header{Typeflag: tar.TypeBlock, Name: "blobs/x"}, nil})
		}), ErrNotBundle, "neither file nor directory"},
		"two tebibytes":      {declared(good, 2<<40), ErrDamaged, "the file ends after"},
		"all that there are": {declared(good, 1<<63-1), ErrDamaged, ""},
		"own manifest huge":  {hugeManifest, ErrDamaged, "bytes are more than"},
		"image manifest huge": {contents(func(c *Contents) {
			big := Blob{Digest: c.Images[0].Manifest.Digest, Size: maxManifest + 1}
			c.Images[0].Manifest, c.Images[0].Blobs = big, append([]Blob{big}, c.Images[0].Blobs[1:]...)
		}), ErrDamaged, "can't be"},
		"many layers": {contents(func(c *Contents) {
			c.Images[0].Blobs = append(slices.Clone(c.Images[0].Blobs), slices.Repeat(c.Images[0].Blobs[2:3], maxLayers)...)
		}), ErrDamaged, "layers"},
		"negative layer": {contents(func(c *Contents) {
			c.Images[0].Blobs = slices.Clone(c.Images[0].Blobs)
			c.Images[0].Blobs[2].Size = -1
		}), ErrDamaged, "can't be"},
		"two sizes": {contents(func(c *Contents) {
			c.Images[0].Blobs = slices.Clone(c.Images[0].Blobs)
			c.Images[0].Blobs[2].Size++
		}), ErrDamaged, ""},
		"traversal":  {named("blobs/sha256/../../../etc/passwd"), ErrNotBundle, "name"},
		"up":         {named("../x"), ErrNotBundle, "name"},
		"absolute":   {named("/etc/passwd"), ErrNotBundle, "name"},
		"odd digest": {named("blobs/sha256/ABC"), ErrDamaged, "digest"},
		"path":       {contents(func(c *Contents) { c.Binaries[0].Path = "/etc/cron.d/x" }), ErrDamaged, "/etc/cron.d/x"},
		"mode":       {contents(func(c *Contents) { c.Binaries[0].Mode = 0o4755 }), ErrDamaged, "4755"},
		"name":       {contents(func(c *Contents) { c.Binaries[0].Name = "../x" }), ErrDamaged, "not a name"},
		"two paths":  {contents(func(c *Contents) { c.Binaries[1] = c.Binaries[0] }), ErrDamaged, "twice"},
		"two images": {contents(func(c *Contents) { c.Images[1] = c.Images[0] }), ErrDamaged, "twice"},
		"size":       {contents(func(c *Contents) { c.Binaries[0].Blob.Size = 1 << 60 }), ErrDamaged, "can't be"},
		"negative":   {contents(func(c *Contents) { c.Binaries[0].Size = -1 }), ErrDamaged, "can't be"},
		"version":    {contents(func(c *Contents) { c.KubernetesVersion = "$(reboot)" }), ErrDamaged, "not a version"},
		"algorithm":  {contents(func(c *Contents) { c.Binaries[0].Blob.Digest = "md5:00" }), ErrDamaged, "md5"},
		"role":       {contents(func(c *Contents) { c.Binaries[0].For = []v1alpha1.Role{"king"} }), ErrDamaged, "king"},
		"ref":        {contents(func(c *Contents) { c.Images[0].Ref = "pause" }), ErrDamaged, "full reference"},
	} {
		t.Run(name, func(t *testing.T) {
			data := c.make(t)
			_, err := read(bytes.NewReader(data), int64(len(data)))
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want %v with %q", err, c.want, c.text)
			}
		})
	}
}

func TestVerifyFindsWhatOpenDoesNot(t *testing.T) {
	path := testBundle(t)
	good, err := os.ReadFile(path)
	must(t, err)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"flipped bit": {func() []byte {
			e := untar(t, good)
			e[binaryBlob(t, e)].data[7] ^= 1
			return retar(t, e)
		}(), "has become"},
		"wrong binary":   {resealed(t, good, func(c *Contents) { c.Binaries[0].SHA256 = c.Binaries[1].SHA256 }), "unpacks to"},
		"longer binary":  {resealed(t, good, func(c *Contents) { c.Binaries[0].Size++ }), "shorter"},
		"shorter binary": {resealed(t, good, func(c *Contents) { c.Binaries[0].Size-- }), "longer"},
		"layer left out": {resealed(t, good, func(c *Contents) { c.Images[0].Blobs = c.Images[0].Blobs[:3] }), "not among its blobs"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "b.tar")
			must(t, os.WriteFile(path, c.data, 0o600))
			b, err := Open(path)
			must(t, err)
			defer func() { must(t, b.Close()) }()
			err = b.Verify(t.Context(), nil)
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	b, err := Open(path)
	must(t, err)
	defer func() { must(t, b.Close()) }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Verify(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Verify: %v", err)
	}
	if _, _, err := b.Blob(t.Context(), digest.FromString("none")); !errors.Is(err, ErrMissing) {
		t.Errorf("a blob that is not there: %v", err)
	}
}

func TestOpenNoFile(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// seeds are small bundles: one with everything, for two architectures, and the
// difference to it, whose blobs are a few bytes each.
func seeds(f *testing.F) (out [][]byte) {
	f.Helper()
	store := OpenStore(f.TempDir())
	put := func(data string, mediaType string) Blob {
		b := Blob{Digest: digest.FromString(data), Size: int64(len(data)), MediaType: mediaType}
		if err := store.Put(f.Context(), b, strings.NewReader(data)); err != nil {
			f.Fatal(err)
		}
		return b
	}
	config, layer := put(`{"os":"linux"}`, ocispec.MediaTypeImageConfig), put("layer", ocispec.MediaTypeImageLayer)
	own, err := json.Marshal(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: describe(config), Layers: []ocispec.Descriptor{describe(layer)}})
	if err != nil {
		f.Fatal(err)
	}
	manifest := put(string(own), ocispec.MediaTypeImageManifest)
	packed, err := store.putUnknown(func(w io.Writer) error { return compress(w, strings.NewReader("program")) })
	if err != nil {
		f.Fatal(err)
	}
	c := Contents{KubernetesVersion: "v1.36.3", EtcdVersion: "v3.6.16", ContainerdVersion: "v2.4.2",
		RuncVersion: "v1.3.3", CNIVersion: "v1.9.1", Platforms: []string{"amd64", "arm64"},
		Binaries: []Binary{{Name: "kubelet", Component: ComponentKubernetes, Path: "/usr/local/bin/kubelet", Mode: 0o755, Arch: "amd64",
			Blob: packed, SHA256: digest.FromString("program").Encoded(), Size: 7, For: nodeRoles()}},
		Images: []Image{{Ref: "example.com/a:v1", Arch: "arm64", Manifest: manifest, Blobs: []Blob{manifest, config, layer}, For: nodeRoles()}}}
	difference := c
	difference.Since = &Since{Bundle: manifest.Digest, Blobs: []digest.Digest{layer.Digest}}
	images := Contents{Arch: "arm64", Images: []Image{c.Images[0]}}
	images.Images[0].Arch = ""
	for _, c := range []Contents{c, difference, images} {
		var data bytes.Buffer
		if err := writeLayout(f.Context(), &data, c, nil, store); err != nil {
			f.Fatal(err)
		}
		b, err := read(bytes.NewReader(data.Bytes()), int64(data.Len()))
		if err == nil {
			err = b.Verify(f.Context(), nil)
		}
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, data.Bytes())
	}
	return out
}

// FuzzOpen feeds the reader whatever comes: it must not panic, read outside the
// file or accept what it then can't give.
func FuzzOpen(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
		f.Add(seed[:len(seed)/2])
	}
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, out := range []any{b.Contents(), b.Contents().ForArch("amd64"), b.SBOM(testTime), Diff(b.Contents(), Contents{})} {
			if _, err := json.Marshal(out); err != nil {
				t.Error(err)
			}
		}
		missing := b.Missing()
		if len(missing) > 0 && b.Contents().Since == nil {
			t.Error("a bundle that says that it is whole lacks something")
		}
		for _, want := range b.Contents().Blobs() {
			if slices.Contains(missing, want) {
				continue
			}
			r, size, err := b.Blob(t.Context(), want.Digest)
			must(t, err)
			content, err := io.ReadAll(r)
			must(t, err)
			if int64(len(content)) != size || size != want.Size {
				t.Errorf("blob %s has %d bytes, %d announced, %d promised", want.Digest, len(content), size, want.Size)
			}
		}
		// Whatever it says, it ends.
		_ = b.Verify(t.Context(), nil)
	})
}

// FuzzContents feeds the reader any contents within a bundle that is otherwise
// right: what it accepts must hold together.
func FuzzContents(f *testing.F) {
	all := seeds(f)
	for _, seed := range all {
		b, err := read(bytes.NewReader(seed), int64(len(seed)))
		if err != nil {
			f.Fatal(err)
		}
		text, err := json.Marshal(b.Contents())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, contents []byte) {
		config := descriptor(MediaTypeContents, contents)
		artifact, err := json.Marshal(ocispec.Manifest{ArtifactType: ArtifactType, Config: config})
		must(t, err)
		own := descriptor(ocispec.MediaTypeImageManifest, artifact)
		own.ArtifactType = ArtifactType
		index, err := json.Marshal(ocispec.Index{Manifests: []ocispec.Descriptor{own}})
		must(t, err)
		entries := untar(t, all[0])
		entries[1].data = index
		for d, data := range map[digest.Digest][]byte{own.Digest: artifact, config.Digest: contents} {
			name := blobPrefix + d.Encoded()
			if !slices.ContainsFunc(entries, func(e entry) bool { return e.header.Name == name }) {
				entries = append(entries, entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, data})
			}
		}
		data := retar(t, entries)
		b, err := read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		c := b.Contents()
		if len(c.Archs()) == 0 {
			t.Error("it is for no architecture")
		}
		if n := c.Size(); n < 0 || SizeOf(c.LeftOut()) > n {
			t.Errorf("%d bytes, %d left out", n, SizeOf(c.LeftOut()))
		}
		var entriesOfParts int
		for _, arch := range c.Archs() {
			part := c.ForArch(arch)
			entriesOfParts += len(part.Images) + len(part.Binaries)
			for _, bin := range part.Binaries {
				if !strings.HasPrefix(bin.Path, "/usr/local/bin/") && !strings.HasPrefix(bin.Path, "/opt/cni/bin/") || strings.Contains(bin.Path, "..") {
					t.Errorf("a binary at %s", bin.Path)
				}
			}
		}
		if entriesOfParts != len(c.Images)+len(c.Binaries) {
			t.Errorf("%d entries in the parts, %d in the whole", entriesOfParts, len(c.Images)+len(c.Binaries))
		}
		_ = b.SBOM(testTime)
		// Whatever it says, it ends.
		_ = b.Verify(t.Context(), nil)
	})
}
