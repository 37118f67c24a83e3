package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const testVersion = "v1.36.3"

// fakeMirror serves files under upstream's paths and a registry. A path that
// nobody put there is an error of the test.
type fakeMirror struct {
	t        *testing.T
	server   *httptest.Server
	mu       sync.Mutex
	files    map[string][]byte
	hooks    map[string]func(w http.ResponseWriter, r *http.Request, data []byte) bool
	requests map[string]int
}

func newFakeMirror(t *testing.T) *fakeMirror {
	t.Helper()
	m := &fakeMirror{t: t, files: map[string][]byte{}, requests: map[string]int{},
		hooks: map[string]func(http.ResponseWriter, *http.Request, []byte) bool{}}
	blobs := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	m.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.requests[r.URL.Path]++
		data, ok := m.files[r.URL.Path]
		hook := m.hooks[r.URL.Path]
		m.mu.Unlock()
		if hook != nil && hook(w, r, data) {
			return
		}
		switch {
		case strings.HasPrefix(r.URL.Path, "/v2/"):
			blobs.ServeHTTP(w, r)
		case ok:
			http.ServeContent(w, r, "", testTime, bytes.NewReader(data))
		default:
			t.Errorf("unexpected request: %s", r.URL.Path)
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(m.server.Close)
	return m
}

func (m *fakeMirror) host() string { return strings.TrimPrefix(m.server.URL, "http://") }

func (m *fakeMirror) hook(path string, f func(w http.ResponseWriter, r *http.Request, data []byte) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hooks[path] = f
}

func (m *fakeMirror) count(path string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests[path]
}

// put serves a file and a list of checksums with it.
func (m *fakeMirror) put(d download, data []byte) {
	sum := sha256.Sum256(data)
	line := hex.EncodeToString(sum[:])
	if d.component != ComponentKubernetes {
		line = fmt.Sprintf("%s  other-file\n%s  %s\n", strings.Repeat("0", 64), line, d.file())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[strings.Replace(d.url, "https:/", "", 1)] = data
	sums := mirrorPath(d.sums)
	if d.component == ComponentEtcd || d.component == ComponentRunc {
		// One list for all architectures.
		line += string(m.files[sums])
	}
	m.files[sums] = []byte(line)
}

// path is where the mirror has an upstream URL.
func mirrorPath(url string) string { return strings.Replace(url, "https:/", "", 1) }

// seed puts everything that a bundle needs, for amd64 unless told otherwise.
func (m *fakeMirror) seed(archs ...string) {
	m.t.Helper()
	if len(archs) == 0 {
		archs = []string{"amd64"}
	}
	kubeadm, err := os.ReadFile("testdata/kubeadm")
	if err != nil {
		m.t.Fatal(err)
	}
	for _, arch := range archs {
		m.seedBinaries(arch, kubeadm)
	}
	for _, repo := range []string{"kube-apiserver:" + testVersion, "kube-controller-manager:" + testVersion,
		"kube-scheduler:" + testVersion, "kube-proxy:" + testVersion, "coredns/coredns:v1.14.2", "pause:3.10.2"} {
		m.push("registry.k8s.io/"+repo, "amd64", "arm64")
	}
}

func (m *fakeMirror) seedBinaries(arch string, kubeadm []byte) {
	for _, d := range catalogue(testVersion, DefaultEtcdVersion, arch) {
		switch {
		case d.name == "kubeadm":
			m.put(d, kubeadm)
		case d.members == nil:
			m.put(d, []byte(arch+" program "+d.name+strings.Repeat(" text", 20000)))
		case d.name == "cni":
			m.put(d, targz(m.t, "./", "", "./bridge", "x", "./loopback", "x", "./LICENSE", "-"))
		default:
			m.put(d, targz(m.t, append(pairs(d.members), "bin/containerd-stress", "x", "README.md", "-")...))
		}
	}
}

func pairs(names []string) (out []string) {
	for _, n := range names {
		out = append(out, n, "x")
	}
	return out
}

// targz makes an archive of name, kind pairs: kind x is executable, "-" is not,
// "" is a directory.
func targz(t *testing.T, pairs ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	for i := 0; i < len(pairs); i += 2 {
		h := &tar.Header{Name: pairs[i], Typeflag: tar.TypeReg, Mode: 0o644}
		data := []byte("content of " + pairs[i])
		switch pairs[i+1] {
		case "x":
			h.Mode = 0o755
		case "":
			h.Typeflag, data = tar.TypeDir, nil
		}
		h.Size = int64(len(data))
		must(t, tw.WriteHeader(h))
		_, err := tw.Write(data)
		must(t, err)
	}
	must(t, tw.Close())
	must(t, zw.Close())
	return out.Bytes()
}

// testImage is a small image with a layer of its own and one that all share, or
// with the layers given.
func testImage(t *testing.T, ref, arch string, layers ...string) v1.Image {
	t.Helper()
	if len(layers) == 0 {
		layers = []string{"shared", ref + arch}
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.DockerManifestSchema2), types.DockerConfigJSON)
	config, err := img.ConfigFile()
	must(t, err)
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	img, err = mutate.ConfigFile(img, config)
	must(t, err)
	for _, content := range layers {
		data := targz(t, content, "-")
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		must(t, err)
		img, err = mutate.AppendLayers(img, layer)
		must(t, err)
	}
	return img
}

// push puts an image into the registry: a manifest list, or with one
// architecture the image alone.
func (m *fakeMirror) push(ref string, archs ...string) {
	m.t.Helper()
	target, err := name.ParseReference(m.host()+"/"+ref, name.Insecure)
	must(m.t, err)
	if len(archs) == 1 {
		must(m.t, remote.Write(target, testImage(m.t, ref, archs[0])))
		return
	}
	index := mutate.IndexMediaType(empty.Index, types.DockerManifestList)
	for _, arch := range archs {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: testImage(m.t, ref, arch),
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	must(m.t, remote.WriteIndex(target, index))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
