package host_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

func TestModule(t *testing.T) {
	h := hosttest.New(t, hosttest.NewCommander(t))
	for path, content := range map[string]string{
		"/proc/sys/kernel/osrelease":                   "6.1.0\n",
		"/proc/filesystems":                            "nodev\tsysfs\n\text4\nnodev\toverlay\n",
		"/sys/module/vxlan/refcnt":                     "0",
		"/proc/sys/net/bridge/bridge-nf-call-iptables": "1\n",
		"/lib/modules/6.1.0/modules.builtin":           "kernel/drivers/block/loop.ko\n",
		"/lib/modules/6.1.0/modules.dep":               "kernel/net/netfilter/ipvs/ip_vs.ko.xz: kernel/x.ko.xz\nkernel/drivers/nvme-core.ko:\n",
	} {
		hosttest.Write(t, h, path, content, 0o644)
	}
	for name, want := range map[string]host.ModuleState{
		"vxlan": host.ModulePresent, "overlay": host.ModulePresent, "br_netfilter": host.ModulePresent, "loop": host.ModulePresent,
		"ip_vs": host.ModuleLoadable, "nvme_core": host.ModuleLoadable, "x": host.ModuleMissing, "sys": host.ModuleMissing,
	} {
		if got := h.Module(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

func TestSetSysctl(t *testing.T) {
	ctx := context.Background()
	h := hosttest.New(t, hosttest.NewCommander(t))
	hosttest.Write(t, h, "/proc/sys/net/ipv4/ip_forward", "0\n", 0o644)
	for _, want := range []bool{true, false} {
		if changed, err := h.SetSysctl(ctx, "net.ipv4.ip_forward", "1"); err != nil || changed != want {
			t.Fatal(changed, err)
		}
	}
	if now, err := h.ReadFile("/proc/sys/net/ipv4/ip_forward"); err != nil || string(now) != "1\n" {
		t.Errorf("%q %v", now, err)
	}
	ledger, err := h.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	if e := ledger.Entries(); len(e) != 1 || e[0].Original == nil || e[0].Original.State != "0" {
		t.Errorf("the value before was not kept: %+v", e)
	}
	if _, err := h.SetSysctl(ctx, "net.none", "1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a setting that the kernel lacks: %v", err)
	}
}

func TestRemoveTree(t *testing.T) {
	ctx := context.Background()
	h := hosttest.New(t, hosttest.NewCommander(t))
	hosttest.Write(t, h, host.StateDir+"/blobs/a/b", "x", 0o600)
	hosttest.Write(t, h, "/srv/theirs/a", "x", 0o600)
	hosttest.Write(t, h, "/srv/ours/a", "x", 0o600)
	if err := h.Record(ctx, host.KindDirectory, "/srv/ours", ""); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{host.StateDir + "/blobs", "/srv/ours"} {
		for _, want := range []bool{true, false} {
			if changed, err := h.RemoveTree(ctx, path); err != nil || changed != want {
				t.Fatal(path, changed, err)
			}
		}
	}
	for _, path := range []string{"/srv/theirs", "/srv", host.StateDir, host.StateDir + "/ledger.jsonl"} {
		if _, err := h.RemoveTree(ctx, path); err == nil {
			t.Errorf("%s was removed", path)
		}
	}
}
