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

// FuzzRead feeds the reader whatever comes: it must not panic, read outside the
// file or accept what it then can't give.
func FuzzRead(f *testing.F) {
	c := Contents{KubernetesVersion: "v1.36.3", EtcdVersion: "v3.6.16", ContainerdVersion: "v2.4.2",
		RuncVersion: "v1.3.3", CNIVersion: "v1.9.1", Arch: "amd64"}
	var out bytes.Buffer
	if err := writeLayout(f.Context(), &out, c, OpenStore(f.TempDir())); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add(out.Bytes()[:700])
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		if _, err := json.Marshal(b.Contents()); err != nil {
			t.Error(err)
		}
		for _, want := range b.Contents().Blobs() {
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
