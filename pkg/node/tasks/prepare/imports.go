package prepare

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// dropInDir is where, beside the main file, vendors' tools and containerd's own default
	// have drop-ins.
	dropInDir = "conf.d"
	// DropInName is our drop-in's, whose name sorts behind others'.
	DropInName = "zz-kubectl-ha.toml"
)

// configFile is one file of containerd's configuration.
type configFile struct {
	path string
	t    table
}

// configFiles reads a configuration with what it imports, in containerd's order: what a
// later file says counts.
// https://github.com/containerd/containerd/blob/main/docs/man/containerd-config.toml.5.md
func configFiles(h *host.Host, config string) ([]configFile, error) {
	var out []configFile
	for pending := []string{config}; len(pending) > 0; {
		path := pending[0]
		pending = pending[1:]
		if slices.ContainsFunc(out, func(f configFile) bool { return f.path == path }) {
			continue
		}
		raw, err := h.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && path == config {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read containerd's configuration: %w", err)
		}
		f := configFile{path: path, t: table{}}
		if err := toml.Unmarshal(raw, &f.t); err != nil {
			return nil, fmt.Errorf("%s can't be read: %w", path, err)
		}
		out = append(out, f)
		for _, pattern := range importsOf(f) {
			if !strings.Contains(pattern, "*") {
				pending = append(pending, pattern)
				continue
			}
			found, err := filepath.Glob(h.Path(pattern))
			if err != nil {
				return nil, fmt.Errorf("%s: imports: %w", path, err)
			}
			for _, real := range found {
				pending = append(pending, filepath.Join(filepath.Dir(pattern), filepath.Base(real)))
			}
		}
	}
	return out, nil
}

// importsOf are a file's imports as absolute paths; others are relative to the file.
func importsOf(f configFile) []string {
	list, _ := f.t["imports"].([]any)
	var out []string
	for _, v := range list {
		path, _ := v.(string)
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(f.path), path)
		}
		out = append(out, filepath.Clean(path))
	}
	return out
}

// whereLast says where our drop-in has to be, and what the main file has to import, so
// that it is the last: in a directory that is imported as a whole, or named for itself.
func whereLast(config string, t table) (dropIn string, imports []string) {
	list, _ := t["imports"].([]any)
	for _, v := range list {
		if path, _ := v.(string); filepath.Base(path) != DropInName {
			imports = append(imports, path)
		}
	}
	for _, pattern := range slices.Backward(importsOf(configFile{config, table{"imports": anys(imports)}})) {
		dropIn = filepath.Join(filepath.Dir(pattern), DropInName)
		if ok, err := filepath.Match(pattern, dropIn); ok && err == nil {
			return dropIn, imports
		}
	}
	dropIn = filepath.Join(filepath.Dir(config), dropInDir, DropInName)
	return dropIn, append(imports, dropIn)
}

func anys(list []string) []any {
	out := make([]any, 0, len(list))
	for _, v := range list {
		out = append(out, v)
	}
	return out
}

// addDropIn has a containerd of version 2 do what the kubelet needs, by a file of our own
// that comes last: 2.0 and later merge what the files say key by key.
func (p *preparer) addDropIn(ctx context.Context, config string, now table) (changed bool, err error) {
	old, err := p.h.ReadFile(config)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	t := table{}
	if err := toml.Unmarshal(old, &t); err != nil {
		return false, fmt.Errorf("%s can't be read: %w", config, err)
	}
	dropIn, imports := whereLast(config, t)
	main := old
	if disablesCRI(t) {
		// Lists of several files are put together, so that another can't take it out.
		list, _ := t["disabled_plugins"].([]any)
		var rest []string
		for _, v := range list {
			if name, ok := v.(string); ok && !criDisabled(v) {
				rest = append(rest, name)
			}
		}
		if main, err = withStrings(main, "disabled_plugins", rest); err != nil {
			return false, fmt.Errorf("%s: %w", config, err)
		}
	}
	if list, _ := t["imports"].([]any); !slices.Equal(list, anys(imports)) {
		if main, err = withStrings(main, "imports", imports); err != nil {
			return false, fmt.Errorf("%s: %w", config, err)
		}
	}
	content, err := dropInContent(now, p.spec)
	if err != nil {
		return false, err
	}
	files := []host.File{{Path: dropIn, Mode: 0o644, Content: content, Note: "what the kubelet needs of containerd"}}
	if string(main) != string(old) {
		// Without a version it would be taken for version 1, in which some things are called otherwise.
		if old == nil {
			main = append([]byte("version = 3\n"), main...)
		}
		files = append(files, host.File{Path: config, Mode: 0o644, Content: main, Note: "containerd's configuration, with our drop-in"})
	}
	for _, f := range files {
		now, err := p.h.WriteFile(ctx, f)
		if err != nil {
			return changed, err
		}
		changed = changed || now
	}
	return changed, nil
}

// dropInContent is our drop-in. now is the configuration in force, of which the kind of a
// runtime, and directories of mirrors, are kept.
//
// It is of version 2 whatever the main file is of: where a later file is of version 3,
// containerd 2.1 leaves out what a main file of version 2 says of CRI, since it no longer
// takes it for one that is to be migrated. The other way round each is migrated.
func dropInContent(now table, spec Spec) ([]byte, error) {
	t := table{"version": int64(2)}
	names := runcRuntimes(now)
	for _, name := range names {
		if kind := value(now, "plugins", criPlugin(now), "containerd", "runtimes", name, "runtime_type"); kind != nil && kind != "" {
			runtime, err := at(t, "plugins", criV2, "containerd", "runtimes", name)
			if err != nil {
				return nil, err
			}
			runtime["runtime_type"] = kind
		}
	}
	if theirs := configPath(now); theirs != "" && len(spec.RegistryMirrors) > 0 {
		registry, err := at(t, "plugins", criV2, "registry")
		if err != nil {
			return nil, err
		}
		registry["config_path"] = theirs
	}
	if err := setCRI(t, 2, names, spec); err != nil {
		return nil, err
	}
	return encode(t, "Written by kubectl-ha: what the kubelet needs. Changes are lost.")
}
