package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func names(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, h.Name)
	}
}

func TestArchivesAreTheSameBytes(t *testing.T) {
	dir := t.TempDir()
	a := member{name: "a", source: write(t, filepath.Join(dir, "1"), "first"), mode: 0o755}
	b := member{name: "b", source: write(t, filepath.Join(dir, "2"), "second"), mode: 0o644}
	one, err := writeArchive(filepath.Join(dir, "one.tar.gz"), []member{a, b})
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(a.source, later, later); err != nil {
		t.Fatal(err)
	}
	two, err := writeArchive(filepath.Join(dir, "two.tar.gz"), []member{b, a})
	if err != nil || one != two {
		t.Errorf("%s and %s, %v", one, two, err)
	}
	if got := names(t, filepath.Join(dir, "two.tar.gz")); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %v", got)
	}
	if _, err := writeArchive(filepath.Join(dir, "three.tar.gz"), []member{{name: "c", source: filepath.Join(dir, "nowhere")}}); err == nil {
		t.Error("a missing file is no error")
	}
}

func TestContents(t *testing.T) {
	r := release{root: ".", out: "out"}
	for _, tc := range []struct {
		p    platform
		want string
	}{
		{platform{"linux", "amd64"}, "LICENSE kubectl-ha kubectl_complete-ha"},
		{platform{"linux", "arm64"}, "LICENSE kubectl-ha kubectl-ha-agent-linux-amd64 kubectl_complete-ha"},
		{platform{"darwin", "arm64"}, "LICENSE kubectl-ha kubectl-ha-agent-linux-amd64 kubectl-ha-agent-linux-arm64 kubectl_complete-ha"},
		{platform{"windows", "amd64"}, "LICENSE kubectl-ha-agent-linux-amd64 kubectl-ha-agent-linux-arm64 kubectl-ha.exe"},
	} {
		var got []string
		for _, f := range r.contents(tc.p) {
			got = append(got, f.name)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%v: %v, want %s", tc.p, got, tc.want)
		}
	}
}

func TestAgentsAreBuiltForWorkstationsOfOtherKinds(t *testing.T) {
	r := release{platforms: []platform{{"darwin", "arm64"}, {"linux", "amd64"}}}
	if got := r.programs(); !slices.Equal(got, []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "arm64"}}) {
		t.Errorf("got %v", got)
	}
	r = release{platforms: []platform{{"linux", "amd64"}}}
	if got := r.programs(); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// TestProgramsKnowTheirAgents builds a release of a small program in the place of the
// product: each has the checksums of the agents that lie beside it in its archive, and two
// builds of the same source are the same.
func TestProgramsKnowTheirAgents(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module github.com/kubectl-ha/kubectl-ha\n\ngo 1.26\n")
	write(t, filepath.Join(dir, "pkg/program/program.go"), "// Package program has what is stamped.\npackage program\n\nvar version, commit, agentSums = \"\", \"\", \"\"\n\n// Sums are the stamp.\nfunc Sums() string { return version + commit + agentSums }\n")
	write(t, filepath.Join(dir, "cmd/kubectl-ha/main.go"), "package main\n\nimport (\n\t\"os\"\n\n\t\"github.com/kubectl-ha/kubectl-ha/pkg/program\"\n)\n\nfunc main() { os.Stdout.WriteString(program.Sums()) }\n")
	wanted := []platform{{"darwin", "arm64"}, {"linux", "arm64"}, {"linux", "amd64"}}
	var sums [2]string
	for n := range sums {
		r := release{root: dir, out: filepath.Join(t.TempDir(), "dist"), version: "v1", commit: "c", platforms: wanted}
		if err := r.buildAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, p := range wanted {
			program, err := os.ReadFile(r.program(p))
			if err != nil {
				t.Fatal(err)
			}
			beside := 0
			for _, f := range r.contents(p) {
				sum, err := host.FileSum(f.source)
				if err != nil && f.name != "LICENSE" && f.name != "kubectl_complete-ha" {
					t.Fatal(err)
				}
				sums[n] += sum
				if arch, ok := strings.CutPrefix(f.name, "kubectl-ha-agent-linux-"); ok {
					beside++
					if !bytes.Contains(program, []byte(arch+"="+sum)) {
						t.Errorf("the program for %v does not know the agent for %s that is beside it", p, arch)
					}
				}
			}
			if beside != len(agents(p)) {
				t.Errorf("%v: %d agents beside it", p, beside)
			}
		}
	}
	if sums[0] != sums[1] {
		t.Error("two builds of the same source differ")
	}
}

func krewTemplate(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../krew/ha.yaml.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func good() manifest {
	m := manifest{Version: "v1.2.3"}
	for _, p := range []platform{{"linux", "amd64"}, {"windows", "arm64"}} {
		m.Platforms = append(m.Platforms, krewPlatform{OS: p.OS, Arch: p.Arch, Bin: p.Bin(), SHA256: strings.Repeat("0a", 32),
			URI: project + "/releases/download/v1.2.3/" + p.Archive()})
	}
	return m
}

func TestKrewManifest(t *testing.T) {
	data, err := good().render(krewTemplate(t))
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if !strings.Contains(string(data), "bin: kubectl-ha.exe") {
		t.Errorf("got:\n%s", data)
	}
}

func TestKrewRules(t *testing.T) {
	for name, spoil := range map[string]func(*manifest, *string){
		"no version":      func(m *manifest, _ *string) { m.Version = "" },
		"version":         func(m *manifest, _ *string) { m.Version = "1.2.3" },
		"leading zero":    func(m *manifest, _ *string) { m.Version = "v1.02.3" },
		"sum":             func(m *manifest, _ *string) { m.Platforms[0].SHA256 = "0A" },
		"bin":             func(m *manifest, _ *string) { m.Platforms[1].Bin = "kubectl-ha" },
		"twice":           func(m *manifest, _ *string) { m.Platforms[1] = m.Platforms[0] },
		"no platform":     func(m *manifest, _ *string) { m.Platforms = nil },
		"plain HTTP":      func(m *manifest, _ *string) { m.Platforms[0].URI = "http://x/v1.2.3/a.tar.gz" },
		"another version": func(m *manifest, _ *string) { m.Platforms[0].URI = project + "/v9/a.tar.gz" },
		"name":            func(_ *manifest, s *string) { *s = strings.Replace(*s, "name: ha", "name: kubectl-ha", 1) },
		"long":            func(_ *manifest, s *string) { *s = strings.Replace(*s, "Make and run", strings.Repeat("x", 60), 1) },
		"full stop": func(_ *manifest, s *string) {
			*s = strings.Replace(*s, "available clusters\n", "available clusters.\n", 1)
		},
		"no caveats":             func(_ *manifest, s *string) { *s = strings.Replace(*s, "kubectl_complete-ha", "it", -1) },
		"caveats' other version": func(_ *manifest, s *string) { *s = strings.Replace(*s, "store/ha/{{.Version}}", "store/ha/v0.0.1", 1) },
		"unknown field":          func(_ *manifest, s *string) { *s = strings.Replace(*s, "homepage:", "homepag:", 1) },
		"missing field":          func(_ *manifest, s *string) { *s = strings.Replace(*s, ".Version", ".Release", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			m, text := good(), krewTemplate(t)
			spoil(&m, &text)
			if data, err := m.render(text); err == nil {
				t.Errorf("accepted:\n%s", data)
			}
		})
	}
}

func TestSBOM(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Deps: []*debug.Module{
		{Path: "example.com/b", Version: "v1.0.0"}, {Path: "example.com/a", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/fork", Version: "v2.0.0"}}}}
	d := sbom("v1.2.3", platform{"linux", "amd64"}, strings.Repeat("0a", 32), info, epoch)
	var got []string
	for _, p := range d.Packages {
		got = append(got, p.Name+"@"+p.Version)
	}
	if want := "kubectl-ha@v1.2.3 example.com/fork@v2.0.0 example.com/b@v1.0.0 stdlib@go1.26.8"; strings.Join(got, " ") != want {
		t.Errorf("got %v", got)
	}
	if len(d.Relationships) != 4 || d.Creation.Created != "1980-01-01T00:00:00Z" || d.Packages[1].Refs[0].Locator != "pkg:golang/example.com/fork@v2.0.0" {
		t.Errorf("got %+v", d)
	}
	if again := sbom("v1.2.3", platform{"linux", "amd64"}, strings.Repeat("0a", 32), info, epoch); !reflect.DeepEqual(d, again) {
		t.Error("not the same twice")
	}
}
