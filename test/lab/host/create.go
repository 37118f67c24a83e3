package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/test/lab/docker"
)

// capabilityNames are the kernel's capabilities by number, those that Docker
// 20.10 knows. capability.h of the kernel.
func capabilityNames() []string {
	return strings.Fields("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE " +
		"NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE " +
		"SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL " +
		"SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ")
}

// capabilities returns those of bounding (the CapBnd line's hexadecimal mask).
// Docker's --privileged wants all of them and fails on a machine that lacks one.
func capabilities(bounding string) ([]string, error) {
	mask, err := strconv.ParseUint(bounding, 16, 64)
	if err != nil {
		return nil, fmt.Errorf("capability mask %q: %w", bounding, err)
	}
	var names []string
	for i, n := range capabilityNames() {
		if mask&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return names, nil
}

// machineCapabilities are the capabilities that this machine can give away.
func machineCapabilities() ([]string, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(status)) {
		if mask, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			return capabilities(strings.TrimSpace(mask))
		}
	}
	return nil, fmt.Errorf("/proc/self/status has no CapBnd")
}

// hostArgs are docker create's arguments for a host: a container with systemd,
// as near to a machine as a container gets.
func (l *Lab) hostArgs(h Host, caps []string, hasModules bool) []string {
	args := []string{
		"create", "--name", l.container(h.Name), "--hostname", h.Name, "--label", docker.LabelLab + "=" + l.Name,
		"--network", l.network(), "--ip", h.Address, "--network-alias", h.Name,
		"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
		"--device-cgroup-rule", "a *:* rwm", "--device", "/dev/kmsg", "--cgroupns=private", "--stop-signal", "SIGRTMIN+3",
		"--tmpfs", "/tmp:exec", "--tmpfs", "/run:exec", "--restart", "no",
		// Docker asks it for the names that are not the lab's: there are none, and nobody outside is asked.
		"--dns", l.MirrorAddress(),
	}
	image, volume := l.image(h), "/var"
	switch {
	case h.Frozen:
		image, volume = (&Save{Name: l.From}).image(h.Name), l.volume(h.Name)+":/var"
	case h.Disk != "":
		volume = l.diskMount(h.Name) + ":/var"
	}
	args = append(args, "--volume", volume)
	if h.NoexecVar {
		args = append(args, "--env", "LAB_NOEXEC_VAR=1")
	}
	for _, c := range caps {
		args = append(args, "--cap-add", c)
	}
	if hasModules {
		args = append(args, "--volume", "/lib/modules:/lib/modules:ro")
	}
	return append(args, image)
}

// createHost makes a host's container with its identity, not started.
func (l *Lab) createHost(ctx context.Context, d docker.Client, h Host, caps []string) error {
	if h.Disk != "" {
		if err := errors.Join(l.ensureDisk(ctx, h), l.fillDisk(ctx, d, h)); err != nil {
			return err
		}
	}
	_, err := os.Stat("/lib/modules")
	if _, err := d.Run(ctx, l.hostArgs(h, caps, err == nil)...); err != nil {
		return fmt.Errorf("host %s: %w", h.Name, err)
	}
	if h.Frozen {
		return nil // its disk has its identity
	}
	identity, err := l.identityTar(h)
	if err != nil {
		return err
	}
	if _, err := d.Feed(ctx, identity, "cp", "-", l.container(h.Name)+":/"); err != nil {
		return fmt.Errorf("host %s: its identity: %w", h.Name, err)
	}
	return nil
}

// createMirror makes the mirror's container, not started. It sees the cache's
// mirror folder read-only and this very program.
func (l *Lab) createMirror(ctx context.Context, d docker.Client, files, registry, registryBin string) error {
	_, err := d.Run(ctx, "create", "--name", l.container(MirrorName), "--hostname", MirrorName,
		"--label", docker.LabelLab+"="+l.Name, "--network", l.network(), "--ip", l.MirrorAddress(), "--network-alias", MirrorName,
		"--volume", l.path("lab")+":/usr/local/bin/lab:ro", "--volume", files+":/srv/files:ro",
		"--volume", registry+":/srv/registry:ro", "--volume", registryBin+":/usr/local/bin/registry:ro",
		"--tmpfs", "/tmp", "--stop-signal", "SIGTERM", "--restart", "no", "--log-opt", "max-size=50m",
		l.Image, "/usr/local/bin/lab", "mirror", "--listen", ":80", "--names", ":53", "--files", "/srv/files",
		"--registry-storage", "/srv/registry", "--registry-program", "/usr/local/bin/registry")
	if err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	return nil
}

// ensureNetwork makes the lab's network unless it is there.
func (l *Lab) ensureNetwork(ctx context.Context, d docker.Client) error {
	networks, err := d.Networks(ctx)
	if err != nil {
		return err
	}
	subnet := Subnet(l.Index).String()
	i := slices.IndexFunc(networks, func(n docker.Network) bool { return n.Name == l.network() })
	if i >= 0 {
		n := networks[i]
		if n.Labels[docker.LabelLab] != l.Name || len(n.IPAM.Config) != 1 || n.IPAM.Config[0].Subnet != subnet {
			return fmt.Errorf("there is a Docker network %s that is not this lab's; remove it or take another --name", l.network())
		}
		return nil
	}
	_, err = d.Run(ctx, "network", "create", "--driver", "bridge", "--label", docker.LabelLab+"="+l.Name,
		"--subnet", subnet, "--gateway", l.Gateway(), "--opt", "com.docker.network.bridge.name="+l.bridge(), l.network())
	return err
}
