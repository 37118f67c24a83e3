package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/test/lab/docker"
	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// A partition is made where a real one happens: the host's cable is pulled out
// of the lab's bridge and put into another one that leads nowhere. No packet
// filter of the host's can undo or see it, address resolution ends as well, and
// hosts partitioned together still reach each other.

// Partition cuts the named hosts, as one group, off from all else.
func (m Manager) Partition(ctx context.Context, l *Lab, names []string) error {
	if len(names) == 0 {
		return errors.New("name the hosts to cut off")
	}
	for _, n := range names {
		if _, err := l.Container(n); err != nil {
			return err
		}
	}
	l.Partitions = append(withoutHosts(l.Partitions, names), slices.Clone(names))
	if err := l.save(); err != nil {
		return err
	}
	return m.restoreFaults(ctx, l)
}

// Heal ends the partitions of the named hosts; of all when none is named.
func (m Manager) Heal(ctx context.Context, l *Lab, names []string) error {
	names, err := l.pick(names)
	if err != nil {
		return err
	}
	if len(names) == len(l.Hosts) {
		names = append(names, MirrorName)
	}
	l.Partitions = withoutHosts(l.Partitions, names)
	if err := l.save(); err != nil {
		return err
	}
	return m.restoreFaults(ctx, l)
}

// withoutHosts takes hosts out of all groups.
func withoutHosts(groups [][]string, names []string) [][]string {
	var left [][]string
	for _, g := range groups {
		g = slices.DeleteFunc(slices.Clone(g), func(n string) bool { return slices.Contains(names, n) })
		if len(g) > 0 {
			left = append(left, g)
		}
	}
	return left
}

// partitioned reports whether a host is cut off.
func (l *Lab) partitioned(name string) bool {
	return slices.ContainsFunc(l.Partitions, func(g []string) bool { return slices.Contains(g, name) })
}

// islandBridge is the bridge of the group that begins with that host.
func (l *Lab) islandBridge(group []string) (string, error) {
	all := append([]string{MirrorName}, hostNames(l.Hosts)...)
	i := slices.Index(all, slices.Min(group))
	if i < 0 {
		return "", fmt.Errorf("group %v has a host that lab %q lacks", group, l.Name)
	}
	return fmt.Sprintf("labi%d-%d", l.Index, i), nil
}

func hostNames(hosts []Host) []string {
	names := make([]string, 0, len(hosts))
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	return names
}

// restoreFaults plugs every host's cable where the state says, and shapes the
// links. A host that was stopped gets a new cable when it starts, so this is
// done after every start as well.
func (m Manager) restoreFaults(ctx context.Context, l *Lab) error {
	there, err := m.Docker.Containers(ctx, docker.LabelLab, l.Name)
	if err != nil {
		return err
	}
	where := map[string]string{}
	for _, g := range l.Partitions {
		bridge, err := l.islandBridge(g)
		if err != nil {
			return err
		}
		if err := ensureBridge(ctx, bridge); err != nil {
			return err
		}
		for _, n := range g {
			where[n] = bridge
		}
	}
	for _, n := range append([]string{MirrorName}, hostNames(l.Hosts)...) {
		c := there[l.container(n)]
		if c.State.Pid == 0 {
			continue
		}
		bridge, cut := where[n]
		if !cut {
			bridge = l.bridge()
		}
		if err := plug(ctx, c.State.Pid, bridge); err != nil {
			return fmt.Errorf("host %s: %w", n, err)
		}
		if h, err := l.Host(n); err == nil {
			if err := l.plugNAT(ctx, h, c.State.Pid, cut); err != nil {
				return fmt.Errorf("host %s: %w", n, err)
			}
		}
		if err := l.applyShape(ctx, n, c.State.Pid); err != nil {
			return fmt.Errorf("host %s: %w", n, err)
		}
	}
	if err := l.applyUplink(ctx); err != nil {
		return err
	}
	return l.removeUnusedBridges(ctx, where)
}

// cable is the machine's end of the cable to a container's eth0.
func cable(ctx context.Context, pid int) (string, error) {
	path := filepath.Join("/proc", strconv.Itoa(pid), "root/sys/class/net/eth0/iflink")
	out, err := run.Output(ctx, run.Cmd{Argv: run.AsRoot("cat", path)})
	if err != nil {
		return "", err
	}
	index, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	i, err := net.InterfaceByIndex(index)
	if err != nil {
		return "", fmt.Errorf("its network interface on this machine: %w", err)
	}
	return i.Name, nil
}

// plug puts the container's cable into the bridge, unless it is there.
func plug(ctx context.Context, pid int, bridge string) error {
	veth, err := cable(ctx, pid)
	if err != nil {
		return err
	}
	master, err := os.Readlink(filepath.Join("/sys/class/net", veth, "master"))
	if err == nil && filepath.Base(master) == bridge {
		return nil
	}
	return run.Run(ctx, run.AsRoot("ip", "link", "set", "dev", veth, "master", bridge)...)
}

// islandRules are iptables' rules for frames within a bridge. Where bridged
// frames pass through iptables, Docker drops those of bridges that it does not
// know, and gives what leaves its own subnets another source address.
func islandRules(bridge string) [][]string {
	return [][]string{
		{"filter", "DOCKER-USER", "--in-interface", bridge, "--out-interface", bridge, "--jump", "ACCEPT"},
		{"nat", "POSTROUTING", "--out-interface", bridge, "--jump", "ACCEPT"},
	}
}

// iptables adds ("--insert") or takes away ("--delete") one of those rules.
func iptables(ctx context.Context, verb string, rule []string) error {
	argv := append([]string{"iptables", "--wait", "--table", rule[0], verb}, rule[1:]...)
	return run.Run(ctx, run.AsRoot(argv...)...)
}

// deleteRules takes the rules away. They may be gone already, or not be there
// yet: that is no error.
func deleteRules(ctx context.Context, bridge string) {
	for _, rule := range islandRules(bridge) {
		_ = iptables(ctx, "--delete", rule)
	}
}

// ensureBridge makes a bridge that leads nowhere.
func ensureBridge(ctx context.Context, bridge string) error {
	if _, err := net.InterfaceByName(bridge); err != nil {
		if err := run.Run(ctx, run.AsRoot("ip", "link", "add", "name", bridge, "type", "bridge", "forward_delay", "0")...); err != nil {
			return err
		}
	}
	if err := run.Run(ctx, run.AsRoot("ip", "link", "set", "dev", bridge, "up")...); err != nil {
		return err
	}
	if !iptablesSeesBridges() {
		return nil
	}
	// Anew each time, since they must stand before Docker's own.
	deleteRules(ctx, bridge)
	for _, rule := range islandRules(bridge) {
		if err := iptables(ctx, "--insert", rule); err != nil {
			return err
		}
	}
	return nil
}

// iptablesSeesBridges reports whether bridged frames pass through iptables.
func iptablesSeesBridges() bool {
	content, err := os.ReadFile("/proc/sys/net/bridge/bridge-nf-call-iptables")
	return err == nil && strings.TrimSpace(string(content)) == "1"
}

// removeBridges removes all of the lab's bridges that lead nowhere.
func (l *Lab) removeBridges(ctx context.Context) error { return l.removeUnusedBridges(ctx, nil) }

// removeUnusedBridges removes those that no host is on.
func (l *Lab) removeUnusedBridges(ctx context.Context, used map[string]string) error {
	all, err := net.Interfaces()
	if err != nil {
		return err
	}
	inUse := map[string]bool{}
	for _, b := range used {
		inUse[b] = true
	}
	for _, i := range all {
		if !strings.HasPrefix(i.Name, fmt.Sprintf("labi%d-", l.Index)) || inUse[i.Name] {
			continue
		}
		if iptablesSeesBridges() {
			deleteRules(ctx, i.Name)
		}
		if err := run.Run(ctx, run.AsRoot("ip", "link", "delete", "dev", i.Name)...); err != nil {
			return err
		}
	}
	return nil
}
