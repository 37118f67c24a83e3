package observe

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// text reads a small file, trimmed; nothing when it can't be read.
func (o *observer) text(path string) string {
	content, err := o.h.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

func (o *observer) identity() {
	f := &o.facts
	var err error
	if f.Hostname, err = os.Hostname(); err != nil {
		o.warn("the host's name can't be read: %v", err)
	}
	f.MachineID = o.text("/etc/machine-id")
	f.BootID = o.text("/proc/sys/kernel/random/boot_id")
	f.Arch = runtime.GOARCH
	release := o.text("/etc/os-release")
	if release == "" {
		release = o.text("/usr/lib/os-release")
	}
	values := shellValues(release)
	f.OS = OS{ID: values["ID"], VersionID: values["VERSION_ID"], PrettyName: values["PRETTY_NAME"],
		Kernel: o.text("/proc/sys/kernel/osrelease")}
}

// shellValues reads NAME=value lines as os-release(5) has them.
func shellValues(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		values[name] = value
	}
	return values
}

func (o *observer) system() {
	o.facts.CPUs = runtime.NumCPU()
	for line := range strings.Lines(o.text("/proc/meminfo")) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, err := strconv.ParseUint(fields[1], 10, 64)
		switch {
		case err != nil:
		case fields[0] == "MemTotal:":
			o.facts.MemoryBytes = kib << 10
		case fields[0] == "SwapTotal:":
			o.facts.SwapBytes = kib << 10
		}
	}
}

// cgroups tells version and controllers: with version 2 the file
// cgroup.controllers stands in the root, docs.kernel.org/admin-guide/cgroup-v2.html
func (o *observer) cgroups() {
	if content, err := o.h.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		o.facts.CgroupVersion = 2
		o.facts.Controllers = strings.Fields(string(content))
		return
	}
	o.facts.CgroupVersion = 1
	for line := range strings.Lines(o.text("/proc/cgroups")) {
		fields := strings.Fields(line)
		if len(fields) == 4 && !strings.HasPrefix(line, "#") && fields[3] == "1" {
			o.facts.Controllers = append(o.facts.Controllers, fields[0])
		}
	}
}

func (o *observer) disks() {
	o.facts.Disks = map[string]Disk{}
	for _, dir := range []string{"/", "/var/lib", ImagesDir, o.spec.DataDir} {
		disk, err := o.disk(dir)
		if err != nil {
			o.warn("the free space of %s can't be told: %v", dir, err)
			continue
		}
		o.facts.Disks[dir] = disk
	}
}

// disk looks at the file system that has, or would have, a directory.
func (o *observer) disk(dir string) (Disk, error) {
	for {
		there, err := o.h.Exists(dir)
		if err != nil {
			return Disk{}, err
		}
		if there || dir == "/" {
			return statDisk(o.h.Path(dir))
		}
		dir = path.Dir(dir)
	}
}

func (o *observer) commands() {
	o.facts.Commands = map[string]string{}
	for _, name := range []string{"keepalived", "iptables", "nft", "ip", "modprobe", "mount", "conntrack", "ethtool", "socat",
		"apt-get", "dnf", "yum", "zypper", "systemctl", "containerd", "dockerd", "crio", "kubelet", "kubeadm", "etcd",
		"getenforce", "firewall-cmd", "ufw"} {
		if found, err := o.h.LookPath(name); err == nil {
			o.facts.Commands[name] = found
		}
	}
}

// Modules are those of the kernel that a Kubernetes node needs.
func modulesNeeded() []string { return []string{"overlay", "br_netfilter", "vxlan"} }

func (o *observer) modules() {
	o.facts.Modules = map[string]bool{}
	for _, name := range modulesNeeded() {
		o.facts.Modules[name] = o.h.Module(name) != host.ModuleMissing
	}
}

// unitsThatMatter are looked at; those that do not exist are left out.
func unitsThatMatter() []string {
	return []string{"containerd.service", "kubelet.service", "etcd.service", "keepalived.service", "docker.service",
		"crio.service", "k3s.service", "firewalld.service", "ufw.service", "nginx.service", "haproxy.service"}
}

func (o *observer) units(ctx context.Context) {
	out, err := o.h.Query(ctx, host.Command{Argv: append([]string{"systemctl", "show",
		"--property=Id,LoadState,ActiveState,UnitFileState"}, unitsThatMatter()...)})
	if err != nil {
		o.warn("systemd can't be asked for its units: %v", err)
		return
	}
	o.facts.Units = map[string]string{}
	for _, block := range bytes.Split(out.Stdout, []byte("\n\n")) {
		u := shellValues(string(block))
		if u["Id"] == "" || u["LoadState"] == "not-found" {
			continue
		}
		o.facts.Units[u["Id"]] = u["ActiveState"]
	}
	o.facts.State.EtcdActive = o.facts.Units["etcd.service"] == "active"
	o.facts.State.KubeletActive = o.facts.Units["kubelet.service"] == "active"
	out, err = o.h.Query(ctx, host.Command{Argv: []string{"systemctl", "--version"}})
	if err != nil {
		o.warn("systemd's version can't be asked for: %v", err)
		return
	}
	// "systemd 252 (252.38-1~deb12u1)"
	if s := bufio.NewScanner(bytes.NewReader(out.Stdout)); s.Scan() {
		if fields := strings.Fields(s.Text()); len(fields) > 1 {
			o.facts.Systemd = fields[1]
		}
	}
}

// binaries are digests of what a bundle installs, where it installs it.
func (o *observer) binaries(ctx context.Context) {
	var paths []string
	for _, name := range []string{"kubelet", "kubeadm", "kubectl", "containerd", "containerd-shim-runc-v2", "ctr", "runc",
		"etcd", "etcdctl", "etcdutl", "crictl"} {
		paths = append(paths, "/usr/local/bin/"+name)
	}
	paths = append(paths, "/usr/local/sbin/runc", "/usr/bin/containerd", "/usr/bin/runc")
	if plugins, err := o.h.ReadDir("/opt/cni/bin"); err == nil {
		for _, p := range plugins {
			paths = append(paths, "/opt/cni/bin/"+p.Name())
		}
	}
	sums := make([]string, len(paths))
	var all sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU())
	for i, path := range paths {
		info, err := o.h.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			sum, err := o.h.SHA256(path)
			if err != nil {
				o.warn("%s can't be read: %v", path, err)
			}
			sums[i] = sum
		})
	}
	all.Wait()
	found := map[string]string{}
	for i, sum := range sums {
		if sum != "" {
			found[paths[i]] = sum
		}
	}
	o.facts.Binaries = found
}

// programs tries whether programs can be kept and started where they are to be, and looks
// whether ours is.
func (o *observer) programs(ctx context.Context) {
	for _, dir := range o.spec.Programs {
		if err := o.h.TryPrograms(ctx, dir); err != nil {
			if o.facts.NoPrograms == nil {
				o.facts.NoPrograms = map[string]string{}
			}
			o.facts.NoPrograms[dir] = err.Error()
		}
	}
	var err error
	if o.facts.AgentInstalled, err = o.h.AgentInstalled(host.SelfPath); err != nil {
		o.warn("the installed agent can't be looked at: %v", err)
	}
}

// sortedUnique sorts in place and drops what is there twice.
func sortedUnique[S ~[]E, E int | string](s S) S {
	slices.Sort(s)
	return slices.Compact(s)
}
