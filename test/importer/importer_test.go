package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/kubectl-ha/kubectl-ha"
	// tags are those of the Makefile: without them containers/image wants C libraries.
	tags = "containers_image_openpgp,containers_image_docker_daemon_stub,containers_image_storage_stub,exclude_graphdriver_btrfs"
)

// goTool runs the go program in a folder. Nothing is fetched: what this module needs is there.
func goTool(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	c := exec.CommandContext(t.Context(), "go", args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOPROXY=off", "GOWORK=off")
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	if err := c.Run(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, errOut.String())
	}
	return out.Bytes()
}

// root is this module's folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAnotherModule: a program in a module of its own is built with actions, and they work in it.
func TestAnotherModule(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/program")); err != nil {
		t.Fatal(err)
	}
	// It needs what this module needs, in the same versions.
	mod, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^module .*$`).ReplaceAllString(string(mod), "module example.com/program")
	text += fmt.Sprintf("\nrequire %s v0.0.0\n\nreplace %s => %s\n", module, module, root(t))
	for name, content := range map[string]string{"go.mod": text, "go.sum": read(t, filepath.Join(root(t), "go.sum"))} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "program")
	goTool(t, dir, "build", "-mod=mod", "-trimpath", "-tags="+tags, "-o", program, ".")
	out, err := exec.CommandContext(t.Context(), program).CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "four refusals\n") {
		t.Errorf("%v: %s", err, out)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// graph is what actions are linked of: each package, with what it imports.
func graph(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	d := json.NewDecoder(bytes.NewReader(goTool(t, root(t), "list", "-deps", "-json=ImportPath,Imports", "-tags="+tags, "./pkg/action/...")))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out[p.ImportPath] = p.Imports
	}
}

// of tells whether a package is one of a library's, or the library.
func of(pkg, library string) bool { return pkg == library || strings.HasPrefix(pkg, library+"/") }

// The libraries of command lines, which no action has use for: cobra, and what has kubectl's
// streams.
const (
	cobra      = "github.com/spf13/cobra"
	cliRuntime = "k8s.io/cli-runtime"
)

// road is a library that brings parts of command lines along without their being used.
type road struct {
	library string
	// needs is the only package of ours that imports it.
	needs  string
	brings []string
}

// roads are all that are known. Whoever gets rid of one takes it out here.
var roads = []road{
	// Which pods a drain is about are kubectl's own rules (ADR 11).
	{"k8s.io/kubectl", module + "/pkg/incluster/drain", []string{cobra, cliRuntime}},
	// What may be set for kubelets and for kube-proxy are their own types, with those of their logs.
	{"k8s.io/kubelet/config/v1beta1", module + "/pkg/api/v1alpha1", []string{cobra}},
	{"k8s.io/kube-proxy/config/v1alpha1", module + "/pkg/api/v1alpha1", []string{cobra}},
}

// TestNoCommandLine: neither an action nor what it is made of knows commands or their streams,
// and nothing brings cobra or cli-runtime along but the roads that are known.
func TestNoCommandLine(t *testing.T) {
	all := graph(t)
	if len(all[module+"/pkg/action/bootstrap"]) == 0 {
		t.Fatal("the actions are not in what go list tells")
	}
	for name, imports := range all {
		if of(name, module+"/pkg/cmd") {
			t.Errorf("an action is made of %s", name)
		}
		for _, i := range imports {
			if of(name, module) && (of(i, cobra) || of(i, cliRuntime)) {
				t.Errorf("%s imports %s", name, i)
			}
			for _, r := range roads {
				if of(name, module) && of(i, r.library) && name != r.needs {
					t.Errorf("%s imports %s, and only %s may", name, i, r.needs)
				}
			}
		}
	}
	for _, library := range []string{cobra, cliRuntime} {
		if path := way(all, module+"/pkg/action", library, roads); path != "" {
			t.Errorf("%s comes along by %s", library, path)
		}
		for _, r := range roads {
			if slices.Contains(r.brings, library) && (way(all, r.needs, r.library, nil) == "" || way(all, r.library, library, nil) == "") {
				t.Errorf("%s does not bring %s into %s any more: take it out of the roads", r.library, library, r.needs)
			}
		}
	}
}

// TestWay: a way is found, and one by a known road is not, unless it is somebody else's.
func TestWay(t *testing.T) {
	all := map[string][]string{module + "/pkg/action/a": {module + "/pkg/b"}, module + "/pkg/b": {"example.com/road", "example.com/other"},
		"example.com/road": {cobra}, "example.com/other": nil, cobra: nil}
	known := []road{{"example.com/road", module + "/pkg/b", []string{cobra}}}
	if got := way(all, module+"/pkg/action", cobra, nil); got != module+"/pkg/action/a -> "+module+"/pkg/b -> example.com/road -> "+cobra {
		t.Errorf("got %q", got)
	}
	if got := way(all, module+"/pkg/action", cobra, known); got != "" {
		t.Errorf("got %q by a known road", got)
	}
	known[0].brings = []string{cliRuntime}
	if got := way(all, module+"/pkg/action", cobra, known); got == "" {
		t.Error("the road does not bring that")
	}
	all["example.com/other"] = []string{"example.com/road"}
	known[0].brings = []string{cobra}
	if got := way(all, module+"/pkg/action", cobra, known); !strings.Contains(got, "example.com/other -> example.com/road") {
		t.Errorf("got %q", got)
	}
}

// way is the shortest one from a folder's packages to a library's that goes from none of ours by a
// road that is known to bring it; empty for none.
func way(all map[string][]string, folder, library string, known []road) string {
	taken := func(at, i string) bool {
		return slices.ContainsFunc(known, func(r road) bool {
			return at == r.needs && of(i, r.library) && slices.Contains(r.brings, library)
		})
	}
	from := map[string]string{}
	var next []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if of(name, folder) {
			from[name] = ""
			next = append(next, name)
		}
	}
	for len(next) > 0 {
		at := next[0]
		next = next[1:]
		if of(at, library) {
			path := at
			for p := from[at]; p != ""; p = from[p] {
				path = p + " -> " + path
			}
			return path
		}
		for _, i := range all[at] {
			if _, seen := from[i]; !seen && !taken(at, i) {
				from[i] = at
				next = append(next, i)
			}
		}
	}
	return ""
}
