package uninstall

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/netfilter"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
)

const classNet = "/sys/class/net"

// bridges are made by the reference CNI plugins for flannel; what hangs on them
// are pods' ends. The other names are of flannel, kube-proxy's IPVS mode, Calico
// and Cilium.
var (
	bridges    = []string{"cni0"}
	interfaces = []string{"flannel.1", "flannel-v6.1", "kube-ipvs0", "vxlan.calico", "vxlan-v6.calico", "cilium_host", "cilium_net", "cilium_vxlan"}
)

// removeInterfaces removes the interfaces of the pod network.
func (u *uninstaller) removeInterfaces(ctx context.Context) error {
	if !u.kubernetes() {
		return nil
	}
	entries, err := u.h.ReadDir(classNet)
	if err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	var ends, own []string
	for _, e := range entries {
		name := e.Name()
		master, _ := os.Readlink(u.h.Path(classNet + "/" + name + "/master")) // most have none
		switch {
		case slices.Contains(bridges, path.Base(master)) || strings.HasPrefix(name, "cali"):
			ends = append(ends, name)
		case slices.Contains(bridges, name) || slices.Contains(interfaces, name):
			own = append(own, name)
		}
	}
	for _, name := range append(ends, own...) {
		_, err := u.h.Run(ctx, "of the pod network", host.Command{Argv: []string{"ip", "link", "delete", "dev", name}, Timeout: time.Minute})
		if err == nil {
			continue
		}
		// A pod's end goes with the pod, by itself.
		if there, _ := u.h.Exists(classNet + "/" + name); there {
			return fmt.Errorf("remove the interface %s: %w", name, err)
		}
	}
	return nil
}

// dropAddress takes the virtual IP off an interface on which a killed keepalived
// left it.
func (u *uninstaller) dropAddress(ctx context.Context) error {
	want, err := netip.ParseAddr(u.address)
	if err != nil {
		return nil //nolint:nilerr // the file was not as we write it
	}
	all, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	for _, i := range all {
		addresses, err := i.Addrs()
		if err != nil {
			continue // It has just gone.
		}
		for _, a := range addresses {
			prefix, err := netip.ParsePrefix(a.String())
			if err != nil || prefix.Addr() != want {
				continue
			}
			if u.h.DryRun() {
				continue // keepalived takes it off when it is stopped.
			}
			if _, err := u.h.Run(ctx, "the virtual IP", host.Command{Argv: []string{"ip", "address", "delete", prefix.String(), "dev", i.Name}, Timeout: time.Minute}); err != nil {
				return fmt.Errorf("take the virtual IP off %s: %w", i.Name, err)
			}
		}
	}
	return nil
}

// cleanNetfilter takes the rules of kube-proxy, the plugin and ours out.
func (u *uninstaller) cleanNetfilter(ctx context.Context) error {
	if !u.kubernetes() {
		return nil
	}
	keep := u.chainsBefore()
	found, err := u.clean(keep, false)
	if err != nil {
		return err
	}
	if !found.Nothing() {
		what := fmt.Sprintf("%d chains, %d rules, %d tables of the packet filter", len(found.Chains)+len(found.Empty), found.Rules, len(found.Tables))
		if err := u.h.Do(ctx, host.ActionRemove, what, "KUBE-*, CNI-*, FLANNEL-* and what leads there", func(context.Context) error {
			_, err := u.clean(keep, true)
			return err
		}); err != nil {
			return err
		}
	}
	return errors.Join(u.cleanLegacy(ctx, "/proc/net/ip_tables_names", "iptables"), u.cleanLegacy(ctx, "/proc/net/ip6_tables_names", "ip6tables"))
}

// chainsBefore are those that were there before ours, as far as the ledger tells.
func (u *uninstaller) chainsBefore() []string {
	var out []string
	for _, m := range u.made {
		if m.Kind == prepare.KindNetfilter && m.Target == prepare.NetfilterTarget {
			// Written by us; with a broken one nothing is kept.
			_ = json.Unmarshal([]byte(m.Note), &out)
		}
	}
	return out
}

// cleanLegacy does the same for the kernel's older filter, where it is in use.
// names lists its tables.
func (u *uninstaller) cleanLegacy(ctx context.Context, names, program string) error {
	inUse, err := u.h.ReadFile(names)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(strings.TrimSpace(string(inUse))) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the packet filter: %w", err)
	}
	save, restore := program+"-legacy-save", program+"-legacy-restore"
	if _, err := u.h.LookPath(save); err != nil {
		// The one program of systems that have no other: it speaks to either filter.
		save, restore = program+"-save", program+"-restore"
	}
	if _, err := u.h.LookPath(save); err != nil {
		u.warn("the older packet filter is in use (%s), and %s is not on this host: whether rules of Kubernetes are left there can't be told", strings.Fields(string(inUse)), program)
		return nil
	}
	saved, err := u.h.Query(ctx, host.Command{Argv: []string{save}, Timeout: time.Minute})
	if err != nil {
		return fmt.Errorf("list the rules of the packet filter: %w", err)
	}
	undo := netfilter.Undo(string(saved.Stdout))
	if undo == "" {
		return nil
	}
	_, err = u.h.Run(ctx, "take the rules of Kubernetes out", host.Command{Argv: []string{restore, "--noflush"}, Stdin: []byte(undo), Timeout: time.Minute})
	return err
}
