package ctrd

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

func TestReferences(t *testing.T) {
	target, config := digest.FromString("manifest"), digest.FromString("config")
	for ref, want := range map[string][]string{
		"registry.k8s.io/a:v1":                 {config.String(), "registry.k8s.io/a@" + target.String(), "registry.k8s.io/a:v1"},
		"registry.k8s.io/a@" + target.String(): {config.String(), "registry.k8s.io/a@" + target.String()},
		"registry.k8s.io/a@" + config.String(): {config.String(), "registry.k8s.io/a@" + target.String(), "registry.k8s.io/a@" + config.String()},
		"localhost:5000/b/c:x":                 {config.String(), "localhost:5000/b/c@" + target.String(), "localhost:5000/b/c:x"},
		"Not A Reference":                      nil,
	} {
		got, err := references(ref, target, config)
		if !slices.Equal(got, want) || (err != nil) != (want == nil) {
			t.Errorf("%s: %v, %v", ref, got, err)
		}
	}
}

func TestCompanions(t *testing.T) {
	one, two := digest.FromString("1"), digest.FromString("2")
	make := func(d digest.Digest, names ...string) (out []images.Image) {
		for _, n := range names {
			out = append(out, images.Image{Name: n, Target: ocispec.Descriptor{Digest: d}})
		}
		return out
	}
	id := digest.FromString("config").String()
	for name, c := range map[string]struct {
		all  []images.Image
		want []string
	}{
		"all of its own":       {make(one, "r/a:1", "r/a@"+one.String(), id), []string{"r/a@" + one.String(), id, "r/a:1"}},
		"another tag":          {make(one, "r/a:1", "r/a:2", "r/a@"+one.String(), id), []string{"r/a:1"}},
		"another repository":   {make(one, "r/a:1", "r/b:1", "r/a@"+one.String(), id), []string{"r/a@" + one.String(), "r/a:1"}},
		"another one's digest": {slices.Concat(make(one, "r/a:1"), make(two, "r/a@"+two.String(), id)), []string{"r/a:1"}},
	} {
		if got := companions(c.all[0], c.all); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestRemoveImages(t *testing.T) {
	socket := daemon(t)
	store := bundle.OpenStore(t.TempDir())
	used, pinned, free := image(t, store, "example.com/used:v1"), image(t, store, "example.com/pinned:v1"), image(t, store, "example.com/free:v1")
	list := []bundle.Image{used, pinned, free}
	if missing, err := Missing(t.Context(), socket, list, ImportOptions{}); err != nil || len(missing) != 3 {
		t.Fatalf("missing before: %v, %v", missing, err)
	}
	_, err := ImportImages(t.Context(), socket, list, store, ImportOptions{Pinned: []string{pinned.Ref}}, nil)
	must(t, err)
	ctx, client := connected(t, socket)
	got, err := client.GetImage(ctx, used.Ref)
	must(t, err)
	// Of its layers alone, as if its image's name had gone to another image since.
	_, err = client.NewContainer(ctx, "c1", containerd.WithSnapshotter(DefaultSnapshotter), containerd.WithNewSnapshot("c1", got),
		containerd.WithContainerLabels(map[string]string{"io.kubernetes.pod.name": "p", "io.kubernetes.pod.namespace": "ns"}))
	must(t, err)
	removed, err := RemoveImages(t.Context(), socket, []string{used.Ref, pinned.Ref, free.Ref, "example.com/none:v1"}, nil)
	must(t, err)
	want := []Removal{{Ref: used.Ref, Kept: "used by pod ns/p"}, {Ref: pinned.Ref, Kept: "it is pinned"}, {Ref: free.Ref, Removed: true}, {Ref: "example.com/none:v1"}}
	if !slices.Equal(removed, want) {
		t.Errorf("removed %+v", removed)
	}
	missing, err := Missing(t.Context(), socket, list, ImportOptions{})
	if err != nil || len(missing) != 1 || missing[0].Ref != free.Ref {
		t.Errorf("missing after: %v, %v", missing, err)
	}
	for _, i := range list[:2] {
		checkImported(ctx, t, client, i)
	}
	listed, err := ListImages(t.Context(), socket)
	must(t, err)
	for name, d := range listed {
		if d == free.Manifest.Digest {
			t.Errorf("%s is left", name)
		}
	}
	checkContent(t, socket, used.Blobs[2], free.Manifest)
}

// TestRemoveImagesLooksAgain: a container that is made while the first image is
// being removed keeps the second.
func TestRemoveImagesLooksAgain(t *testing.T) {
	socket := daemon(t)
	store := bundle.OpenStore(t.TempDir())
	first, second := image(t, store, "example.com/first:v1"), image(t, store, "example.com/second:v1")
	_, err := ImportImages(t.Context(), socket, []bundle.Image{first, second}, store, ImportOptions{}, nil)
	must(t, err)
	ctx, client := connected(t, socket)
	removed, err := removeImages(ctx, client, func(yield func(string) bool) {
		if !yield(first.Ref) {
			return
		}
		got, err := client.GetImage(ctx, second.Ref)
		must(t, err)
		_, err = client.NewContainer(ctx, "late", containerd.WithImage(got))
		must(t, err)
		yield(second.Ref)
	}, nil)
	must(t, err)
	if want := []Removal{{Ref: first.Ref, Removed: true}, {Ref: second.Ref, Kept: "used by container late"}}; !slices.Equal(removed, want) {
		t.Errorf("removed %+v", removed)
	}
}

// TestRemoveUnpinned: a pin of an image's own does not keep it when that was said,
// nor that of its references by digest; one of another name does, and a container.
func TestRemoveUnpinned(t *testing.T) {
	socket := daemon(t)
	store := bundle.OpenStore(t.TempDir())
	old, twin, used := image(t, store, "example.com/pause:3.9"), image(t, store, "example.com/pause:3.8"), image(t, store, "example.com/pause:3.7")
	list := []bundle.Image{old, twin, used}
	_, err := ImportImages(t.Context(), socket, list, store, ImportOptions{Pinned: []string{old.Ref, twin.Ref, used.Ref}}, nil)
	must(t, err)
	ctx, client := connected(t, socket)
	other, err := client.ImageService().Get(ctx, twin.Ref)
	must(t, err)
	other.Name = "example.com/elsewhere/pause:3.8"
	_, err = client.ImageService().Create(ctx, other)
	must(t, err)
	got, err := client.GetImage(ctx, used.Ref)
	must(t, err)
	_, err = client.NewContainer(ctx, "sandbox", containerd.WithSnapshotter(DefaultSnapshotter), containerd.WithNewSnapshot("sandbox", got))
	must(t, err)
	refs := []string{old.Ref, twin.Ref, used.Ref}
	removed, err := RemoveImages(t.Context(), socket, refs, refs)
	must(t, err)
	want := []Removal{{Ref: old.Ref, Removed: true}, {Ref: twin.Ref, Kept: "it is pinned"}, {Ref: used.Ref, Kept: "used by container sandbox"}}
	if !slices.Equal(removed, want) {
		t.Errorf("removed %+v", removed)
	}
	listed, err := ListImages(t.Context(), socket)
	must(t, err)
	for name, d := range listed {
		if d == old.Manifest.Digest {
			t.Errorf("%s is left", name)
		}
	}
}

// checkContent reads what is there, and what is not, as peers do.
func checkContent(t *testing.T, socket string, there, gone bundle.Blob) {
	t.Helper()
	c, err := OpenContent(t.Context(), socket)
	must(t, err)
	defer func() { must(t, c.Close()) }()
	r, err := c.ReaderAt(t.Context(), there.Digest)
	must(t, err)
	data, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	must(t, errors.Join(err, r.Close()))
	if digest.FromBytes(data) != there.Digest {
		t.Errorf("read %d bytes that are something else", len(data))
	}
	if _, err := c.ReaderAt(t.Context(), gone.Digest); !errors.Is(err, bundle.ErrMissing) {
		t.Errorf("what is not there: %v", err)
	}
	blobs, layers, err := Directories(t.Context(), socket)
	if err != nil || !strings.Contains(blobs, "content") || !strings.Contains(layers, "overlayfs") {
		t.Errorf("directories %q, %q, %v", blobs, layers, err)
	}
}

// An agent that was brought under both names goes with both; while one of them is to stay,
// its pin keeps the other.
func TestRemoveImagesOfTwoNames(t *testing.T) {
	socket := daemon(t)
	binary := filepath.Join(t.TempDir(), "kubectl-ha")
	must(t, os.WriteFile(binary, []byte("agent"), 0o755))
	const ref, former = bundle.AgentRepository + ":test", bundle.FormerAgentRepository + ":test"
	one, source, err := bundle.AgentImage(t.Context(), ref, binary, runtime.GOARCH)
	must(t, err)
	both := []bundle.Image{one, one}
	both[1].Ref = former
	_, err = ImportImages(t.Context(), socket, both, source, ImportOptions{Pinned: []string{ref, former}}, nil)
	must(t, err)
	for _, tc := range []struct {
		refs, unpinned []string
		kept           string
		left           int
	}{
		{[]string{ref, former}, nil, "it is pinned", 5},
		{[]string{ref}, []string{ref}, "it is pinned", 5},
		{[]string{ref, former}, []string{ref, former}, "", 0},
	} {
		removed, err := RemoveImages(t.Context(), socket, tc.refs, tc.unpinned)
		must(t, err)
		for _, r := range removed {
			if r.Kept != tc.kept || r.Removed != (tc.kept == "") {
				t.Errorf("%v with %v: %+v", tc.refs, tc.unpinned, r)
			}
		}
		left, err := ListImages(t.Context(), socket)
		if err != nil || len(left) != tc.left {
			t.Errorf("%v with %v: left are %v, %v", tc.refs, tc.unpinned, left, err)
		}
	}
}
