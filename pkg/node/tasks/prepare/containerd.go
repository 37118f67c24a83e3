package prepare

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	containerdUnit   = "containerd.service"
	kubeletUnit      = "kubelet.service"
	containerdConfig = "/etc/containerd/config.toml"
	certsDir         = "/etc/containerd/certs.d"
	unitDir          = "/etc/systemd/system/"
	proxyDropIn      = "10-kubectl-ha-proxy.conf"
	proxyEnvironment = "10-kubectl-ha-proxy.env"
)

// oldestContainerd is the oldest that is used as it is found: the kubelets of
// the supported window speak its CRI, and it is still maintained.
var oldestContainerd = version.MustParseGeneric("1.7.0")

// foreignContainerd tells whether the host has a containerd that is not ours.
func (p *preparer) foreignContainerd(ctx context.Context) (bool, error) {
	u, err := p.h.Unit(ctx, containerdUnit)
	if err != nil {
		return false, err
	}
	if u.LoadState != "loaded" || len(u.Files) == 0 {
		return false, nil
	}
	ledger, err := p.h.Ledger()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return ledger == nil || !ledger.Knows(host.KindFile, u.Files[0]), nil
}

// useForeign checks a containerd that was there before, corrects its
// configuration where that can't be avoided, and has it run.
func (p *preparer) useForeign(ctx context.Context) error {
	path, err := p.h.LookPath("containerd")
	if err != nil {
		return host.WithHint(fmt.Errorf("there is a unit %s that is not ours, but no containerd: %w", containerdUnit, err),
			"remove that unit, or install its containerd")
	}
	out, err := p.h.Query(ctx, host.Command{Argv: []string{path, "--version"}, Timeout: askWithin})
	if err != nil {
		return fmt.Errorf("ask containerd for its version: %w", err)
	}
	v, err := parseContainerdVersion(string(out.Stdout))
	if err != nil {
		return err
	}
	if v.LessThan(oldestContainerd) {
		return host.WithHint(fmt.Errorf("the containerd of this host is %s, at least %s is needed", v, oldestContainerd),
			"upgrade it by the host's package manager, or remove it: then kubectl-ha installs its own")
	}
	u, err := p.h.Unit(ctx, containerdUnit)
	if err != nil {
		return err
	}
	c := containerd{program: path, config: p.configOf(u), merges: !v.LessThan(mergingContainerd)}
	restart, err := p.configure(ctx, c)
	if err != nil {
		return err
	}
	inForce, err := p.dump(ctx, c)
	if err != nil {
		return err
	}
	if err := p.noAgentRegistry(ctx, configPath(inForce)); err != nil {
		return err
	}
	return p.runContainerd(ctx, restart, append(ours(p.h, c.config), c.config)...)
}

// parseContainerdVersion reads "containerd SOURCE VERSION [COMMIT]".
func parseContainerdVersion(text string) (*version.Version, error) {
	fields := strings.Fields(text)
	if len(fields) < 3 {
		return nil, fmt.Errorf("containerd's version can't be read from %.100q", text)
	}
	// Distributions put their own revisions behind: 1.7.24~ds1.
	number, _, _ := strings.Cut(fields[2], "~")
	v, err := version.ParseGeneric(number)
	if err != nil {
		return nil, fmt.Errorf("containerd's version can't be read from %.100q: %w", text, err)
	}
	return v, nil
}

// installContainerd installs our own, with its configuration and unit, and has it run.
func (p *preparer) installContainerd(ctx context.Context) error {
	v := p.values()
	config, err := p.ownConfig(v)
	if err != nil {
		return err
	}
	unit, err := render("containerd.service", v)
	if err != nil {
		return err
	}
	restart, err := p.installBinaries(ctx, bundle.ComponentContainerd, bundle.ComponentRunc)
	if err != nil {
		return err
	}
	for _, f := range []host.File{
		{Path: containerdConfig, Mode: 0o644, Content: config, Note: "containerd's configuration"},
		{Path: unitDir + containerdUnit, Mode: 0o644, Content: unit, Note: "containerd's systemd unit"},
	} {
		changed, err := p.h.WriteFile(ctx, f)
		if err != nil {
			return err
		}
		restart = restart || changed
	}
	dirs := certsDir
	// Others' tools, such as a GPU's, add drop-ins to it, which may have the last word.
	if files, err := configFiles(p.h, containerdConfig); err != nil {
		return err
	} else if len(files) > 1 {
		c := containerd{program: v.Containerd, config: containerdConfig, merges: true}
		changed, err := p.configure(ctx, c)
		if err != nil {
			return err
		}
		restart = restart || changed
		inForce, err := p.dump(ctx, c)
		if err != nil {
			return err
		}
		dirs = configPath(inForce)
	}
	if err := p.noAgentRegistry(ctx, dirs); err != nil {
		return err
	}
	// What containerd makes for itself as it runs. What has something in it is
	// somebody else's, or was noted by an earlier run.
	for _, dir := range []string{"/var/lib/containerd", "/opt/containerd", "/etc/cni", "/run/containerd"} {
		if err := p.noteTree(ctx, dir, "directory of containerd"); err != nil {
			return err
		}
	}
	return p.runContainerd(ctx, restart, append(ours(p.h, containerdConfig), containerdConfig, v.Containerd)...)
}

// runContainerd starts it, or restarts it when it was started before one of the
// files it reads at its start changed, and waits until it answers.
func (p *preparer) runContainerd(ctx context.Context, restart bool, reads ...string) error {
	proxy, err := p.proxy(ctx, containerdUnit)
	if err != nil {
		return err
	}
	if err := p.mirrors(ctx); err != nil {
		return err
	}
	u, err := p.h.Unit(ctx, containerdUnit)
	if err != nil {
		return err
	}
	if _, err := p.h.EnsureUnit(ctx, containerdUnit, restart || proxy || p.h.Stale(u, reads...)); err != nil {
		return err
	}
	if p.h.DryRun() {
		return nil
	}
	p.progress("waiting for containerd")
	return waitReady(ctx, p.h, p.runtime)
}

// proxy writes the environment of a unit, or removes ours when there is none. A proxy's address
// may hold a password, so that it is in a file of its own: what a unit says itself, every local
// user may ask systemd for, whatever the file's mode (systemd.exec(5), Environment=).
func (p *preparer) proxy(ctx context.Context, unit string) (changed bool, err error) {
	dropIn, file := unitDir+unit+".d/"+proxyDropIn, unitDir+unit+".d/"+proxyEnvironment
	if len(p.spec.Environment) == 0 {
		// The drop-in first: it names the file.
		for _, path := range []string{dropIn, file} {
			gone, err := p.removeOurs(ctx, path)
			if err != nil {
				return changed, err
			}
			changed = changed || gone
		}
		return changed, nil
	}
	v := values{Environment: p.spec.Environment, EnvironmentFile: file}
	for _, f := range []struct {
		template, path string
		mode           fs.FileMode
	}{{"proxy.env", file, 0o600}, {"proxy.conf", dropIn, 0o644}} {
		content, err := render(f.template, v)
		if err != nil {
			return changed, err
		}
		wrote, err := p.h.WriteFile(ctx, host.File{Path: f.path, Mode: f.mode, Content: content, Note: "proxy of " + unit})
		if err != nil {
			return changed, err
		}
		changed = changed || wrote
	}
	return changed, nil
}

// removeOurs removes a file when it is there and ours.
func (p *preparer) removeOurs(ctx context.Context, path string) (bool, error) {
	ledger, err := p.h.Ledger()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !ledger.Knows(host.KindFile, path) {
		return false, nil
	}
	return p.h.Remove(ctx, path)
}

// mirrors writes containerd's files of registry mirrors, and removes ours of
// registries that have none any more. containerd reads them at every pull.
func (p *preparer) mirrors(ctx context.Context) error {
	if _, wanted := p.spec.RegistryMirrors[bundle.AgentRegistry]; wanted {
		return host.WithHint(fmt.Errorf("spec.images has a mirror of %s: the agent's image comes from no registry", bundle.AgentRegistry),
			"take it out of the Cluster file; a mirror of all other registries is not asked for that image")
	}
	for _, registry := range slices.Sorted(maps.Keys(p.spec.RegistryMirrors)) {
		content, err := hostsTOML(registry, p.spec.RegistryMirrors[registry])
		if err != nil {
			return err
		}
		if _, err := p.h.WriteFile(ctx, host.File{Path: certsDir + "/" + registry + "/hosts.toml", Mode: 0o644,
			Content: content, Note: "mirrors of " + registry}); err != nil {
			return err
		}
	}
	entries, err := p.h.ReadDir(certsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if _, wanted := p.spec.RegistryMirrors[e.Name()]; wanted || e.Name() == bundle.AgentRegistry {
			continue
		}
		if _, err := p.removeOurs(ctx, certsDir+"/"+e.Name()+"/hosts.toml"); err != nil {
			return err
		}
	}
	return nil
}

// configPath is where containerd looks for registries: directories, with colons between them.
func configPath(inForce table) string {
	path, _ := registryOf(inForce)["config_path"].(string)
	return path
}

// noAgentRegistry has containerd pull nothing by the name of the agent's image, whatever a
// mirror of all registries (_default) or a resolver says: there is a file of its own for that
// host, with a server that may not be asked. It is in the first of the directories in force,
// of which the first that knows the host or has a _default counts. Where there is none, there
// is no _default, and nothing of others' configuration is changed for it.
// https://github.com/containerd/containerd/blob/main/docs/hosts.md
func (p *preparer) noAgentRegistry(ctx context.Context, dirs string) error {
	dir, _, _ := strings.Cut(dirs, ":")
	if !filepath.IsAbs(dir) {
		return nil
	}
	content, err := render("agent-hosts.toml", values{Server: "https://" + bundle.AgentRegistry})
	if err != nil {
		return err
	}
	_, err = p.h.WriteFile(ctx, host.File{Path: filepath.Join(dir, bundle.AgentRegistry, "hosts.toml"), Mode: 0o644,
		Content: content, Note: "that the agent's image comes from no registry"})
	return err
}

// capSysResource is CAP_SYS_RESOURCE's bit, from linux/capability.h.
const capSysResource = 24

// mayRaiseLimits tells whether what systemd starts may raise hard limits and
// lower OOM scores: in containers CAP_SYS_RESOURCE is often not in the bounding
// set, and a unit that asks for either would never start.
func mayRaiseLimits(h *host.Host) (bool, error) {
	status, err := h.ReadFile("/proc/1/status")
	if err != nil {
		return false, fmt.Errorf("look at the capabilities of this host: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if mask, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			if err != nil {
				return false, fmt.Errorf("look at the capabilities of this host: %w", err)
			}
			return bits&(1<<capSysResource) != 0, nil
		}
	}
	return false, errors.New("/proc/1/status does not tell the capabilities of this host")
}
