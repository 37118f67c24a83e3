// Package ctrdtest runs a real containerd for tests, and makes images to put
// into it. The program is named by the environment, CONTAINERD; tests are
// skipped without. It needs root.
package ctrdtest

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// startTimeout bounds a daemon's start on a busy machine.
const startTimeout = time.Minute

// Daemon starts a containerd without its CRI plugin, with everything it has in a
// directory of its own, and ends it with the test.
func Daemon(t testing.TB) (socket string) {
	t.Helper()
	return daemon(t, "version = 3\ndisabled_plugins = [\"io.containerd.cri.v1.runtime\", \"io.containerd.cri.v1.images\", \"io.containerd.grpc.v1.cri\"]\n")
}

// WithCRI is Daemon with the CRI plugin, which reads how to ask registries from certsDir.
func WithCRI(t testing.TB, certsDir string) (socket string) {
	t.Helper()
	return daemon(t, "version = 3\n[plugins.\"io.containerd.grpc.v1.cri\"]\ndisable_tcp_service = true\n"+
		"[plugins.\"io.containerd.cri.v1.images\".registry]\nconfig_path = \""+certsDir+"\"\n")
}

func daemon(t testing.TB, configuration string) (socket string) {
	t.Helper()
	program := os.Getenv("CONTAINERD")
	if program == "" {
		t.Skip("CONTAINERD names no containerd to test with")
	}
	dir, err := os.MkdirTemp("", "ctrd")
	must(t, err)
	socket = filepath.Join(dir, "c.sock")
	config := filepath.Join(dir, "config.toml")
	must(t, os.WriteFile(config, []byte(configuration), 0o600))
	log, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	cmd := exec.Command(program, "--config", config, "--root", filepath.Join(dir, "root"),
		"--state", filepath.Join(dir, "state"), "--address", socket)
	cmd.Stdout, cmd.Stderr = log, log
	must(t, cmd.Start())
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // It may have ended by itself.
		<-exited
		if t.Failed() {
			text, _ := os.ReadFile(log.Name()) // Only for the message.
			t.Logf("containerd: %s", text[max(0, len(text)-4000):])
		}
		must(t, log.Close())
		must(t, os.RemoveAll(dir))
	})
	for deadline := time.Now().Add(startTimeout); ; {
		err := answers(socket)
		if err == nil {
			return socket
		}
		if time.Now().After(deadline) {
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

func answers(socket string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client, err := containerd.New(socket, containerd.WithTimeout(time.Second))
	if err != nil {
		return err
	}
	_, err = client.Version(ctx)
	if closed := client.Close(); err == nil {
		err = closed
	}
	return err
}

// Image makes an image with a layer that all images share and one of its own,
// which holds the data after the reference.
func Image(t testing.TB, store *bundle.Store, ref string, data ...string) bundle.Image {
	t.Helper()
	var config ocispec.Image
	config.OS, config.Architecture, config.RootFS.Type = "linux", runtime.GOARCH, "layers"
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	out := bundle.Image{Ref: ref}
	var blobs []bundle.Blob
	for i, name := range []string{"shared", ref} {
		content := strings.Repeat(name, 1000)
		if i == 1 {
			content += strings.Join(data, "")
		}
		b := put(t, store, ocispec.MediaTypeImageLayer, layer(t, filepath.Base(name), content))
		blobs = append(blobs, b)
		m.Layers = append(m.Layers, descriptor(b))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, b.Digest)
	}
	encoded, err := json.Marshal(config)
	must(t, err)
	c := put(t, store, ocispec.MediaTypeImageConfig, encoded)
	m.Config = descriptor(c)
	encoded, err = json.Marshal(m)
	must(t, err)
	out.Manifest = put(t, store, ocispec.MediaTypeImageManifest, encoded)
	out.Blobs = append([]bundle.Blob{out.Manifest, c}, blobs...)
	return out
}

// put stores a blob and describes it.
func put(t testing.TB, store *bundle.Store, mediaType string, data []byte) bundle.Blob {
	t.Helper()
	b := bundle.Blob{Digest: digest.FromBytes(data), Size: int64(len(data)), MediaType: mediaType}
	must(t, store.Put(context.Background(), b, bytes.NewReader(data)))
	return b
}

// layer is a tar of one file.
func layer(t testing.TB, name, data string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o644}))
	_, err := w.Write([]byte(data))
	must(t, err)
	must(t, w.Close())
	return out.Bytes()
}

func descriptor(b bundle.Blob) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: b.MediaType, Digest: b.Digest, Size: b.Size}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
