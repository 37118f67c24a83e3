package bundle

import (
	"archive/tar"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// layersOf makes a bundle of one image and tells the paths of its layers.
func layersOf(t *testing.T, m *fakeMirror, ref, repository string) (layers []string) {
	t.Helper()
	c := created(t, m.imagesOnly(t, ref))
	for _, b := range c.Images[0].Blobs[2:] {
		layers = append(layers, "/v2/"+repository+"/blobs/"+b.Digest.String())
	}
	return layers
}

// A run that is killed while it pulls leaves the layers that came; the next one
// pulls the others only.
func TestPullResumes(t *testing.T) {
	m := newFakeMirror(t)
	m.push("quay.io/a/b:v1", "amd64")
	layers := layersOf(t, m, "quay.io/a/b:v1", "quay.io/a/b")
	opts := m.imagesOnly(t, "quay.io/a/b:v1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := filepath.Join(opts.Output+".work/blobs/sha256", layers[0][strings.LastIndex(layers[0], ":")+1:])
	m.hook(layers[1], func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		// Once the other layer is on disk.
		if !poll.Until(time.Minute, func() bool { return sizeOf(first) > 0 }) {
			t.Error("the first layer never came to disk")
		}
		cancel()
		<-r.Context().Done()
		return true
	})
	if _, err := Create(ctx, opts, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Stat(opts.Output); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("there is something under the bundle's name: %v", err)
	}
	m.hook(layers[1], nil)
	had, lacked := m.count(layers[0]), m.count(layers[1])
	_, err := Create(t.Context(), opts, nil)
	must(t, err)
	if got := m.count(layers[0]); got != had {
		t.Errorf("the layer that was there was asked for %d times more", got-had)
	}
	if got := m.count(layers[1]); got != lacked+1 {
		t.Errorf("the layer that was lacking was asked for %d times", got-lacked)
	}
}

// What is broken in the work directory is pulled again.
func TestPullMendsTheWorkDirectory(t *testing.T) {
	m := newFakeMirror(t)
	m.push("quay.io/a/b:v1", "amd64")
	opts := m.imagesOnly(t, "quay.io/a/b:v1")
	opts.WorkDir = t.TempDir()
	c := created(t, opts)
	for _, b := range c.Images[0].Blobs {
		path := OpenStore(opts.WorkDir).Path(b.Digest)
		data, err := os.ReadFile(path)
		must(t, err)
		data[len(data)/2] ^= 1
		must(t, os.WriteFile(path, data, 0o600))
	}
	created(t, opts)
}

func TestPullRetries(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		again  bool
	}{
		"unavailable": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }, true},
		"bad gateway": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }, true},
		"too many requests": {func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}, true},
		"broken off":    {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, true},
		"not found":     {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, false},
		"forbidden":     {func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }, false},
		"other content": {func(w http.ResponseWriter) { _, _ = io.WriteString(w, strings.Repeat("x", 1<<20)) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newFakeMirror(t)
			m.push("quay.io/a/b:v1", "amd64")
			layers := layersOf(t, m, "quay.io/a/b:v1", "quay.io/a/b")
			before, failures := m.count(layers[1]), 0
			m.hook(layers[1], func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
				if failures++; failures > 2 {
					return false
				}
				c.answer(w)
				return true
			})
			_, err := Create(t.Context(), m.imagesOnly(t, "quay.io/a/b:v1"), nil)
			if (err == nil) != c.again {
				t.Errorf("error %v", err)
			}
			if n := m.count(layers[1]) - before; !c.again && n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestPullWithAuthFile(t *testing.T) {
	m := newFakeMirror(t)
	m.push("quay.io/a/b:v1", "amd64")
	m.hook("/v2/", func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if user, password, ok := r.BasicAuth(); ok && user == "me" && password == "secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	var seen []string
	m.hook("/v2/quay.io/a/b/manifests/v1", func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		user, _, _ := r.BasicAuth()
		seen = append(seen, user)
		return false
	})
	opts := m.imagesOnly(t, "quay.io/a/b:v1")
	opts.AuthFile = filepath.Join(t.TempDir(), "auth.json")
	login := base64.StdEncoding.EncodeToString([]byte("me:secret"))
	must(t, os.WriteFile(opts.AuthFile, []byte(`{"auths": {"`+m.host()+`": {"auth": "`+login+`"}}}`), 0o600))
	_, err := Create(t.Context(), opts, nil)
	must(t, err)
	if len(seen) == 0 || seen[0] != "me" {
		t.Errorf("the manifest was asked for by %q", seen)
	}
}

func TestSignaturePolicy(t *testing.T) {
	m := newFakeMirror(t)
	m.push("quay.io/a/b:v1", "amd64")
	f := m.localFiles(t)
	policy := filepath.Join(t.TempDir(), "policy.json")
	must(t, os.WriteFile(policy, []byte(`{"default": [{"type": "reject"}],
		"transports": {"oci": {"": [{"type": "insecureAcceptAnything"}]}}}`), 0o600))
	opts := m.imagesOnly(t, "quay.io/a/b:v1")
	opts.SignaturePolicy = policy
	if _, err := Create(t.Context(), opts, nil); err == nil || !strings.Contains(err.Error(), "signature policy") {
		t.Errorf("error %v", err)
	}
	opts = m.imagesOnly(t)
	opts.SignaturePolicy, opts.From = policy, []string{f.oci}
	_, err := Create(t.Context(), opts, nil)
	must(t, err)
	opts.From = []string{f.docker}
	if _, err := Create(t.Context(), opts, nil); err == nil || !strings.Contains(err.Error(), "signature policy") {
		t.Errorf("a file that the policy does not allow: %v", err)
	}
	opts.SignaturePolicy = policy + ".none"
	if _, err := Create(t.Context(), opts, nil); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("no policy: %v", err)
	}
}

// zeros are endless.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// hugeArchive writes an OCI archive with a layer of that size.
func hugeArchive(t *testing.T, path string, size int64) {
	t.Helper()
	layer, err := digest.SHA256.FromReader(io.LimitReader(zeros{}, size))
	must(t, err)
	config := []byte(`{"os": "linux", "architecture": "amd64"}`)
	manifest, err := json.Marshal(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: descriptor(ocispec.MediaTypeImageConfig, config),
		Layers: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: layer, Size: size}}})
	must(t, err)
	own := descriptor(ocispec.MediaTypeImageManifest, manifest)
	own.Annotations = map[string]string{ocispec.AnnotationRefName: "example.com/huge:v1"}
	index, err := json.Marshal(ocispec.Index{Manifests: []ocispec.Descriptor{own}})
	must(t, err)
	f, err := os.Create(path)
	must(t, err)
	w := tar.NewWriter(f)
	for name, data := range map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion": "1.0.0"}`), "index.json": index,
		blobPrefix + digest.FromBytes(config).Encoded(): config, blobPrefix + own.Digest.Encoded(): manifest} {
		must(t, writeEntry(w, name, int64(len(data)), strings.NewReader(string(data))))
	}
	must(t, writeEntry(w, blobPrefix+layer.Encoded(), size, io.LimitReader(zeros{}, size)))
	must(t, w.Close())
	must(t, f.Close())
}

// Layers pass through; they are never held. All that is ever allocated is less
// than a part of the layer.
func TestLayersLargerThanMemory(t *testing.T) {
	const size = 128 << 20
	m := newFakeMirror(t)
	archive := filepath.Join(t.TempDir(), "huge.tar")
	hugeArchive(t, archive, size)
	opts := m.imagesOnly(t)
	opts.From = []string{archive}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Create(t.Context(), opts, nil)
	must(t, err)
	b, err := Open(opts.Output)
	must(t, err)
	must(t, b.Verify(t.Context(), nil))
	must(t, b.Close())
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > size/4 {
		t.Errorf("%d MiB were allocated for a layer of %d MiB", got>>20, size>>20)
	}
}
