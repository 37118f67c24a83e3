package prepare

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// realContainerds are the programs that judge: the ones that the variable CONTAINERD names,
// with colons between (hack/binaries.sh has the lab's, of version 2), and the machine's own.
func realContainerds(t *testing.T) []string {
	t.Helper()
	list := filepath.SplitList(os.Getenv("CONTAINERD"))
	if own, err := exec.LookPath("containerd"); err == nil {
		list = append(list, own)
	}
	if len(list) == 0 {
		t.Skip("CONTAINERD names no containerd, and this machine has none")
	}
	return list
}

// dumper lets a real containerd print its configuration out of a copy of the test's host,
// whose paths are then below another root.
func dumper(t *testing.T, root, program string, c *hosttest.Commander) {
	c.OnFunc("/usr/bin/containerd config default", func(host.Command) (host.Output, error) {
		out, err := exec.Command(program, "config", "default").Output()
		return host.Output{Stdout: out}, err
	})
	c.OnFunc("/usr/bin/containerd config dump", func(host.Command) (host.Output, error) {
		copied := t.TempDir()
		err := filepath.WalkDir(filepath.Join(root, "etc/containerd"), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return nil //nolint:nilerr // a host without any configuration
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			to := copied + strings.TrimPrefix(path, root)
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return err
			}
			return os.WriteFile(to, bytes.ReplaceAll(raw, []byte("/etc/containerd"), []byte(copied+"/etc/containerd")), 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(program, "--config", copied+containerdConfig, "config", "dump").Output()
		return host.Output{Stdout: bytes.ReplaceAll(out, []byte(copied), nil)}, err
	})
}

const (
	// What their files say has to be in force afterwards as well.
	theirsV2 = "[plugins.'io.containerd.grpc.v1.cri']\n  # their own\n  max_container_log_line_size = 77\n"
	theirsV3 = "[plugins.'io.containerd.cri.v1.runtime']\n  # their own\n  max_container_log_line_size = 77\n"
	wrongV2  = "version = 2\n[plugins.'io.containerd.grpc.v1.cri']\n  sandbox_image = 'theirs:1'\n  max_container_log_line_size = 77\n" +
		"[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\n  runtime_type = 'io.containerd.runc.v2'\n" +
		"[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]\n  SystemdCgroup = false\n"
	toolkit = "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\n  default_runtime_name = 'nvidia'\n" +
		"[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.nvidia]\n  runtime_type = 'io.containerd.runc.v2'\n" +
		"[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.nvidia.options]\n  BinaryName = '/usr/bin/nvidia-container-runtime'\n"
	importing = "version = 2\nimports = ['/etc/containerd/conf.d/*.toml']\n"
)

// TestConfigureReal has real containerds say what is in force before and after.
func TestConfigureReal(t *testing.T) {
	const dir = "/etc/containerd/conf.d/"
	for _, program := range realContainerds(t) {
		out, err := exec.Command(program, "--version").Output()
		if err != nil {
			t.Fatal(err)
		}
		v, err := parseContainerdVersion(string(out))
		if err != nil {
			t.Fatal(err)
		}
		if v.LessThan(version.MustParseGeneric("1.6.0")) {
			t.Logf("%s is too old to be looked at: useForeign refuses it", v)
			continue
		}
		merges := !v.LessThan(mergingContainerd)
		for name, c := range map[string]struct {
			files map[string]string
			// errors of those that merge, and of those that don't
			merging, before string
			// only for those that merge, and without a setting of theirs
			newer, bare bool
		}{
			"no configuration":                 {bare: true},
			"an empty one":                     {files: map[string]string{containerdConfig: ""}, bare: true},
			"version 1":                        {files: map[string]string{containerdConfig: "[plugins.cri]\n  max_container_log_line_size = 77\n"}, before: "version 1", newer: true},
			"version 2":                        {files: map[string]string{containerdConfig: "version = 2\n" + theirsV2}},
			"version 3":                        {files: map[string]string{containerdConfig: "version = 3\nimports = []\n" + theirsV3 + "[plugins.'io.containerd.cri.v1.images'.pinned_images]\n  sandbox = 'theirs:1'\n"}, newer: true},
			"CRI is off, as packages have it":  {files: map[string]string{containerdConfig: "# their own\ndisabled_plugins = [\"cri\"] # a comment\n"}, bare: true},
			"CRI is off in version 2":          {files: map[string]string{containerdConfig: "version = 2\ndisabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.snapshotter.v1.aufs']\n" + theirsV2}},
			"others are off in version 1":      {files: map[string]string{containerdConfig: "disabled_plugins = ['cri', 'aufs']\n"}, before: "version 1", bare: true},
			"a drop-in":                        {files: map[string]string{containerdConfig: importing, dir + "50-theirs.toml": wrongV2}, before: dir + "50-theirs.toml"},
			"a drop-in that nothing imports":   {files: map[string]string{containerdConfig: "version = 2\n" + theirsV2, dir + "50-theirs.toml": wrongV2}},
			"a drop-in that comes after ours":  {files: map[string]string{containerdConfig: importing, dir + "zzz.toml": wrongV2}, merging: dir + "zzz.toml", before: dir + "zzz.toml"},
			"a drop-in that turns CRI off":     {files: map[string]string{containerdConfig: importing + theirsV2, dir + "a.toml": "version = 2\ndisabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.runtime']\n"}, merging: dir + "a.toml", before: dir + "a.toml"},
			"a GPU's toolkit":                  {files: map[string]string{containerdConfig: importing + theirsV2, dir + "99-nvidia.toml": toolkit}, before: dir + "99-nvidia.toml"},
			"a GPU's toolkit in the main file": {files: map[string]string{containerdConfig: toolkit + strings.TrimSuffix(theirsV2, "\n") + "\n"}},
		} {
			if c.newer && !merges && c.before == "" {
				continue
			}
			t.Run(v.String()+"/"+name, func(t *testing.T) {
				b := newBench(t)
				for path, text := range c.files {
					b.file(path, text)
					b.chmod(path)
				}
				dumper(t, b.root, program, b.commands)
				b.spec.RegistryMirrors = map[string][]string{"docker.io": {"http://m"}}
				foreign := containerd{program: "/usr/bin/containerd", config: containerdConfig, merges: merges}
				p := b.preparer()
				changed, err := p.configure(t.Context(), foreign)
				want := c.merging
				if !merges {
					want = c.before
				}
				if want != "" {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Fatalf("got %v, want an error that names %s", err, want)
					}
					return
				}
				if err != nil || !changed {
					t.Fatalf("changed %v, %v", changed, err)
				}
				now, err := p.dump(t.Context(), foreign)
				if err != nil {
					t.Fatal(err)
				}
				if size := value(now, "plugins", criPlugin(now), "max_container_log_line_size"); !c.bare && size != int64(77) {
					t.Errorf("a setting of theirs is %v now", size)
				}
				if strings.Contains(name, "GPU") && value(now, "plugins", criPlugin(now), "containerd", "runtimes", "nvidia", "options", "BinaryName") != "/usr/bin/nvidia-container-runtime" {
					t.Error("the GPU's runtime is gone")
				}
				if main := b.read(containerdConfig); merges && strings.Contains(c.files[containerdConfig], "# their own") && !strings.Contains(main, "# their own") {
					t.Errorf("their comments are gone:\n%s", main)
				}
				for path, text := range c.files {
					if path != containerdConfig && b.read(path) != text {
						t.Errorf("%s was changed", path)
					}
				}
				p = b.preparer()
				if changed, err := p.configure(t.Context(), foreign); changed || err != nil || len(p.h.Changes()) > 0 {
					t.Errorf("a second time: %v, %v, %v", changed, err, p.h.Changes())
				}
			})
		}
	}
}

// preparer is one run's, on the bench's host.
func (b *bench) preparer() *preparer {
	b.t.Helper()
	h := hosttest.Open(b.t, b.root, b.commands)
	env := node.Env{Host: h, Progress: func(string, ...any) {}, Sink: report.SinkFunc(func(e report.Event) { b.warnings = append(b.warnings, e.Message) })}
	return &preparer{h: h, env: env, spec: b.spec, progress: env.Progress}
}

// TestTooOldReal: what a real containerd says of its version is understood.
func TestTooOldReal(t *testing.T) {
	for _, program := range realContainerds(t) {
		out, err := exec.CommandContext(context.Background(), program, "--version").Output()
		if err != nil {
			t.Fatal(err)
		}
		if v, err := parseContainerdVersion(string(out)); err != nil || v.Major() == 0 {
			t.Errorf("%s: %v, %v", out, v, err)
		}
	}
}
