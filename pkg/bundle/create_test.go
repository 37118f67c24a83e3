package bundle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

var testTime = time.Unix(1700000000, 0)

// recorder keeps events.
type recorder struct {
	mu     sync.Mutex
	events []report.Event
}

func (r *recorder) Emit(e report.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) steps(kind report.Kind) (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == kind && e.Step != "" {
			out = append(out, e.Step)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (m *fakeMirror) options(t *testing.T) CreateOptions {
	return CreateOptions{KubernetesVersion: testVersion, Mirror: m.server.URL, TrustMirror: true,
		Output: filepath.Join(t.TempDir(), "out", "bundle.tar")}
}

// testBundle makes a bundle and returns its path.
func testBundle(t *testing.T) string {
	t.Helper()
	m := newFakeMirror(t)
	m.seed()
	opts := m.options(t)
	if _, err := Create(t.Context(), opts, nil); err != nil {
		t.Fatal(err)
	}
	return opts.Output
}

func TestCreate(t *testing.T) {
	m := newFakeMirror(t)
	m.seed()
	m.push("docker.io/library/extra:latest", "amd64")
	m.push("ghcr.io/flannel-io/flannel:v0.28.10", "amd64", "arm64")
	m.push("ghcr.io/flannel-io/flannel-cni-plugin:v1.9.0-flannel1", "amd64", "arm64")
	opts := m.options(t)
	opts.ExtraImages = []string{"extra"}
	opts.NetworkPlugin = v1alpha1.NetworkPluginFlannel
	events := &recorder{}
	contents, err := Create(t.Context(), opts, events)
	must(t, err)
	b, err := Open(opts.Output)
	must(t, err)
	t.Cleanup(func() { must(t, b.Close()) })
	must(t, b.Verify(t.Context(), nil))
	must(t, b.Contents().Check(testVersion, "amd64", v1alpha1.NetworkPluginFlannel))

	var refs []string
	for _, i := range b.Contents().Images {
		refs = append(refs, i.Ref)
	}
	want := []string{"docker.io/library/extra:latest", FlannelCNIPluginImage, FlannelImage,
		"registry.k8s.io/coredns/coredns:v1.14.2", "registry.k8s.io/kube-apiserver:v1.36.3",
		"registry.k8s.io/kube-controller-manager:v1.36.3", "registry.k8s.io/kube-proxy:v1.36.3",
		"registry.k8s.io/kube-scheduler:v1.36.3", "registry.k8s.io/pause:3.10.2"}
	if !slices.Equal(refs, want) {
		t.Errorf("images %v, want %v", refs, want)
	}
	var paths []string
	for _, bin := range b.Contents().Binaries {
		paths = append(paths, bin.Path)
	}
	wantPaths := []string{"/opt/cni/bin/bridge", "/opt/cni/bin/loopback", "/usr/local/bin/containerd",
		"/usr/local/bin/containerd-shim-runc-v2", "/usr/local/bin/ctr", "/usr/local/bin/etcd", "/usr/local/bin/etcdctl",
		"/usr/local/bin/etcdutl", "/usr/local/bin/kubeadm", "/usr/local/bin/kubectl", "/usr/local/bin/kubelet", "/usr/local/bin/runc"}
	if !slices.Equal(paths, wantPaths) {
		t.Errorf("binaries %v, want %v", paths, wantPaths)
	}
	if got := contents.PauseImage(); got != "registry.k8s.io/pause:3.10.2" {
		t.Errorf("pause image %q", got)
	}
	started, done := events.steps(report.StepStarted), events.steps(report.StepDone)
	if want := []string{"bundle/binaries", "bundle/images", "bundle/write"}; !slices.Equal(started, want) {
		t.Errorf("started %v, want %v", started, want)
	}
	if len(done) != 7+len(want)+3 {
		t.Errorf("done %v", done)
	}
	if _, err := os.Stat(opts.Output + ".work"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the work directory is still there: %v", err)
	}
	checkBinaryContent(t, b, "etcdctl", "content of etcd-v3.6.16-linux-amd64/etcdctl")
}

func checkBinaryContent(t *testing.T, b *Bundle, name, want string) {
	t.Helper()
	bin, ok := b.Contents().Binary(name)
	if !ok {
		t.Fatalf("no %s", name)
	}
	r, _, err := b.Blob(t.Context(), bin.Blob.Digest)
	must(t, err)
	plain, err := bin.Decompress(r)
	must(t, err)
	got, err := io.ReadAll(plain)
	must(t, err)
	must(t, plain.Close())
	if string(got) != want {
		t.Errorf("%s is %q, want %q", name, got, want)
	}
}

func TestCreateIsReproducible(t *testing.T) {
	m := newFakeMirror(t)
	m.seed()
	var made [][]byte
	for range 2 {
		opts := m.options(t)
		_, err := Create(t.Context(), opts, nil)
		must(t, err)
		data, err := os.ReadFile(opts.Output)
		must(t, err)
		made = append(made, data)
	}
	if !bytes.Equal(made[0], made[1]) {
		t.Error("two bundles of the same inputs differ")
	}
}

// A run that is cut off leaves what it has; the next one does the rest.
func TestCreateResumes(t *testing.T) {
	m := newFakeMirror(t)
	m.seed()
	opts := m.options(t)
	items := catalogue(testVersion, DefaultEtcdVersion, "amd64")
	kubelet := items[2]
	partial := filepath.Join(opts.Output+".work/downloads/ingest", digest.FromBytes(m.files[mirrorPath(kubelet.url)]).Encoded())
	ctx, cancel := context.WithCancel(t.Context())
	m.hook(mirrorPath(kubelet.url), func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		w.Header().Set("Content-Length", "100020")
		_, _ = w.Write(data[:50000])
		w.(http.Flusher).Flush()
		// Once what came is on disk.
		if !poll.Until(time.Minute, func() bool { return sizeOf(partial) >= 50000 }) {
			t.Error("the beginning of the file never came to disk")
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
	var ranges []string
	m.hook(mirrorPath(kubelet.url), func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		ranges = append(ranges, r.Header.Get("Range"))
		return false
	})
	_, err := Create(t.Context(), opts, nil)
	must(t, err)
	if !slices.Equal(ranges, []string{"bytes=50000-"}) {
		t.Errorf("the second run asked for the ranges %v", ranges)
	}
	b, err := Open(opts.Output)
	must(t, err)
	must(t, b.Verify(t.Context(), nil))
	must(t, b.Close())
}

// sizeOf is a file's size, 0 when it is not there.
func sizeOf(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// partialBytes is the size of the largest file in a directory.
func partialBytes(dir string) (largest int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			largest = max(largest, info.Size())
		}
	}
	return largest
}

func TestCreateRetriesReads(t *testing.T) {
	m := newFakeMirror(t)
	m.seed()
	opts := m.options(t)
	runc := mirrorPath(catalogue(testVersion, DefaultEtcdVersion, "amd64")[5].url)
	failures := 0
	m.hook(runc, func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		if failures++; failures > 2 {
			return false
		}
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return true
	})
	if _, err := Create(t.Context(), opts, nil); err != nil {
		t.Fatal(err)
	}
	if n := m.count(runc); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

func TestCreateRefuses(t *testing.T) {
	items := catalogue(testVersion, DefaultEtcdVersion, "amd64")
	answer := func(path, body string) func(*fakeMirror, *CreateOptions) {
		return func(m *fakeMirror, _ *CreateOptions) {
			m.hook(path, func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
				_, _ = io.WriteString(w, body)
				return true
			})
		}
	}
	for name, c := range map[string]struct {
		spoil func(*fakeMirror, *CreateOptions)
		want  string
	}{
		"wrong binary":    {answer(mirrorPath(items[2].url), "something else"), "is not what"},
		"wrong checksum":  {answer(mirrorPath(items[5].sums), strings.Repeat("1", 64)+"  runc.amd64\n"), "is not what"},
		"no checksum":     {answer(mirrorPath(items[5].sums), "abc  other\n"), "no checksum for runc.amd64"},
		"odd checksum":    {answer(mirrorPath(items[0].sums), "<html>"), "not a sha256"},
		"version missing": {func(m *fakeMirror, _ *CreateOptions) { notFound(m, mirrorPath(items[0].sums)) }, "404"},
		"etcd incomplete": {func(m *fakeMirror, _ *CreateOptions) {
			m.put(items[3], targz(m.t, "etcd-v3.6.16-linux-amd64/etcd", "x"))
		}, "etcdctl is not in it"},
		"cni empty":      {func(m *fakeMirror, _ *CreateOptions) { m.put(items[6], targz(m.t, "README", "-")) }, "no binary"},
		"not an archive": {func(m *fakeMirror, _ *CreateOptions) { m.put(items[6], []byte("plain")) }, "unpack"},
		"odd member":     {func(m *fakeMirror, _ *CreateOptions) { m.put(items[6], targz(m.t, "./BAD NAME", "x")) }, "not a name"},
		"image missing":  {func(_ *fakeMirror, o *CreateOptions) { o.ExtraImages = []string{"quay.io/no/such:v1"} }, "image quay.io/no/such:v1"},
		"image of another": {func(m *fakeMirror, o *CreateOptions) {
			m.push("quay.io/a/arm:v1", "arm64")
			o.ExtraImages = []string{"quay.io/a/arm:v1"}
		}, "for linux/arm64"},
		"image malformed": {func(_ *fakeMirror, o *CreateOptions) { o.ExtraImages = []string{"UPPER/case"} }, "UPPER/case"},
		"version odd":     {func(_ *fakeMirror, o *CreateOptions) { o.KubernetesVersion = "v1.36.3/../.." }, "not a version"},
		"arch unknown":    {func(_ *fakeMirror, o *CreateOptions) { o.Arch = "mips" }, "mips"},
		"mirror odd":      {func(_ *fakeMirror, o *CreateOptions) { o.Mirror = "mirror.example.com" }, "not a URL"},
		"mirror secret":   {func(_ *fakeMirror, o *CreateOptions) { o.Mirror = "https://u:secret@mirror" }, "auth file"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newFakeMirror(t)
			m.seed()
			opts := m.options(t)
			c.spoil(m, &opts)
			_, err := Create(t.Context(), opts, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Error("the error shows a secret")
			}
			if _, err := os.Stat(opts.Output); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("there is something under the bundle's name: %v", err)
			}
		})
	}
}

func notFound(m *fakeMirror, path string) {
	m.hook(path, func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		http.NotFound(w, r)
		return true
	})
}

// TestCreateForStackedEtcd: kubeadm's etcd image is for control planes, in the version that is wanted, and etcd's
// programs stay away.
func TestCreateForStackedEtcd(t *testing.T) {
	for version, tag := range map[string]string{"": "3.6.8-0", "v3.6.16": "3.6.16-0"} {
		t.Run(tag, func(t *testing.T) {
			m := newFakeMirror(t)
			m.seed()
			m.push("registry.k8s.io/etcd:"+tag, "amd64")
			opts := m.options(t)
			opts.StackedEtcd, opts.EtcdVersion = true, version
			contents, err := Create(t.Context(), opts, nil)
			must(t, err)
			image, ok := contents.Image("registry.k8s.io/etcd:" + tag)
			if !ok || !slices.Equal(image.For, []v1alpha1.Role{v1alpha1.RoleControlPlane}) {
				t.Errorf("the image %+v", image)
			}
			if want := "v" + strings.TrimSuffix(tag, "-0"); contents.EtcdVersion != want {
				t.Errorf("etcd %s, want %s", contents.EtcdVersion, want)
			}
			if _, there := contents.Binary("etcd"); there {
				t.Error("etcd's program is in it")
			}
			c := &v1alpha1.Cluster{}
			for _, tc := range []struct {
				topology v1alpha1.EtcdTopology
				version  string
				want     string
			}{
				{v1alpha1.EtcdStacked, "", ""}, {v1alpha1.EtcdStacked, contents.EtcdVersion, ""},
				{v1alpha1.EtcdStacked, "v3.5.30", "spec.etcd.version is v3.5.30"}, {v1alpha1.EtcdExternal, "", "has no etcd programs"},
			} {
				c.Spec.Etcd = v1alpha1.Etcd{Topology: tc.topology, Version: tc.version}
				if err := contents.CheckEtcd(c); (err != nil) != (tc.want != "") || err != nil && !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%+v: %v, want %q", c.Spec.Etcd, err, tc.want)
				}
			}
		})
	}
}

// TestTableWithEtcd: where kubeadm can't be asked, its image is known all the same.
func TestTableWithEtcd(t *testing.T) {
	for _, tc := range []struct{ kubernetes, version, want string }{
		{"v1.35.4", "", "registry.k8s.io/etcd:3.6.6-0"}, {"v1.36.3", "", "registry.k8s.io/etcd:3.6.8-0"}, {"v1.37.2", "v3.7.3", "registry.k8s.io/etcd:3.7.3-0"},
	} {
		got, err := kubeadmTable(tc.kubernetes, KubernetesRegistry, etcdImage{true, tc.version})
		if err != nil || !slices.Contains(got, tc.want) {
			t.Errorf("%+v: %v, %v", tc, got, err)
		}
	}
}
