package host

import (
	"bufio"
	"bytes"
	"path"
	"strings"
)

// ModuleState says whether the kernel has a module's function.
type ModuleState int

const (
	// ModuleMissing: neither loaded nor built in, and no file to load.
	ModuleMissing ModuleState = iota
	// ModuleLoadable: modprobe can load it.
	ModuleLoadable
	// ModulePresent: loaded or built in.
	ModulePresent
)

// Module looks for a kernel module's function, whatever way it is there:
// /sys/module lists modules that are loaded and those built in that have
// parameters; others show by what they make.
func (h *Host) Module(name string) ModuleState {
	for _, sign := range []string{"/sys/module/" + name, moduleSigns[name]} {
		if there, err := h.Exists(sign); sign != "" && err == nil && there {
			return ModulePresent
		}
	}
	if content, err := h.ReadFile("/proc/filesystems"); err == nil {
		for line := range strings.Lines(string(content)) {
			if fields := strings.Fields(line); len(fields) > 0 && fields[len(fields)-1] == name {
				return ModulePresent
			}
		}
	}
	release, err := h.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ModuleMissing
	}
	dir := path.Join("/lib/modules", strings.TrimSpace(string(release)))
	switch {
	case h.moduleListed(path.Join(dir, "modules.builtin"), name):
		return ModulePresent
	case h.moduleListed(path.Join(dir, "modules.dep"), name):
		return ModuleLoadable
	}
	return ModuleMissing
}

// moduleSigns are what some modules make when they are in the kernel.
var moduleSigns = map[string]string{
	"br_netfilter": "/proc/sys/net/bridge/bridge-nf-call-iptables",
	"nf_conntrack": "/proc/sys/net/netfilter/nf_conntrack_max",
}

// moduleListed looks for a module in one of depmod's lists, where lines begin
// with the module's file: kernel/fs/overlayfs/overlay.ko.xz
func (h *Host) moduleListed(list, name string) bool {
	content, err := h.ReadFile(list)
	if err != nil {
		return false
	}
	want := strings.ReplaceAll(name, "-", "_")
	for s := bufio.NewScanner(bytes.NewReader(content)); s.Scan(); {
		file, _, _ := strings.Cut(s.Text(), ":")
		base, _, _ := strings.Cut(path.Base(file), ".ko")
		if strings.ReplaceAll(base, "-", "_") == want {
			return true
		}
	}
	return false
}
