package prepare

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	modulesFile = "/etc/modules-load.d/kubectl-ha.conf"
	sysctlFile  = "/etc/sysctl.d/99-kubectl-ha.conf"
)

// modules are what a node needs of the kernel:
// https://kubernetes.io/docs/setup/production-environment/container-runtimes/
func modules() []string { return []string{"overlay", "br_netfilter"} }

// sysctls are kernel settings with their values; same page.
func sysctls() [][2]string {
	return [][2]string{
		{"net.ipv4.ip_forward", "1"},
		{"net.bridge.bridge-nf-call-iptables", "1"},
		{"net.bridge.bridge-nf-call-ip6tables", "1"},
	}
}

// least are kernel settings that must not be lower: with the kernel's default of
// 128 inotify instances a handful of pods that watch files keep containerd, the
// kubelet and other pods from starting.
func least() []struct {
	name  string
	value int
} {
	return []struct {
		name  string
		value int
	}{{"fs.inotify.max_user_instances", 8192}, {"fs.inotify.max_user_watches", 524288}}
}

// kernel loads modules and sets kernel settings, now and at every boot.
func kernel(ctx context.Context, env node.Env) error {
	h := env.Host
	text := "# Written by kubectl-ha.\n" + strings.Join(modules(), "\n") + "\n"
	if _, err := h.WriteFile(ctx, host.File{Path: modulesFile, Mode: 0o644, Content: []byte(text), Note: "kernel modules at boot"}); err != nil {
		return err
	}
	for _, name := range modules() {
		if err := loadModule(ctx, h, name); err != nil {
			return err
		}
	}
	raised, err := raise(h)
	if err != nil {
		return err
	}
	text = "# Written by kubectl-ha.\n"
	for _, s := range append(sysctls(), raised...) {
		text += s[0] + " = " + s[1] + "\n"
	}
	if _, err := h.WriteFile(ctx, host.File{Path: sysctlFile, Mode: 0o644, Content: []byte(text), Note: "kernel settings at boot"}); err != nil {
		return err
	}
	for _, s := range sysctls() {
		_, err := h.SetSysctl(ctx, s[0], s[1])
		if errors.Is(err, fs.ErrNotExist) {
			if !h.DryRun() { // There the module may be what is still missing.
				env.Sink.Emit(report.Event{Kind: report.Warning, Message: fmt.Sprintf("the kernel has no setting %s, it is left out", s[0])})
			}
			continue
		}
		if err != nil {
			return err
		}
	}
	for _, s := range raised {
		_, err := h.SetSysctl(ctx, s[0], s[1])
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
			// A host that is a container may not; what it has may be enough.
			env.Sink.Emit(report.Event{Kind: report.Warning, Message: err.Error(),
				Hint: fmt.Sprintf("set %s to at least %s on the machine that the host is on", s[0], s[1])})
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// raise returns the settings that are lower than they must be, and those that
// were and are kept up by our file. What is higher is left alone.
func raise(h *host.Host) ([][2]string, error) {
	ours, err := h.ReadFile(sysctlFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out [][2]string
	for _, s := range least() {
		content, err := h.ReadFile(host.SysctlPath(s.name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the kernel setting %s: %w", s.name, err)
		}
		now, err := strconv.Atoi(strings.TrimSpace(string(content)))
		if err != nil {
			return nil, fmt.Errorf("read the kernel setting %s: %w", s.name, err)
		}
		if now < s.value || now == s.value && strings.Contains(string(ours), s.name+" = ") {
			out = append(out, [2]string{s.name, strconv.Itoa(s.value)})
		}
	}
	return out, nil
}

// loadModule makes a module's function available. That modprobe is missing or
// fails is no error as long as the function is there.
func loadModule(ctx context.Context, h *host.Host, name string) error {
	if h.Module(name) == host.ModulePresent {
		return nil
	}
	_, err := h.LookPath("modprobe")
	if err == nil {
		_, err = h.Run(ctx, "load the kernel module "+name, host.Command{Argv: []string{"modprobe", name}})
	}
	if err == nil || h.Module(name) == host.ModulePresent {
		return nil
	}
	return host.WithHint(fmt.Errorf("the kernel does not have %s: %w", name, err),
		fmt.Sprintf("install the kernel's package of modules that fits the running kernel, or load %s by hand", name))
}
