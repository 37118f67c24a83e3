package ctrd

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// daemon starts the containerd that CONTAINERD names, with everything it has in
// a directory of its own. It needs root.
func daemon(t *testing.T) (socket string) {
	t.Helper()
	program := os.Getenv("CONTAINERD")
	if program == "" {
		t.Skip("CONTAINERD names no containerd to test with")
	}
	dir, err := os.MkdirTemp("", "ctrd")
	must(t, err)
	socket = filepath.Join(dir, "c.sock")
	config := filepath.Join(dir, "config.toml")
	must(t, os.WriteFile(config, []byte("version = 3\ndisabled_plugins = [\"io.containerd.cri.v1.runtime\", \"io.containerd.cri.v1.images\", \"io.containerd.grpc.v1.cri\"]\n"), 0o600))
	log, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	cmd := exec.Command(program, "--config", config, "--root", filepath.Join(dir, "root"),
		"--state", filepath.Join(dir, "state"), "--address", socket)
	cmd.Stdout, cmd.Stderr = log, log
	must(t, cmd.Start())
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-exited
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("containerd: %s", text[max(0, len(text)-4000):])
		}
		must(t, log.Close())
		must(t, os.RemoveAll(dir))
	})
	for deadline := time.Now().Add(time.Minute); ; {
		if _, err := ListImages(t.Context(), socket); err == nil {
			return socket
		} else if time.Now().After(deadline) {
			t.Fatalf("containerd does not answer: %v", err)
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("containerd ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// connected is a client for looking at what was done.
func connected(t *testing.T, socket string) (context.Context, *containerd.Client) {
	t.Helper()
	client, err := containerd.New(socket)
	must(t, err)
	t.Cleanup(func() { must(t, client.Close()) })
	return namespaces.WithNamespace(t.Context(), Namespace), client
}

// put stores a blob and describes it.
func put(t *testing.T, store *bundle.Store, mediaType string, data []byte) bundle.Blob {
	t.Helper()
	b := bundle.Blob{Digest: digest.FromBytes(data), Size: int64(len(data)), MediaType: mediaType}
	must(t, store.Put(t.Context(), b, bytes.NewReader(data)))
	return b
}

// layer is a tar of one file.
func layer(t *testing.T, name, data string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o644}))
	_, err := w.Write([]byte(data))
	must(t, err)
	must(t, w.Close())
	return out.Bytes()
}

// image makes an image with a layer that all share and one of its own.
func image(t *testing.T, store *bundle.Store, ref string) bundle.Image {
	t.Helper()
	var config ocispec.Image
	config.OS, config.Architecture, config.RootFS.Type = "linux", runtime.GOARCH, "layers"
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	out := bundle.Image{Ref: ref}
	var blobs []bundle.Blob
	for _, name := range []string{"shared", ref} {
		data := layer(t, filepath.Base(name), strings.Repeat(name, 1000))
		b := put(t, store, ocispec.MediaTypeImageLayer, data)
		blobs = append(blobs, b)
		m.Layers = append(m.Layers, descriptor(b))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, b.Digest)
	}
	data, err := json.Marshal(config)
	must(t, err)
	c := put(t, store, ocispec.MediaTypeImageConfig, data)
	m.Config = descriptor(c)
	data, err = json.Marshal(m)
	must(t, err)
	out.Manifest = put(t, store, ocispec.MediaTypeImageManifest, data)
	out.Blobs = append([]bundle.Blob{out.Manifest, c}, blobs...)
	return out
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
	if got, err := client.GetImage(ctx, list[0].Ref); err != nil || got.Labels()[labelPinned] != labelPinnedValue {
		t.Errorf("image 0 is not pinned: %v %v", got, err)
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
	const ref = "kubectl-ha.dev/agent:test"
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
