package prepare

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// A containerd of the distribution's, of version 1.7: configuration version 2.
const goodDump = `version = 2
disabled_plugins = []
[plugins.'io.containerd.grpc.v1.cri']
sandbox_image = 'registry.k8s.io/pause:3.10'
[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]
SystemdCgroup = true
`

func foreignBench(t *testing.T, version, dump string) *bench {
	b := newBench(t)
	unit := "/usr/lib/systemd/system/containerd.service"
	b.file(unit, "[Service]")
	b.file("/usr/bin/containerd", "theirs")
	b.file("/usr/sbin/runc", "theirs")
	b.commands.OnUnit(containerdUnit, "LoadState=loaded", "ActiveState=active", "UnitFileState=enabled", "FragmentPath="+unit)
	b.commands.OnFunc("systemctl daemon-reload", func(host.Command) (host.Output, error) {
		b.commands.OnUnit(kubeletUnit, "LoadState=loaded", "ActiveState=inactive", "UnitFileState=enabled")
		return host.Output{}, nil
	})
	b.commands.On("/usr/bin/containerd --version", version).On("/usr/bin/containerd config dump", dump)
	return b
}

// heeds makes the containerd of a bench heed its main file, which must have been written.
func (b *bench) heeds(dump string) {
	b.commands.OnFunc("/usr/bin/containerd config dump", func(host.Command) (host.Output, error) {
		if strings.Contains(b.read(containerdConfig), "kubectl-ha") {
			return host.Output{Stdout: []byte(goodDump)}, nil
		}
		return host.Output{Stdout: []byte(dump)}, nil
	})
}

func TestForeignContainerdIsUsedAsItIs(t *testing.T) {
	b := foreignBench(t, "containerd containerd.io 1.7.27 05044ec0a9a75232cad458027ca83437aae3f4da\n", goodDump)
	b.file(containerdConfig, "version = 2\n")
	_, data, err := b.run()
	if err != nil {
		t.Fatal(err)
	}
	if data.InstalledBinaries != 2 || data.ImportedImages != 2 {
		t.Errorf("%+v: the kubelet, etcd and images are to be installed, nothing else", data)
	}
	if b.read(containerdConfig) != "version = 2\n" || b.read("/usr/bin/containerd") != "theirs" {
		t.Error("their containerd was changed")
	}
	if _, err := os.Stat(filepath.Join(b.root, unitDir, containerdUnit)); !os.IsNotExist(err) {
		t.Errorf("a unit of ours: %v", err)
	}
	if len(b.warnings) > 0 {
		t.Errorf("warnings %q", b.warnings)
	}
}

func TestForeignContainerdIsCorrected(t *testing.T) {
	b := foreignBench(t, "containerd containerd.io 1.7.27 x\n", "version = 2\ndisabled_plugins = ['cri']\n")
	b.file(containerdConfig, "version = 2\ndisabled_plugins = ['io.containerd.grpc.v1.cri', 'other']\n# a comment\n")
	b.heeds("version = 2\ndisabled_plugins = ['cri']\n")
	b.commands.On("systemctl restart "+containerdUnit, "")
	h, _, err := b.run()
	if err != nil {
		t.Fatal(err)
	}
	if len(b.warnings) != 1 || !strings.Contains(b.warnings[0], "CRI is turned on") {
		t.Errorf("warnings %q", b.warnings)
	}
	var now table
	if err := toml.Unmarshal([]byte(b.read(containerdConfig)), &now); err != nil {
		t.Fatal(err)
	}
	if left, _ := now["disabled_plugins"].([]any); len(left) != 1 || left[0] != "other" {
		t.Errorf("disabled plugins: %v", left)
	}
	ledger, err := h.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	kept := ""
	for _, e := range ledger.Entries() {
		if e.Target == containerdConfig && e.Original != nil {
			kept = b.read(host.StateDir + "/originals/" + e.Original.SHA256)
		}
	}
	if !strings.Contains(kept, "# a comment") {
		t.Errorf("the original was not kept: %q", kept)
	}
}

func TestForeignContainerdThatIsUnfit(t *testing.T) {
	for name, c := range map[string]struct{ version, config, dump, want string }{
		"too old":       {"containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+b1", "", goodDump, "at least 1.7.0"},
		"no version":    {"hello", "", goodDump, "can't be read"},
		"old format":    {"containerd c 1.7.1 x", "[plugins.cri]\na = 1\n", "version = 2\n", "version 1"},
		"old names":     {"containerd c 1.7.1 x", "disabled_plugins = ['cri', 'aufs']\n", "version = 2\n", "version 1"},
		"broken config": {"containerd c 1.7.1 x", "a = [", "version = 2\n", "can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			b := foreignBench(t, c.version, c.dump)
			b.file(containerdConfig, c.config)
			_, _, err := b.run()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want an error with %q", err, c.want)
			}
			if b.read(containerdConfig) != c.config {
				t.Error("its configuration was changed")
			}
		})
	}
}

// A change that comes to nothing is an error, and not "is changed".
func TestForeignContainerdThatDoesNotHeed(t *testing.T) {
	b := foreignBench(t, "containerd c 2.1.0 x", "version = 3\n")
	b.file("/usr/lib/systemd/system/containerd.service", "[Service]\nExecStart=/usr/bin/containerd --config /etc/other/config.toml\n")
	b.file("/etc/other/config.toml", "version = 3\nimports = ['/etc/other/conf.d/*.toml']\n")
	b.file("/etc/other/conf.d/zzz.toml", "[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = 'x'\n")
	b.commands.On("/usr/bin/containerd --config /etc/other/config.toml config dump", "version = 3\n")
	_, _, err := b.run()
	if err == nil || !strings.Contains(err.Error(), "no file that can be found says otherwise than that runc's cgroups") ||
		!strings.Contains(err.Error(), "/etc/other/conf.d/zzz.toml says otherwise than that the sandbox image") || len(b.warnings) > 0 {
		t.Errorf("%v, warnings %q", err, b.warnings)
	}
	if drop := parsed(t, b.read("/etc/other/conf.d/"+DropInName)); value(drop, "plugins", criV2, "sandbox_image") != b.spec.SandboxImage {
		t.Errorf("our drop-in is %v", drop)
	}
}

func TestLackingAndCorrect(t *testing.T) {
	spec := Spec{SandboxImage: "pause:1", RegistryMirrors: map[string][]string{"docker.io": {"http://m"}}}
	for name, c := range map[string]struct {
		config string
		wrong  int
	}{
		"empty":            {"", 3},
		"version 2":        {"version = 2\n[plugins.'io.containerd.grpc.v1.cri']\nsandbox_image = 'x'\n", 3},
		"version 3":        {"version = 3\n[plugins.'io.containerd.cri.v1.runtime']\nenable_cdi = true\n", 3},
		"version 3 half":   {"version = 3\n[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = 'pause:1'\n[plugins.'io.containerd.cri.v1.runtime']\n", 2},
		"off in version 3": {"version = 3\ndisabled_plugins = ['io.containerd.cri.v1.runtime']\n", 4},
	} {
		t.Run(name, func(t *testing.T) {
			if wrong := lacking(parsed(t, c.config), spec); len(wrong) != c.wrong {
				t.Fatalf("wrong: %q, want %d", sayings(wrong), c.wrong)
			}
			corrected, err := correct([]byte(c.config), containerdConfig, spec)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := lacking(parsed(t, string(corrected)), spec); len(wrong) > 0 {
				t.Errorf("still wrong: %q in\n%s", sayings(wrong), corrected)
			}
			if strings.Contains(c.config, "enable_cdi") && !strings.Contains(string(corrected), "enable_cdi = true") {
				t.Error("a setting of theirs was lost")
			}
		})
	}
}

func parsed(t *testing.T, text string) table {
	t.Helper()
	out := table{}
	if err := toml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestQuoteEnvironmentFile(t *testing.T) {
	if got, want := quoteEnvironmentFile("A=b \"c\" \\ 5% $x`"), "A=\"b \\\"c\\\" \\\\ 5% \\$x\\`\""; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
