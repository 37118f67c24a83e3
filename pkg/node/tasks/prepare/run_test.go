package prepare

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// source is a fetcher with blobs in memory, which it puts into a directory.
type source struct {
	dir     string
	mu      sync.Mutex
	blobs   map[digest.Digest][]byte
	fetched []digest.Digest
}

func (s *source) Fetch(_ context.Context, b bundle.Blob) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, ok := s.blobs[b.Digest]
	if !ok {
		return 0, fmt.Errorf("%s: %w", b.Digest, bundle.ErrMissing)
	}
	path := filepath.Join(s.dir, b.Digest.Encoded())
	if _, err := os.Stat(path); err == nil {
		return 0, nil
	}
	s.fetched = append(s.fetched, b.Digest)
	return b.Size, errors.Join(os.MkdirAll(s.dir, 0o700), os.WriteFile(path, content, 0o600))
}

func (s *source) Open(d digest.Digest) (*os.File, error) {
	return os.Open(filepath.Join(s.dir, d.Encoded()))
}

func (s *source) add(content []byte) bundle.Blob {
	d := digest.FromBytes(content)
	s.blobs[d] = content
	return bundle.Blob{Digest: d, Size: int64(len(content))}
}

// daemon is a runtime in memory.
type daemon struct {
	mu     sync.Mutex
	images map[string]digest.Digest
	pinned []string
	down   error
}

func (d *daemon) Ready(context.Context) error { return d.down }

func (d *daemon) List(context.Context) (map[string]digest.Digest, error) {
	if d.down != nil {
		return nil, d.down
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]digest.Digest{}
	for k, v := range d.images {
		out[k] = v
	}
	return out, nil
}

func (d *daemon) Import(ctx context.Context, list []bundle.Image, from bundle.Upstream, pinned []string, progress ctrd.Progress) (int, error) {
	n := 0
	d.pinned = pinned
	for _, i := range list {
		if d.images[i.Ref] == i.Manifest.Digest {
			continue
		}
		for _, b := range i.Blobs {
			r, _, err := from.Blob(ctx, b.Digest)
			if err != nil {
				return n, err
			}
			if err := r.Close(); err != nil {
				return n, err
			}
		}
		d.mu.Lock()
		d.images[i.Ref] = i.Manifest.Digest
		d.mu.Unlock()
		n++
		progress(i.Ref, true, n, len(list))
	}
	return n, nil
}

func (d *daemon) ImportAgent(_ context.Context, ref, binary string) (bool, error) {
	sum, err := host.FileSum(binary)
	want := digest.NewDigestFromEncoded(digest.SHA256, sum)
	had := d.images[ref] == want
	d.images[ref] = want
	return !had, err
}

// bench is a bare host, what it is prepared with, and what happened.
type bench struct {
	t        *testing.T
	root     string
	commands *hosttest.Commander
	daemon   *daemon
	source   *source
	spec     Spec
	images   ImagesSpec
	warnings []string
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, root: t.TempDir(), commands: hosttest.NewCommander(t),
		daemon: &daemon{images: map[string]digest.Digest{}}, source: &source{blobs: map[digest.Digest][]byte{}}}
	b.source.dir = filepath.Join(b.root, StoreDir)
	b.file("/proc/1/status", "Name:\tsystemd\nCapBnd:\t000001ffffffffff\n")
	b.file("/proc/filesystems", "nodev\toverlay\n")
	for _, s := range sysctls() {
		b.file(host.SysctlPath(s[0]), "0\n")
	}
	b.file(host.SysctlPath("fs.inotify.max_user_instances"), "128\n")
	b.file(host.SysctlPath("fs.inotify.max_user_watches"), "1000000\n")
	b.file("/agent", "the agent")
	b.commands.OnUnit(networkOnline, "LoadState=loaded", "ActiveState=inactive", "UnitFileState=static")
	for _, unit := range []string{containerdUnit, kubeletUnit} {
		b.commands.OnUnit(unit, "LoadState=not-found", "ActiveState=inactive")
		b.commands.On("systemctl enable "+unit, "")
	}
	b.commands.OnFunc("systemctl daemon-reload", func(host.Command) (host.Output, error) {
		for _, unit := range []string{containerdUnit, kubeletUnit} {
			b.commands.OnUnit(unit, "LoadState=loaded", "ActiveState=inactive", "FragmentPath="+unitDir+unit)
		}
		return host.Output{}, nil
	})
	b.commands.OnFunc("systemctl start "+containerdUnit, func(host.Command) (host.Output, error) {
		b.commands.OnUnit(containerdUnit, "LoadState=loaded", "ActiveState=active", "UnitFileState=enabled", "FragmentPath="+unitDir+containerdUnit)
		b.commands.OnUnit(kubeletUnit, "LoadState=loaded", "ActiveState=inactive", "UnitFileState=enabled", "FragmentPath="+unitDir+kubeletUnit)
		return host.Output{}, nil
	})
	b.spec = Spec{Node: "n1", Roles: []v1alpha1.Role{v1alpha1.RoleWorker}, SandboxImage: "registry.k8s.io/pause:3.10",
		Contents: bundle.Contents{Arch: goruntime.GOARCH}}
	for name, component := range map[string]string{"containerd": bundle.ComponentContainerd, "runc": bundle.ComponentRunc,
		"kubelet": bundle.ComponentKubernetes, "etcd": bundle.ComponentEtcd} {
		b.spec.Contents.Binaries = append(b.spec.Contents.Binaries, b.binary(name, component))
	}
	manifest, layer := b.source.add([]byte("manifest")), b.source.add([]byte("layer"))
	b.images = ImagesSpec{SandboxImage: b.spec.SandboxImage, AgentImage: "agent:1",
		Images: []bundle.Image{{Ref: b.spec.SandboxImage, Manifest: manifest, Blobs: []bundle.Blob{manifest, layer}}}}
	return b
}

func (b *bench) binary(name, component string) bundle.Binary {
	content := []byte(strings.Repeat("binary "+name, 100))
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return bundle.Binary{Name: name, Component: component, Version: "v1", Path: "/usr/local/bin/" + name, Mode: 0o755,
		Blob: b.source.add(encoder.EncodeAll(content, nil)), SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content))}
}

func (b *bench) file(path, content string) {
	b.t.Helper()
	real := filepath.Join(b.root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(real), 0o755), os.WriteFile(real, []byte(content), 0o755)); err != nil {
		b.t.Fatal(err)
	}
}

// chmod gives a file the mode that we give to configurations.
func (b *bench) chmod(path string) {
	b.t.Helper()
	if err := os.Chmod(filepath.Join(b.root, path), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// run prepares the host and then, when it runs pods, imports images and tidies up;
// what was done is counted together.
func (b *bench) run(options ...hosttest.Options) (*host.Host, Data, error) {
	b.t.Helper()
	h := hosttest.Open(b.t, b.root, b.commands, options...)
	b.commands.Reset()
	b.warnings = nil
	var mu sync.Mutex
	env := node.Env{Host: h, Progress: func(string, ...any) {}, Sink: report.SinkFunc(func(e report.Event) {
		mu.Lock()
		defer mu.Unlock()
		b.warnings = append(b.warnings, e.Message)
	})}
	p := &preparer{h: h, env: env, spec: b.spec, progress: env.Progress, executable: h.Path("/agent"), runtime: b.daemon,
		chains: func() ([]string, error) { return []string{"ip nat PREROUTING"}, nil }}
	data, err := p.run(context.Background(), b.source)
	d, _ := data.(Data)
	if err != nil || !b.spec.kube() {
		return h, d, err
	}
	i := &importer{h: h, spec: b.images, progress: env.Progress, executable: h.Path("/agent"), runtime: b.daemon}
	data, err = i.run(context.Background(), b.source)
	more, _ := data.(Data)
	d.ImportedImages, d.FetchedBytes = more.ImportedImages, d.FetchedBytes+more.FetchedBytes
	if err == nil {
		_, err = Tidy(context.Background(), env, TidySpec{})
	}
	return h, d, err
}

func (b *bench) read(path string) string {
	content, err := os.ReadFile(filepath.Join(b.root, path))
	if err != nil {
		b.t.Error(err)
	}
	return string(content)
}

func TestPrepareABareHost(t *testing.T) {
	b := newBench(t)
	b.spec.Environment = []string{"NO_PROXY=10.0.0.0/8,50%"}
	b.spec.RegistryMirrors = map[string][]string{"docker.io": {"http://m:5000/docker.io"}}
	_, data, err := b.run()
	if err != nil {
		t.Fatal(err)
	}
	if data.InstalledBinaries != 4 || data.ImportedImages != 2 || data.FetchedBytes == 0 {
		t.Errorf("%+v", data)
	}
	if len(b.warnings) > 0 {
		t.Errorf("warnings: %q", b.warnings)
	}
	for path, want := range map[string]string{
		"/usr/local/bin/kubelet":                         "binary kubelet",
		host.AgentPath:                                   "the agent",
		containerdConfig:                                 "SystemdCgroup = true",
		unitDir + containerdUnit:                         "OOMScoreAdjust=-999",
		unitDir + kubeletUnit + ".d/10-kubeadm.conf":     "ExecStart=/usr/local/bin/kubelet $KUBELET_KUBECONFIG_ARGS",
		unitDir + containerdUnit + ".d/" + proxyDropIn:   "EnvironmentFile=-" + unitDir + containerdUnit + ".d/" + proxyEnvironment,
		unitDir + kubeletUnit + ".d/" + proxyEnvironment: `NO_PROXY="10.0.0.0/8,50%"`,
		certsDir + "/docker.io/hosts.toml":               `[host."http://m:5000/v2/docker.io"]`,
		modulesFile:                                      "br_netfilter",
		host.SysctlPath("net.ipv4.ip_forward"):           "1\n",
		host.SysctlPath("fs.inotify.max_user_instances"): "8192\n",
		host.SysctlPath("fs.inotify.max_user_watches"):   "1000000\n",
		sysctlFile:                      "fs.inotify.max_user_instances = 8192\n",
		host.StateDir + "/ledger.jsonl": `"kind":"image","target":"registry.k8s.io/pause:3.10"`,
	} {
		if got := b.read(path); !strings.Contains(got, want) {
			t.Errorf("%s lacks %q:\n%s", path, want, got)
		}
	}
	if strings.Contains(b.read(sysctlFile), "max_user_watches") {
		t.Error("a setting that is high enough is ours")
	}
	if strings.Contains(b.read(containerdConfig), "restrict_oom_score_adj") {
		t.Error("OOM scores are restricted on a host that may set them")
	}
	if !slices.Equal(b.daemon.pinned, []string{b.spec.SandboxImage}) {
		t.Errorf("pinned: %v", b.daemon.pinned)
	}
	if _, err := os.Stat(filepath.Join(b.root, StoreDir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the blobs were not removed: %v", err)
	}
	// Every local user may ask systemd for what a unit says.
	for _, unit := range []string{containerdUnit, kubeletUnit} {
		if info, err := os.Stat(filepath.Join(b.root, unitDir+unit+".d", proxyEnvironment)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the proxy of %s: %v %v", unit, info, err)
		}
		if strings.Contains(b.read(unitDir+unit+".d/"+proxyDropIn), "NO_PROXY") {
			t.Errorf("the unit of %s itself says the proxy", unit)
		}
	}
	wantNothingDone(t, b)
	// A mirror that is wanted no more, and a proxy, go.
	b.spec.RegistryMirrors, b.spec.Environment = nil, nil
	b.commands.On("systemctl restart "+containerdUnit, "")
	if _, _, err := b.run(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{certsDir + "/docker.io/hosts.toml", unitDir + containerdUnit + ".d/" + proxyDropIn, unitDir + containerdUnit + ".d/" + proxyEnvironment} {
		if _, err := os.Stat(filepath.Join(b.root, path)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
}

func wantNothingDone(t *testing.T, b *bench) {
	t.Helper()
	b.source.fetched = nil
	h, data, err := b.run()
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Changes()) > 0 || data != (Data{}) || len(b.source.fetched) > 0 || len(b.commands.Lines()) > 0 {
		t.Errorf("the second run did something: %+v, %+v, %v, %v", h.Changes(), data, b.source.fetched, b.commands.Lines())
	}
}

func TestPrepareAgainFetchesOnlyWhatIsMissing(t *testing.T) {
	b := newBench(t)
	if _, _, err := b.run(); err != nil {
		t.Fatal(err)
	}
	b.file("/usr/local/bin/kubelet", "corrupt")
	delete(b.daemon.images, b.spec.SandboxImage)
	b.source.fetched = nil
	_, data, err := b.run()
	if err != nil {
		t.Fatal(err)
	}
	if data.InstalledBinaries != 1 || data.ImportedImages != 1 || len(b.source.fetched) != 3 {
		t.Errorf("%+v, fetched %v", data, b.source.fetched)
	}
	wantNothingDone(t, b)
}

func TestPrepareDryRun(t *testing.T) {
	b := newBench(t)
	b.daemon.down = errors.New("not there yet")
	h, data, err := b.run(hosttest.DryRun)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Changes()) == 0 || len(b.commands.Lines()) > 0 || len(b.source.fetched) > 0 || data.FetchedBytes != 0 {
		t.Errorf("%d changes, ran %v, fetched %v", len(h.Changes()), b.commands.Lines(), b.source.fetched)
	}
	for _, path := range []string{"/usr", "/etc", "/opt"} {
		if _, err := os.Stat(filepath.Join(b.root, path)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was made: %v", path, err)
		}
	}
}

func TestPrepareEtcdOnly(t *testing.T) {
	b := newBench(t)
	b.spec.Roles = []v1alpha1.Role{v1alpha1.RoleEtcd}
	h, data, err := b.run()
	if err != nil {
		t.Fatal(err)
	}
	if data.InstalledBinaries != 1 || len(b.commands.Calls()) != 0 {
		t.Errorf("%+v, ran %v", data, b.commands.Calls())
	}
	for _, c := range h.Changes() {
		if strings.Contains(c.Target, "containerd") {
			t.Errorf("an etcd host got %s", c.Target)
		}
	}
	if left, err := filepath.Glob(filepath.Join(b.root, StoreDir, "*")); err != nil || len(left) != 1 {
		t.Errorf("blobs that were to be kept: %v %v", left, err)
	}
}

func TestPrepareFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(b *bench)
		want  string
	}{
		{"another architecture", func(b *bench) { b.spec.Contents.Arch = "s390x" }, "s390x"},
		{"no role", func(b *bench) { b.spec.Roles = nil }, "no role"},
		{"an environment that is none", func(b *bench) { b.spec.Environment = []string{"A B=1"} }, "A B"},
		{"a mirror that is no URL", func(b *bench) { b.spec.RegistryMirrors = map[string][]string{"x": {"ftp://y"}} }, "ftp://y"},
		{"a blob that the source lacks", func(b *bench) { delete(b.source.blobs, b.spec.Contents.Binaries[0].Blob.Digest) }, "no such blob"},
		{"a binary with another content", func(b *bench) { b.spec.Contents.Binaries[0].SHA256 = strings.Repeat("0", 64) }, "SHA-256"},
		{"a containerd whose CRI plugin did not load", func(b *bench) {
			b.daemon.down = &ctrd.BrokenError{Reason: "failed to create fsnotify watcher: too many open files"}
		}, "did not load: failed to create fsnotify watcher"},
		{"a kernel without br_netfilter", func(b *bench) {
			if err := os.RemoveAll(filepath.Join(b.root, "/proc/sys/net/bridge")); err != nil {
				b.t.Fatal(err)
			}
		}, "br_netfilter"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			c.spoil(b)
			if _, _, err := b.run(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestHostWithoutTheRightToRaiseLimits(t *testing.T) {
	b := newBench(t)
	b.file("/proc/1/status", "CapBnd:\t000001fffeffffff\n")
	if _, _, err := b.run(); err != nil {
		t.Fatal(err)
	}
	if unit := b.read(unitDir + containerdUnit); strings.Contains(unit, "OOMScoreAdjust") || strings.Contains(unit, "LimitNPROC") {
		t.Errorf("the unit would not start:\n%s", unit)
	}
	if !strings.Contains(b.read(containerdConfig), "restrict_oom_score_adj = true") {
		t.Error("pods would not start")
	}
}
