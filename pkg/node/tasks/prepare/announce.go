package prepare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// What the ledger has of a host as it was before Kubernetes came to it. Kind and
// target of two entries: that all below was noted, and which chains the packet
// filter had (JSON, as netfilter.Chains lists them, in the entry's note).
const (
	KindAnnounced   = "announced"
	AnnouncedTarget = "what Kubernetes makes for itself"
	KindNetfilter   = "netfilter"
	NetfilterTarget = "chains"
)

// networkOnline is a target that nothing needs on many hosts until our units
// want it; systemd does not end it by itself.
const networkOnline = "network-online.target"

// Trees are directories that the kubelet, kubeadm and the network plugin make
// and fill as they run.
func Trees() []string {
	return []string{"/etc/kubernetes/pki", "/etc/kubernetes/tmp", "/var/lib/kubelet", "/var/lib/cni", "/etc/cni", "/var/log/pods", "/var/log/containers", "/usr/libexec/kubernetes",
		"/run/flannel", "/run/kubectl-ha", "/run/kubectl-ha-images"}
}

// Emptied are directories that the kubelet makes for a pod that wants them, and
// that a host may come to need.
func Emptied() []string { return []string{"/lib/modules"} }

// PluginFiles are what flannel puts into directories that others may use too.
func PluginFiles() []string {
	return []string{"/etc/cni/net.d/10-flannel.conflist", "/opt/cni/bin/flannel"}
}

// Settings are kernel settings that the kubelet (pkg/kubelet/cm), kube-proxy
// (cmd/kube-proxy) and the network plugin change when they start.
func Settings() []string {
	return []string{"vm.overcommit_memory", "vm.panic_on_oom", "kernel.panic", "kernel.panic_on_oops",
		"kernel.keys.root_maxkeys", "kernel.keys.root_maxbytes",
		"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.route_localnet",
		"net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_tcp_timeout_established",
		"net.netfilter.nf_conntrack_tcp_timeout_close_wait", "net.netfilter.nf_conntrack_tcp_be_liberal"}
}

// announce notes what others are going to make or change on our behalf, once,
// before any of them runs. A host that was prepared by a version that did not do
// this is left as it is: now nobody can tell any more what was there before.
func (p *preparer) announce(ctx context.Context) error {
	ledger, err := p.h.Ledger()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if ledger != nil && (ledger.Knows(KindAnnounced, AnnouncedTarget) || ledger.Knows(host.KindFile, unitDir+kubeletUnit)) {
		return nil
	}
	if p.h.DryRun() {
		return nil
	}
	if err := p.noteNetfilter(ctx); err != nil {
		return err
	}
	for _, name := range Settings() {
		if err := p.h.RecordSysctl(ctx, name); err != nil {
			return err
		}
	}
	if err := p.h.RecordUnit(ctx, networkOnline); err != nil {
		return err
	}
	for _, dir := range Trees() {
		if err := p.noteTree(ctx, dir, "filled by Kubernetes as it runs"); err != nil {
			return err
		}
	}
	for _, dir := range Emptied() {
		if err := p.noteParents(ctx, dir+"/."); err != nil {
			return err
		}
	}
	for _, file := range PluginFiles() {
		there, err := p.h.Exists(file)
		if err != nil {
			return err
		}
		if !there {
			if err := p.h.Record(ctx, host.KindFile, file, "made by the network plugin"); err != nil {
				return err
			}
		}
	}
	return p.h.Record(ctx, KindAnnounced, AnnouncedTarget, "the host as it was is noted")
}

// noteNetfilter notes the chains that are there before ours. What can't be told
// is left out; then none is taken for somebody else's.
func (p *preparer) noteNetfilter(ctx context.Context) error {
	chains, err := p.chains()
	if err != nil {
		p.progress("the packet filter's chains can't be listed: %v", err)
		return nil
	}
	note, err := json.Marshal(chains)
	if err != nil {
		return err
	}
	return p.h.Record(ctx, KindNetfilter, NetfilterTarget, string(note))
}

// noteTree notes a directory that will be filled: one that is not there, or that
// is there and empty, such as a disk of its own. Of one with something in it
// nothing is noted: it is somebody else's.
func (p *preparer) noteTree(ctx context.Context, dir, note string) error {
	entries, err := p.h.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := p.noteParents(ctx, dir); err != nil {
			return err
		}
		return p.h.Record(ctx, host.KindDirectory, dir, note)
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() != "lost+found" }) {
		return nil
	}
	return p.h.Record(ctx, host.KindDirectory, dir, note)
}

// noteParents notes the directories above a path that are missing.
func (p *preparer) noteParents(ctx context.Context, of string) error {
	dir := path.Dir(of)
	there, err := p.h.Exists(dir)
	if err != nil || there || dir == "/" {
		return err
	}
	if err := p.noteParents(ctx, dir); err != nil {
		return err
	}
	return p.h.Record(ctx, host.KindEmptyDirectory, dir, "made by Kubernetes when it needs it")
}
