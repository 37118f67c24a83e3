package prepare

import (
	"slices"
	"strings"
	"testing"
)

func TestWithStrings(t *testing.T) {
	for name, c := range map[string]struct {
		old, want string
		values    []string
	}{
		"an empty file":         {"", "imports = [\"/a\"]\n", []string{"/a"}},
		"a file without it":     {"# ours\nversion = 3\n[plugins]\n", "imports = [\"/a\"]\n# ours\nversion = 3\n[plugins]\n", []string{"/a"}},
		"an empty list":         {"version = 3\nimports = [] # none yet\n", "version = 3\nimports = [\"/a\"] # none yet\n", []string{"/a"}},
		"a list of many lines":  {"imports = [\n  '/b]', # [\n  \"/c\\\"]\",\n]\n# x\n", "imports = [\"/b]\", \"/a\"]\n# x\n", []string{"/b]", "/a"}},
		"a name in quotes":      {"\"imports\" = ['/b']\n", "\"imports\" = [\"/a\"]\n", []string{"/a"}},
		"a namesake in a table": {"[a]\nimports = ['/b']\n", "imports = [\"/a\"]\n[a]\nimports = ['/b']\n", []string{"/a"}},
		"to none":               {"imports = ['/b']\n", "imports = []\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := withStrings([]byte(c.old), "imports", c.values)
			if err != nil || string(got) != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
	for _, bad := range []string{"a = [", "imports = 'x'\n"} {
		if got, err := withStrings([]byte(bad), "imports", nil); err == nil {
			t.Errorf("%q became %q", bad, got)
		}
	}
}

func TestWhereLast(t *testing.T) {
	const own = "/etc/containerd/conf.d/" + DropInName
	for name, c := range map[string]struct {
		imports []string
		dropIn  string
		want    []string
	}{
		"no imports":              {nil, own, []string{own}},
		"the usual folder":        {[]string{"/etc/containerd/conf.d/*.toml"}, own, []string{"/etc/containerd/conf.d/*.toml"}},
		"named once already":      {[]string{own}, own, []string{own}},
		"named before a folder":   {[]string{own, "/etc/containerd/conf.d/*.toml"}, own, []string{"/etc/containerd/conf.d/*.toml"}},
		"named before a file":     {[]string{own, "/a.toml"}, own, []string{"/a.toml", own}},
		"the last folder counts":  {[]string{"/a/*.toml", "b/*"}, "/etc/containerd/b/" + DropInName, []string{"/a/*.toml", "b/*"}},
		"a folder of other files": {[]string{"/a/*.conf"}, own, []string{"/a/*.conf", own}},
	} {
		t.Run(name, func(t *testing.T) {
			dropIn, imports := whereLast(containerdConfig, table{"imports": anys(c.imports)})
			if dropIn != c.dropIn || !slices.Equal(imports, c.want) {
				t.Errorf("%s, imports %q", dropIn, imports)
			}
		})
	}
}

// What others have added to the configuration of our own containerd stays when we write
// it again.
func TestOwnConfigKeepsWhatOthersAdd(t *testing.T) {
	b := newBench(t)
	if _, _, err := b.run(); err != nil {
		t.Fatal(err)
	}
	wantNothingDone(t, b)
	toolkit := "imports = ['/etc/containerd/conf.d/*.toml']\n# by a GPU's toolkit\n" + b.read(containerdConfig)
	toolkit = strings.Replace(toolkit, "default_runtime_name = 'runc'", "default_runtime_name = 'nvidia'", 1)
	b.file(containerdConfig, toolkit)
	b.chmod(containerdConfig)
	b.commands.On("systemctl restart "+containerdUnit, "")
	if _, _, err := b.run(); err != nil {
		t.Fatal(err)
	}
	if got := b.read(containerdConfig); got != toolkit {
		t.Errorf("somebody else's settings were overwritten:\n%s", got)
	}
	// Another version of Kubernetes has another sandbox image.
	b.spec.SandboxImage = "registry.k8s.io/pause:9"
	if _, _, err := b.run(); err != nil {
		t.Fatal(err)
	}
	got := parsed(t, b.read(containerdConfig))
	if sandboxOf(got) != "registry.k8s.io/pause:9" || value(got, "plugins", criRuntime, "containerd", "default_runtime_name") != "nvidia" ||
		len(importsOf(configFile{containerdConfig, got})) != 1 {
		t.Errorf("the configuration is now %v", got)
	}
	if len(b.warnings) != 1 || !strings.Contains(b.warnings[0], "they stay") {
		t.Errorf("warnings %q", b.warnings)
	}
	b.file(containerdConfig, "a = [")
	b.chmod(containerdConfig)
	if _, _, err := b.run(); err == nil || !strings.Contains(err.Error(), "can't be read") {
		t.Errorf("a broken file: %v", err)
	}
	if b.read(containerdConfig) != "a = [" {
		t.Error("a broken file was overwritten")
	}
}
