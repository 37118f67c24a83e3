package build

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// goBuild is one or more commands built in a Go module of their own.
type goBuild struct {
	// modules are the modules to require, path@version.
	modules []string
	// packages are the commands; the base name of each is the binary's name,
	// unless names has another for it.
	packages []string
	names    map[string]string
	// ldflags are the linker's, cgo whether C is wanted, tags the build tags.
	ldflags string
	cgo     bool
	tags    string
	// replace maps a module to another one (path@version) or to a folder in dir.
	replace map[string]string
	// goMod and goSum, when set, are the module's files instead of made-up ones.
	goMod, goSum []byte
	// install are commands to "go install", path@version: built exactly with
	// the versions that their own module names. It excludes everything above
	// but ldflags, cgo and tags.
	install []string
}

const stripped = "-s -w"

// recipe is everything that the result depends on.
func (b goBuild) recipe() string {
	return fmt.Sprintf("%q %q %v %q %v %q %v %q %q",
		b.modules, b.packages, b.names, b.ldflags, b.cgo, b.tags, b.replace, b.goMod, b.install)
}

// env is the environment of every go command: the caller's flags and
// workspace have no say in it.
func (b goBuild) env() []string {
	cgo := "0"
	if b.cgo {
		cgo = "1"
	}
	return []string{"GOFLAGS=-buildvcs=false", "GOWORK=off", "CGO_ENABLED=" + cgo}
}

// run builds into dir/bin, writing what Go says to the log.
func (b goBuild) run(ctx context.Context, dir string, log io.Writer) error {
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	// The linker leaves out what debuggers want, so the compiler need not make it: a tenth of its time.
	flags := []string{"-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", b.ldflags}
	if b.tags != "" {
		flags = append(flags, "-tags", b.tags)
	}
	if len(b.install) > 0 {
		argv := slices.Concat([]string{"go", "install"}, flags, b.install)
		_, err := run.Output(ctx, run.Cmd{Argv: argv, Dir: dir, Env: append(b.env(), "GOBIN="+bin), Log: log})
		return err
	}
	if err := b.writeModule(ctx, dir, log); err != nil {
		return err
	}
	build := slices.Concat([]string{"go", "build", "-mod=mod"}, flags)
	if len(b.names) == 0 {
		return b.exec(ctx, dir, log, slices.Concat(build, []string{"-o", bin + "/"}, b.packages))
	}
	for _, p := range b.packages {
		if err := b.exec(ctx, dir, log, slices.Concat(build, []string{"-o", filepath.Join(bin, b.names[p]), p})); err != nil {
			return err
		}
	}
	return nil
}

// writeModule makes dir a module that requires b.modules.
func (b goBuild) writeModule(ctx context.Context, dir string, log io.Writer) error {
	goMod := b.goMod
	if goMod == nil {
		goMod = []byte("module kubectl-ha-lab-build\n\ngo 1.26.0\n")
	}
	goMod, err := b.addReplacements(goMod)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), goMod, 0o644); err != nil {
		return err
	}
	if b.goSum != nil {
		if err := os.WriteFile(filepath.Join(dir, "go.sum"), b.goSum, 0o644); err != nil {
			return err
		}
	}
	if len(b.modules) == 0 {
		return nil
	}
	return b.exec(ctx, dir, log, append([]string{"go", "get"}, b.modules...))
}

// addReplacements puts b.replace into a go.mod.
func (b goBuild) addReplacements(goMod []byte) ([]byte, error) {
	f, err := modfile.Parse("go.mod", goMod, nil)
	if err != nil {
		return nil, err
	}
	for old, target := range b.replace {
		path, version, _ := strings.Cut(target, "@")
		if err := f.AddReplace(old, "", path, version); err != nil {
			return nil, err
		}
	}
	f.Cleanup()
	return f.Format()
}

func (b goBuild) exec(ctx context.Context, dir string, log io.Writer, argv []string) error {
	_, err := run.Output(ctx, run.Cmd{Argv: argv, Dir: dir, Env: b.env(), Log: log})
	return err
}

// moduleDir downloads a module and says where it is.
func moduleDir(ctx context.Context, module string) (string, error) {
	tmp, err := os.MkdirTemp("", "lab-mod-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // a left-over empty folder in /tmp is no error
	if err := os.WriteFile(filepath.Join(tmp, "go.mod"), []byte("module x\n\ngo 1.26.0\n"), 0o644); err != nil {
		return "", err
	}
	env := goBuild{}.env()
	if _, err := run.Output(ctx, run.Cmd{Argv: []string{"go", "mod", "download", module}, Dir: tmp, Env: env}); err != nil {
		return "", fmt.Errorf("download %s: %w", module, err)
	}
	out, err := run.Output(ctx, run.Cmd{Argv: []string{"go", "list", "-mod=mod", "-m", "-f", "{{.Dir}}", module}, Dir: tmp, Env: env})
	if err != nil {
		return "", err
	}
	dir := strings.TrimSpace(out)
	if dir == "" {
		return "", fmt.Errorf("the module cache has no folder for %s", module)
	}
	return dir, nil
}

// readGoMod reads a module's go.mod and go.sum.
func readGoMod(dir string) (goMod, goSum []byte, err error) {
	if goMod, err = os.ReadFile(filepath.Join(dir, "go.mod")); err != nil {
		return nil, nil, err
	}
	goSum, err = os.ReadFile(filepath.Join(dir, "go.sum"))
	return goMod, bytes.TrimSpace(goSum), err
}
