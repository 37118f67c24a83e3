package prepare

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// mergingContainerd is the first that merges what several files say of a plugin. Before it
// the last file that has a plugin's section has all of that section.
var mergingContainerd = version.MustParseGeneric("2.0.0")

// containerd is one whose configuration is to be as the kubelet needs it.
type containerd struct {
	// program is its path, config that of its main configuration file.
	program, config string
	// merges: it is a mergingContainerd.
	merges bool
}

// configOf is the configuration file that a unit starts containerd with.
func (p *preparer) configOf(u host.Unit) string {
	config := containerdConfig
	for _, file := range u.Files {
		raw, err := p.h.ReadFile(file)
		if err != nil {
			continue // Systemd has read it; what it can't tell is as usual.
		}
		for line := range strings.Lines(string(raw)) {
			command, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStart=")
			if !ok {
				continue
			}
			config = containerdConfig // A later file's line replaces an earlier one's.
			args := strings.Fields(command)
			for i, arg := range args {
				name, value, inline := strings.Cut(arg, "=")
				switch {
				case name != "--config" && name != "-c":
				case inline:
					config = strings.Trim(value, `"'`)
				case i+1 < len(args):
					config = strings.Trim(args[i+1], `"'`)
				}
			}
		}
	}
	return config
}

// dump is the configuration that is in force after the next start.
func (p *preparer) dump(ctx context.Context, c containerd) (table, error) {
	argv := []string{c.program, "config", "dump"}
	if c.config != containerdConfig {
		argv = []string{c.program, "--config", c.config, "config", "dump"}
	}
	there, err := p.h.Exists(c.config)
	if err != nil {
		return nil, err
	}
	if !there {
		// Before version 2 the dump of a missing file fails, though the daemon starts without one.
		argv = []string{c.program, "config", "default"}
	}
	out, err := p.h.Query(ctx, host.Command{Argv: argv, Timeout: askWithin})
	if err != nil {
		return nil, fmt.Errorf("ask containerd for its configuration: %w", err)
	}
	t := table{}
	if err := toml.Unmarshal(out.Stdout, &t); err != nil {
		return nil, fmt.Errorf("containerd's own configuration can't be read: %w", err)
	}
	return t, nil
}

// configure has containerd's configuration have what the kubelet needs, and leaves all
// else to those who wrote it. It looks whether it is in force: other files may have the
// last word, and are named then.
func (p *preparer) configure(ctx context.Context, c containerd) (changed bool, err error) {
	now, err := p.dump(ctx, c)
	if err != nil {
		return false, err
	}
	wrong := lacking(now, p.spec)
	if len(wrong) == 0 {
		return false, nil
	}
	if mirrors, _ := registryOf(now)["mirrors"].(table); len(mirrors) > 0 && len(p.spec.RegistryMirrors) > 0 {
		return false, host.WithHint(fmt.Errorf("containerd's configuration has registry.mirrors, with which it does not take the mirrors of spec.images in %s", certsDir),
			"put those mirrors into "+certsDir+"/REGISTRY/hosts.toml, and take registry.mirrors out of "+c.config)
	}
	change := p.editMain
	if c.merges {
		change = p.addDropIn
	}
	if changed, err = change(ctx, c.config, now); err != nil {
		return changed, err
	}
	if !p.h.DryRun() {
		if now, err = p.dump(ctx, c); err != nil {
			return changed, host.WithHint(err, "look at "+c.config+" on the host; the original is noted in "+host.StateDir+"/ledger.jsonl")
		}
		if still := lacking(now, p.spec); len(still) > 0 {
			return changed, p.outvoted(c, still)
		}
	}
	p.warn("the configuration of the containerd that was here is changed: %s (the original is kept)", sayings(wrong))
	return changed, nil
}

// outvoted names the file that has the last word on something.
func (p *preparer) outvoted(c containerd, still []need) error {
	files, err := configFiles(p.h, c.config)
	if err != nil {
		return err
	}
	var each []string
	for _, n := range still {
		who := "no file that can be found"
		for _, f := range slices.Backward(files) {
			if filepath.Base(f.path) != DropInName && (n.against(f.t) || !c.merges && f.path != c.config && value(f.t, "plugins", criV2) != nil) {
				who = f.path
				break
			}
		}
		each = append(each, fmt.Sprintf("%s says otherwise than that %s", who, n.says))
	}
	return host.WithHint(fmt.Errorf("containerd's configuration can't be changed from %s, since it is not the last to be read: %s", c.config, strings.Join(each, "; ")),
		"set that in the named file, or take it out there, and run the command again; `containerd config dump` shows what is in force")
}

// editMain changes the main file of a containerd before version 2. A drop-in of ours would
// take the whole section of CRI away from it, and from all who change it later. For the
// same reason it is of no use when a drop-in of somebody else's has that section.
func (p *preparer) editMain(ctx context.Context, config string, now table) (bool, error) {
	files, err := configFiles(p.h, config)
	if err != nil {
		return false, err
	}
	for _, f := range slices.Backward(files) {
		if f.path != config && value(f.t, "plugins", criV2) != nil {
			return false, p.outvoted(containerd{config: config}, lacking(now, p.spec))
		}
	}
	old, err := p.h.ReadFile(config)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	corrected, err := correct(old, config, p.spec)
	if err != nil {
		return false, err
	}
	return p.h.WriteFile(ctx, host.File{Path: config, Mode: 0o644, Content: corrected, Note: "configuration of the containerd that was here"})
}

// ownConfig is the configuration of our own containerd. What others have added to it since
// we wrote it, such as the imports and the runtime of a GPU's toolkit, stays.
func (p *preparer) ownConfig(v values) ([]byte, error) {
	fresh, err := render("containerd.toml", v)
	if err != nil {
		return nil, err
	}
	present, err := p.h.ReadFile(containerdConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return nil, err
	}
	ledger, err := p.h.Ledger()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if ledger == nil || !ledger.Knows(host.KindFile, containerdConfig) {
		return fresh, nil // Of a containerd that is not here any more; it is kept.
	}
	was, now, want := table{}, table{}, table{}
	if err := toml.Unmarshal(fresh, &want); err != nil {
		return nil, err
	}
	if err := errors.Join(toml.Unmarshal(present, &was), toml.Unmarshal(present, &now)); err != nil {
		return nil, host.WithHint(fmt.Errorf("%s can't be read: %w", containerdConfig, err), "somebody has changed it since: correct it, or remove it to have it written anew")
	}
	fill(now, want)
	if len(lacking(now, p.spec)) > 0 {
		if err := setCRI(now, 3, runcRuntimes(now), p.spec); err != nil {
			return nil, err
		}
	}
	switch {
	case reflect.DeepEqual(now, was):
		return present, nil
	case reflect.DeepEqual(now, want):
		return fresh, nil
	}
	p.warn("%s has settings of others as well; they stay", containerdConfig)
	return encode(now, "Written by kubectl-ha and others.")
}

// fill adds what a table lacks of another.
func fill(t, from table) {
	for key, value := range from {
		mine, isTable := t[key].(table)
		theirs, both := value.(table)
		switch {
		case isTable && both:
			fill(mine, theirs)
		case t[key] == nil:
			t[key] = value
		}
	}
}

// ours are the drop-ins that we have put beside a configuration.
func ours(h *host.Host, config string) []string {
	files, err := configFiles(h, config)
	if err != nil {
		return nil // What can't be read is no reason for a restart.
	}
	var out []string
	for _, f := range files {
		if filepath.Base(f.path) == DropInName {
			out = append(out, f.path)
		}
	}
	return out
}
