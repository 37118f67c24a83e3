package ctrd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/test/ctrdtest"
)

// daemon starts a containerd for the test.
func daemon(t *testing.T) (socket string) {
	t.Helper()
	return ctrdtest.Daemon(t)
}

// connected is a client for looking at what was done.
func connected(t *testing.T, socket string) (context.Context, *containerd.Client) {
	t.Helper()
	client, err := containerd.New(socket)
	must(t, err)
	t.Cleanup(func() { must(t, client.Close()) })
	return namespaces.WithNamespace(t.Context(), Namespace), client
}

// image makes an image with a layer that all share and one of its own.
func image(t *testing.T, store *bundle.Store, ref string) bundle.Image {
	t.Helper()
	return ctrdtest.Image(t, store, ref)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestImportImages(t *testing.T) {
	socket := daemon(t)
	store := bundle.OpenStore(t.TempDir())
	var list []bundle.Image
	for n := range 6 {
		list = append(list, image(t, store, fmt.Sprintf("registry.k8s.io/image-%d:v1", n)))
	}
	opts := ImportOptions{Pinned: []string{list[0].Ref}, Labels: map[string]string{"kubectl-ha.dev/bundle": "x"}}
	n, err := ImportImages(t.Context(), socket, list, store, opts, nil)
	must(t, err)
	if n != len(list) {
		t.Errorf("%d imported, want %d", n, len(list))
	}
	ctx, client := connected(t, socket)
	for _, want := range list {
		checkImported(ctx, t, client, want)
	}
	for _, name := range []string{list[0].Ref, byDigest(list[0]), list[0].Blobs[1].Digest.String()} {
		if got, err := client.GetImage(ctx, name); err != nil || got.Labels()[labelPinned] != labelPinnedValue {
			t.Errorf("image 0 is not pinned as %s: %v %v", name, got, err)
		}
	}
	if got, err := client.GetImage(ctx, list[1].Ref); err != nil || got.Labels()[labelPinned] != "" ||
		got.Labels()["kubectl-ha.dev/bundle"] != "x" {
		t.Errorf("image 1 has the wrong labels: %v %v", got, err)
	}

	n, err = ImportImages(t.Context(), socket, list, bundle.OpenStore(t.TempDir()), opts, nil)
	if err != nil || n != 0 {
		t.Errorf("a second import, of an empty store, did %d and failed with %v", n, err)
	}
	listed, err := ListImages(t.Context(), socket)
	must(t, err)
	if len(listed) != 3*len(list) || listed[list[2].Ref] != list[2].Manifest.Digest {
		t.Errorf("listed %v", listed)
	}
}

// checkImported collects garbage and then uses the image in full.
func checkImported(ctx context.Context, t *testing.T, client *containerd.Client, want bundle.Image) {
	t.Helper()
	collect(ctx, t, client)
	got, err := client.GetImage(ctx, want.Ref)
	must(t, err)
	if got.Target().Digest != want.Manifest.Digest {
		t.Errorf("%s is %s, want %s", want.Ref, got.Target().Digest, want.Manifest.Digest)
	}
	if ok, err := got.IsUnpacked(ctx, DefaultSnapshotter); !ok || err != nil {
		t.Errorf("%s is not unpacked: %v", want.Ref, err)
	}
	for _, name := range []string{want.Ref, byDigest(want), want.Blobs[1].Digest.String()} {
		got, err := client.GetImage(ctx, name)
		if err != nil || got.Target().Digest != want.Manifest.Digest || got.Labels()[labelManaged] != labelManagedValue {
			t.Errorf("%s: not named %s as CRI does: %v", want.Ref, name, err)
		}
	}
	for _, b := range want.Blobs {
		if _, err := content.ReadBlob(ctx, client.ContentStore(), descriptor(b)); err != nil {
			t.Errorf("%s: %v", want.Ref, err)
		}
	}
}

// byDigest is the reference of an image by its manifest.
func byDigest(i bundle.Image) string { return repositoryOf(i.Ref) + "@" + i.Manifest.Digest.String() }

// collect makes the daemon collect garbage now: a lease that is deleted in sync.
func collect(ctx context.Context, t *testing.T, client *containerd.Client) {
	t.Helper()
	l, err := client.LeasesService().Create(ctx, leases.WithRandomID())
	must(t, err)
	must(t, client.LeasesService().Delete(ctx, l, leases.SynchronousDelete))
}

// An image whose content changed under the same name is replaced, and one that
// can't be read leaves no name behind.
func TestImportImagesReplacesAndRefuses(t *testing.T) {
	socket := daemon(t)
	store := bundle.OpenStore(t.TempDir())
	const ref = "registry.k8s.io/pause:3"
	first, second := image(t, store, "one"), image(t, store, "two")
	first.Ref, second.Ref = ref, ref
	for _, i := range []bundle.Image{first, second} {
		n, err := ImportImages(t.Context(), socket, []bundle.Image{i}, store, ImportOptions{}, nil)
		if n != 1 || err != nil {
			t.Fatalf("imported %d: %v", n, err)
		}
	}
	ctx, client := connected(t, socket)
	checkImported(ctx, t, client, second)

	pinned := ImportOptions{Pinned: []string{ref}}
	if n, err := ImportImages(t.Context(), socket, []bundle.Image{second}, store, pinned, nil); n != 1 || err != nil {
		t.Errorf("pinning later did %d: %v", n, err)
	}
	if got, err := client.GetImage(ctx, ref); err != nil || got.Labels()[labelPinned] != labelPinnedValue {
		t.Errorf("it is not pinned: %v", err)
	}

	missing, changed := image(t, store, "missing"), image(t, store, "changed")
	must(t, store.Remove(missing.Blobs[3].Digest))
	must(t, os.WriteFile(store.Path(changed.Blobs[3].Digest), bytes.Repeat([]byte("x"), int(changed.Blobs[3].Size)), 0o600))
	for _, i := range []bundle.Image{missing, changed} {
		if _, err := ImportImages(t.Context(), socket, []bundle.Image{i}, store, ImportOptions{}, nil); err == nil ||
			!strings.Contains(err.Error(), i.Ref) {
			t.Errorf("%s: error %v", i.Ref, err)
		}
		if _, err := client.GetImage(ctx, i.Ref); err == nil {
			t.Errorf("%s has a name although it is not complete", i.Ref)
		}
	}
	// With the content put right, the next try succeeds.
	again := image(t, store, "changed")
	if n, err := ImportImages(t.Context(), socket, []bundle.Image{again}, store, ImportOptions{}, nil); n != 1 || err != nil {
		t.Errorf("a second try did %d: %v", n, err)
	}
	left, err := client.LeasesService().List(ctx)
	if err != nil || len(left) != 0 {
		t.Errorf("leases left: %v %v", left, err)
	}
}

func TestImportAgentImage(t *testing.T) {
	socket := daemon(t)
	const ref = bundle.AgentRepository + ":test"
	binary := filepath.Join(t.TempDir(), "kubectl-ha")
	must(t, os.WriteFile(binary, bytes.Repeat([]byte("agent"), 1<<20), 0o755))
	for n, want := range []bool{true, false} {
		did, err := ImportAgentImage(t.Context(), socket, ref, binary, map[string]string{"a": "b"})
		if did != want || err != nil {
			t.Fatalf("import %d: %v %v", n, did, err)
		}
	}
	ctx, client := connected(t, socket)
	collect(ctx, t, client)
	got, err := client.GetImage(ctx, ref)
	must(t, err)
	if got.Labels()[labelPinned] != labelPinnedValue || got.Labels()["a"] != "b" {
		t.Errorf("labels %v", got.Labels())
	}
	spec, err := got.Spec(ctx)
	if err != nil || len(spec.Config.Entrypoint) != 1 || spec.Config.Entrypoint[0] != "/kubectl-ha" {
		t.Errorf("config %v: %v", spec.Config, err)
	}
	if ok, err := got.IsUnpacked(ctx, DefaultSnapshotter); !ok || err != nil {
		t.Errorf("not unpacked: %v", err)
	}
	must(t, os.WriteFile(binary, []byte("newer"), 0o755))
	if did, err := ImportAgentImage(t.Context(), socket, ref, binary, nil); !did || err != nil {
		t.Errorf("a newer agent: %v %v", did, err)
	}
}

// An agent that was pushed is the very one that is imported where it runs, so that pods
// may name it by the digest that is known before. Who moves its tag changes nothing about
// that, and the next import takes the tag back.
func TestImportAgentImageAfterPush(t *testing.T) {
	socket := daemon(t)
	const ref = bundle.AgentRepository + ":test"
	binary := filepath.Join(t.TempDir(), "kubectl-ha")
	agent := bytes.Repeat([]byte("agent"), 1<<20)
	must(t, os.WriteFile(binary, agent, 0o755))
	pushed, source, err := bundle.AgentImage(t.Context(), ref, binary, runtime.GOARCH)
	must(t, err)
	store := bundle.OpenStore(t.TempDir())
	foreign := image(t, store, "foreign")
	foreign.Ref = ref
	ctx, client := connected(t, socket)
	for _, tc := range []struct {
		name    string
		moved   bool
		content string
		want    bool
	}{
		{name: "pushed"},
		{name: "its tag was moved", moved: true, want: true},
		{name: "another agent", content: "newer", want: true},
	} {
		_, err := ImportImages(t.Context(), socket, []bundle.Image{pushed}, source, ImportOptions{Pinned: []string{ref}}, nil)
		must(t, err)
		if tc.moved {
			_, err := ImportImages(t.Context(), socket, []bundle.Image{foreign}, store, ImportOptions{}, nil)
			must(t, err)
		}
		if got, err := client.GetImage(ctx, byDigest(pushed)); err != nil || got.Target().Digest != pushed.Manifest.Digest || got.Labels()[labelPinned] != labelPinnedValue {
			t.Errorf("%s: by its digest it is %v, %v", tc.name, got, err)
		}
		want := pushed.Manifest.Digest
		if tc.content != "" {
			must(t, os.WriteFile(binary, []byte(tc.content), 0o755))
			newer, _, err := bundle.AgentImage(t.Context(), ref, binary, runtime.GOARCH)
			must(t, err)
			want = newer.Manifest.Digest
		}
		if did, err := ImportAgentImage(t.Context(), socket, ref, binary, nil); did != tc.want || err != nil {
			t.Errorf("%s: imported %v, want %v: %v", tc.name, did, tc.want, err)
		}
		if got, err := client.GetImage(ctx, ref); err != nil || got.Target().Digest != want {
			t.Errorf("%s: under its tag is %v, %v, want %s", tc.name, got, err, want)
		}
		must(t, os.WriteFile(binary, agent, 0o755))
	}
}

// An agent of an earlier version pins the name that it knows. An image is pinned when any
// of its names is, so that it also keeps what is pushed with another name beside that one.
func TestPinByTheFormerName(t *testing.T) {
	socket := daemon(t)
	const former, ref = bundle.FormerAgentRepository + ":test", bundle.AgentRepository + ":test"
	binary := filepath.Join(t.TempDir(), "kubectl-ha")
	must(t, os.WriteFile(binary, []byte("agent"), 0o755))
	one, source, err := bundle.AgentImage(t.Context(), ref, binary, runtime.GOARCH)
	must(t, err)
	other := one
	other.Ref = former
	_, err = ImportImages(t.Context(), socket, []bundle.Image{other, one}, source, ImportOptions{Pinned: []string{former}}, nil)
	must(t, err)
	ctx, client := connected(t, socket)
	if got, err := client.GetImage(ctx, one.Blobs[1].Digest.String()); err != nil || got.Labels()[labelPinned] != labelPinnedValue {
		t.Errorf("the image's own name is not pinned: %v, %v", got, err)
	}
	for _, name := range []string{ref, byDigest(one), former} {
		if got, err := client.GetImage(ctx, name); err != nil || got.Target().Digest != one.Manifest.Digest {
			t.Errorf("%s is %v, %v", name, got, err)
		}
	}
}

// One that was pushed without a pin might be collected.
func TestImportAgentImageUnpinned(t *testing.T) {
	socket := daemon(t)
	const ref = bundle.AgentRepository + ":test"
	binary := filepath.Join(t.TempDir(), "kubectl-ha")
	must(t, os.WriteFile(binary, []byte("agent"), 0o755))
	image, source, err := bundle.AgentImage(t.Context(), ref, binary, runtime.GOARCH)
	must(t, err)
	_, err = ImportImages(t.Context(), socket, []bundle.Image{image}, source, ImportOptions{}, nil)
	must(t, err)
	if did, err := ImportAgentImage(t.Context(), socket, ref, binary, nil); !did || err != nil {
		t.Errorf("imported %v: %v", did, err)
	}
}

// The test's daemon has no CRI plugin.
func TestCheckCRI(t *testing.T) {
	socket := daemon(t)
	var broken *BrokenError
	if err := CheckCRI(t.Context(), socket); !errors.As(err, &broken) || broken.Reason != "" {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := CheckCRI(ctx, socket+"-that-is-none"); err == nil || errors.As(err, &broken) {
		t.Errorf("a daemon that does not answer: %v", err)
	}
}
