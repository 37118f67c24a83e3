package uninstall

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/netfilter"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// bench is a host with a cluster on it, whose machine remembers what was done to it.
type bench struct {
	*hosttest.Commander
	t    *testing.T
	root string
	// did is what the machine was asked for, in order, with the units that were stopped.
	did      []string
	warnings []string
	pods     []ctrd.Pod
	podsErr  error
	cleanErr error
	dirty    bool // the packet filter has rules of Kubernetes
	units    map[string][]string
}

func newBench(t *testing.T) *bench {
	b := &bench{Commander: hosttest.NewCommander(t), t: t, root: t.TempDir(), units: map[string][]string{}}
	b.OnUnit(controlplane.RetireTimer, "LoadState=not-found", "ActiveState=inactive")
	b.OnUnit(upgrade.BackTimer, "LoadState=not-found", "ActiveState=inactive")
	for _, unit := range []string{kubeletUnit, containerdUnit, etcdmember.UnitName, vip.WatchUnit} {
		b.unit(unit, "active", "enabled")
	}
	b.unit(keepalivedUnit, "active", "enabled")
	b.unit("network-online.target", "active", "static")
	b.unit(podsSlice, "active", "")
	b.On("systemctl daemon-reload", "")
	b.Fail("getent passwd etcd", 2, "").Fail("getent group etcd", 2, "")
	for _, dir := range []string{"/proc", "/sys/class/net", "/etc"} {
		b.must(os.MkdirAll(filepath.Join(b.root, dir), 0o755))
	}
	return b
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// unit makes a unit known; it can be stopped and disabled.
func (b *bench) unit(name, active, file string) {
	b.OnUnit(name, "LoadState=loaded", "ActiveState="+active, "UnitFileState="+file)
	b.OnFunc("systemctl stop "+name, func(host.Command) (host.Output, error) {
		b.did = append(b.did, "stop "+name)
		b.OnUnit(name, "LoadState=loaded", "ActiveState=inactive", "UnitFileState="+file)
		return host.Output{}, nil
	})
	b.OnFunc("systemctl disable "+name, func(host.Command) (host.Output, error) {
		b.did = append(b.did, "disable "+name)
		return host.Output{}, nil
	})
}

// TestKubeletStaysDown: an upgrade that was killed a moment ago would have the kubelet back in the
// middle of an uninstall.
func TestKubeletStaysDown(t *testing.T) {
	b := newBench(t)
	h := b.open()
	b.made(h)
	b.unit(upgrade.BackTimer, "active", "transient")
	if _, err := b.run(h); err != nil {
		t.Fatal(err)
	}
	timer, kubelet := slices.Index(b.did, "stop "+upgrade.BackTimer), slices.Index(b.did, "stop "+kubeletUnit)
	if timer < 0 || kubelet < timer {
		t.Errorf("did %q", b.did)
	}
}

// TestRetired: the timer of a host that was taken out of the cluster a moment ago ends
// first; it would stop the kubelet of whoever adds the host again.
func TestRetired(t *testing.T) {
	b := newBench(t)
	b.unit(controlplane.RetireTimer, "active", "transient")
	h := b.open()
	b.made(h)
	if _, err := b.run(h); err != nil || len(b.did) == 0 || b.did[0] != "stop "+controlplane.RetireTimer {
		t.Errorf("%v, did %q", err, b.did)
	}
}

// made puts the cluster on the host as the other tasks do.
func (b *bench) made(h *host.Host) {
	b.t.Helper()
	ctx := b.t.Context()
	for _, file := range []string{unitDir + kubeletUnit, unitDir + containerdUnit, unitDir + etcdmember.UnitName, unitDir + vip.WatchUnit, vip.ConfigPath, "/usr/local/bin/kubelet", "/etc/kubernetes/admin.conf"} {
		_, err := h.WriteFile(ctx, host.File{Path: file, Mode: 0o644, Content: []byte("ours"), UID: os.Getuid(), GID: os.Getgid()})
		b.must(err)
	}
	b.must(h.Record(ctx, host.KindDirectory, kubeletDir, ""))
	b.must(h.Record(ctx, prepare.KindNetfilter, prepare.NetfilterTarget, `["ip nat PREROUTING"]`))
	b.must(h.Record(ctx, prepare.KindAnnounced, prepare.AnnouncedTarget, ""))
	hosttest.Write(b.t, h, kubeletDir+"/config.yaml", "x", 0o600)
}

func (b *bench) open(options ...hosttest.Options) *host.Host {
	return hosttest.Open(b.t, b.root, b, options...)
}

func (b *bench) run(h *host.Host) (Data, error) {
	b.t.Helper()
	b.did, b.warnings = nil, nil
	env := node.Env{Host: h, Progress: func(string, ...any) {}, Sink: report.SinkFunc(func(e report.Event) { b.warnings = append(b.warnings, e.Message) })}
	data, err := run(b.t.Context(), env, Spec{}, machine{
		pods: func(context.Context) ([]ctrd.Pod, error) { return b.pods, b.podsErr },
		removePods: func(_ context.Context, pods []ctrd.Pod, grace time.Duration) error {
			b.did = append(b.did, fmt.Sprintf("end %d pods within %s", len(pods), grace))
			b.pods = nil
			return nil
		},
		removeImages: func(_ context.Context, refs []string) ([]ctrd.Removal, error) {
			b.did = append(b.did, "remove images "+strings.Join(refs, " "))
			return []ctrd.Removal{{Ref: refs[0], Kept: "used by container x"}}, nil
		},
		ready:   func(context.Context) error { return nil },
		unmount: b.unmount,
		kill: func(pid int, hard bool) error {
			b.did = append(b.did, fmt.Sprintf("kill %d %v", pid, hard))
			return os.RemoveAll(filepath.Join(b.root, "proc", fmt.Sprint(pid)))
		},
		self: []int{99},
		clean: func(keep []string, do bool) (netfilter.Found, error) {
			if !slices.Equal(keep, []string{"ip nat PREROUTING"}) {
				return netfilter.Found{}, fmt.Errorf("keeps %q", keep)
			}
			if !b.dirty {
				return netfilter.Found{}, nil
			}
			if do && b.cleanErr == nil {
				b.did = append(b.did, "clean the filter")
				b.dirty = false
			}
			return netfilter.Found{Rules: 1}, b.cleanErr
		},
	})
	d, _ := data.(Data)
	return d, err
}

// unmount takes a line out of the mounts.
func (b *bench) unmount(m host.Mount) error {
	b.did = append(b.did, "unmount "+m.Path)
	path := filepath.Join(b.root, "proc/self/mountinfo")
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var left []string
	for line := range strings.Lines(string(raw)) {
		if !strings.Contains(line, " "+m.Path+" ") {
			left = append(left, line)
		}
	}
	return os.WriteFile(path, []byte(strings.Join(left, "")), 0o644)
}

func (b *bench) gone(h *host.Host, paths ...string) {
	b.t.Helper()
	for _, p := range paths {
		if there, err := h.Exists(p); err != nil || there {
			b.t.Errorf("%s is still there (%v)", p, err)
		}
	}
}

func TestOrder(t *testing.T) {
	b := newBench(t)
	h := b.open()
	b.made(h)
	b.pods, b.dirty = []ctrd.Pod{{ID: "1"}, {ID: "2"}}, true
	hosttest.Write(t, h, "/proc/self/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 8:2 / /var/lib/kubelet rw - ext4 /dev/sdb rw\n"+
		"3 2 0:3 / /var/lib/kubelet/pods/a rw - tmpfs tmpfs rw\n4 3 0:4 / /var/lib/kubelet/pods/a/b rw - nfs server:/x rw\n5 1 0:5 / /srv/data rw - nfs server:/y rw\n"+
		"6 1 0:6 / /run/netns/cni-1 rw - nsfs nsfs rw\n7 1 0:7 / /run/netns/mine rw - nsfs nsfs rw\n8 1 0:8 / /run/containerd/x rw - overlay overlay rw\n", 0o644)
	b.must(os.MkdirAll(h.Path("/sys/fs/cgroup/cpuset/kubepods.slice/kubepods-burstable.slice"), 0o755))
	// A shim that nobody has any more, somebody's kubectl, this agent, and somebody else's program.
	for pid, exe := range map[string]string{"41": "/usr/local/bin/kubelet", "42": "/usr/bin/sleep", "99": "/usr/local/bin/kubelet"} {
		b.must(os.MkdirAll(filepath.Join(b.root, "proc", pid), 0o755))
		b.must(os.Symlink(exe, filepath.Join(b.root, "proc", pid, "exe")))
	}
	hosttest.Write(t, h, "/proc/43/cgroup", "0::/kubepods.slice/x\n", 0o644)
	b.must(os.Symlink("/bin/busybox", filepath.Join(b.root, "proc/43/exe")))

	d, err := b.run(h)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"stop " + kubeletUnit, "disable " + kubeletUnit, "end 2 pods within 10s", "stop " + keepalivedUnit, "stop " + vip.WatchUnit, "disable " + vip.WatchUnit,
		"stop " + etcdmember.UnitName, "disable " + etcdmember.UnitName, "stop " + containerdUnit, "disable " + containerdUnit,
		"kill 41 false", "kill 43 true", "unmount /run/containerd/x", "unmount /run/netns/cni-1", "unmount /var/lib/kubelet/pods/a/b", "unmount /var/lib/kubelet/pods/a",
		"clean the filter", "stop " + podsSlice}
	if !slices.Equal(b.did, want) {
		t.Errorf("did\n%s\nwant\n%s", strings.Join(b.did, "\n"), strings.Join(want, "\n"))
	}
	if d.Pods != 2 || d.Mounts != 4 || d.Bare || len(d.Left) > 0 || len(b.warnings) > 0 {
		t.Errorf("%+v, warnings %q", d, b.warnings)
	}
	b.gone(h, "/sys/fs/cgroup/cpuset/kubepods.slice", "/etc/kubernetes", unitDir+kubeletUnit, "/usr/local/bin/kubelet", host.StateDir, kubeletDir+"/config.yaml")
	// A disk of its own is mounted there.
	if there, _ := h.Exists(kubeletDir); !there {
		t.Error("the mount point is gone")
	}
}

// TestDryRunChangesNothing: it tells what a run does, without doing any of it.
func TestDryRunChangesNothing(t *testing.T) {
	b := newBench(t)
	b.made(b.open())
	b.pods, b.dirty = []ctrd.Pod{{ID: "1"}}, true
	h := b.open(hosttest.DryRun)
	hosttest.Write(t, h, "/proc/self/mountinfo", "3 2 0:3 / /var/lib/kubelet/pods/a rw - tmpfs tmpfs rw\n", 0o644)
	if _, err := b.run(h); err != nil {
		t.Fatal(err)
	}
	if len(b.did) > 0 {
		t.Errorf("did %q", b.did)
	}
	var told []string
	for _, c := range h.Changes() {
		told = append(told, c.Action+" "+c.Target)
	}
	for _, want := range []string{"service systemctl stop " + kubeletUnit, "remove 1 pods", "remove /var/lib/kubelet/pods/a", "remove /etc/kubernetes/admin.conf",
		"remove " + kubeletDir, "remove " + host.StateDir} {
		if !slices.Contains(told, want) {
			t.Errorf("does not tell %q:\n%s", want, strings.Join(told, "\n"))
		}
	}
	if _, err := h.ReadFile("/etc/kubernetes/admin.conf"); err != nil {
		t.Error(err)
	}
}

// TestGoesOn: a part that fails keeps neither the others from being done nor the
// next run; until all is done the ledger stays.
func TestGoesOn(t *testing.T) {
	b := newBench(t)
	h := b.open()
	b.made(h)
	b.podsErr = errors.New("no such socket")
	b.Fail("systemctl stop "+etcdmember.UnitName, 1, "a job is stuck")
	_, err := b.run(h)
	if err == nil || !strings.Contains(err.Error(), "stopping etcd") || host.Hint(err) == "" {
		t.Fatalf("got %v", err)
	}
	if len(b.warnings) != 1 || !strings.Contains(b.warnings[0], "no such socket") {
		t.Errorf("warnings %q", b.warnings)
	}
	if !slices.Contains(b.did, "stop "+containerdUnit) {
		t.Errorf("what comes after was not done: %q", b.did)
	}
	// etcd still runs: nothing is taken from beneath it.
	if there, _ := h.Exists(unitDir + etcdmember.UnitName); !there {
		t.Error("its unit is gone")
	}
	h = b.open()
	b.unit(etcdmember.UnitName, "active", "enabled")
	if _, err := b.run(h); err != nil || !slices.Contains(b.did, "stop "+etcdmember.UnitName) {
		t.Fatalf("%v, did %q", err, b.did)
	}
	b.gone(h, host.StateDir, "/etc/kubernetes/admin.conf")
}

// TestFilterIsTriedAgain: rules that could not be removed keep the files from
// nothing, but the ledger; the next run tries again although the files are gone.
func TestFilterIsTriedAgain(t *testing.T) {
	b := newBench(t)
	h := b.open()
	b.made(h)
	b.dirty, b.cleanErr = true, errors.New("busy")
	if _, err := b.run(h); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Fatalf("got %v", err)
	}
	b.gone(h, "/etc/kubernetes/admin.conf", unitDir+kubeletUnit)
	b.cleanErr = nil
	h = b.open()
	if _, err := b.run(h); err != nil || !slices.Contains(b.did, "clean the filter") {
		t.Errorf("%v, did %q", err, b.did)
	}
	b.gone(h, host.StateDir)
}

// TestForeign: a container runtime and a keepalived that were there before run on
// as they did, with their own configuration, and what is not ours is named.
func TestForeign(t *testing.T) {
	b := newBench(t)
	h := b.open()
	ctx := t.Context()
	hosttest.Write(t, h, containerdConfig, "theirs", 0o600)
	hosttest.Write(t, h, "/usr/bin/containerd", "theirs", 0o755)
	hosttest.Write(t, h, "/etc/kubernetes/audit.yaml", "theirs", 0o600)
	b.must(os.Remove(h.Path("/etc/kubernetes/audit.yaml")))
	b.must(os.Remove(h.Path("/etc/kubernetes")))
	b.OnUnit(containerdUnit, "LoadState=loaded", "ActiveState=active", "UnitFileState=enabled")
	for _, file := range []string{unitDir + kubeletUnit, containerdConfig, "/etc/kubernetes/admin.conf"} {
		_, err := h.WriteFile(ctx, host.File{Path: file, Mode: 0o644, Content: []byte("ours"), UID: os.Getuid(), GID: os.Getgid()})
		b.must(err)
	}
	b.must(h.Record(ctx, "image", "registry.k8s.io/pause:3.10", "image in containerd"))
	b.must(h.Record(ctx, prepare.KindAnnounced, prepare.AnnouncedTarget, ""))
	b.must(h.Record(ctx, prepare.KindNetfilter, prepare.NetfilterTarget, `["ip nat PREROUTING"]`))
	hosttest.Write(t, h, "/etc/kubernetes/audit.yaml", "theirs", 0o600)
	hosttest.Write(t, h, prepare.Socket, "", 0o600)
	restarted := 0
	b.OnFunc("systemctl restart "+containerdUnit, func(host.Command) (host.Output, error) { restarted++; return host.Output{}, nil })
	d, err := b.run(h)
	if err != nil {
		t.Fatal(err)
	}
	if content, err := h.ReadFile(containerdConfig); err != nil || string(content) != "theirs" || restarted != 1 {
		t.Errorf("their configuration: %q %v, restarted %d times", content, err, restarted)
	}
	if slices.Contains(b.did, "stop "+containerdUnit) || !slices.Contains(b.did, "remove images registry.k8s.io/pause:3.10") {
		t.Errorf("did %q", b.did)
	}
	if len(d.Left) != 2 || !strings.Contains(d.Left[1], "audit.yaml") {
		t.Errorf("left %q", d.Left)
	}
}

// TestForeignIsRestartedLater: a containerd that was there before has not read its own
// configuration as long as its restart has not succeeded: the next run sees to it, although
// the file is back.
func TestForeignIsRestartedLater(t *testing.T) {
	b := newBench(t)
	h := b.open()
	hosttest.Write(t, h, containerdConfig, "theirs", 0o600)
	hosttest.Write(t, h, "/usr/bin/containerd", "theirs", 0o755)
	// It has run since a moment after the boot.
	b.OnUnit(containerdUnit, "LoadState=loaded", "ActiveState=active", "UnitFileState=enabled", "ExecMainStartTimestampMonotonic=1000")
	for _, file := range []string{unitDir + kubeletUnit, containerdConfig} {
		_, err := h.WriteFile(t.Context(), host.File{Path: file, Mode: 0o644, Content: []byte("ours"), UID: os.Getuid(), GID: os.Getgid()})
		b.must(err)
	}
	b.must(h.Record(t.Context(), prepare.KindAnnounced, prepare.AnnouncedTarget, ""))
	b.must(h.Record(t.Context(), prepare.KindNetfilter, prepare.NetfilterTarget, `["ip nat PREROUTING"]`))
	b.Fail("systemctl restart "+containerdUnit, 1, "a job is stuck")
	if _, err := b.run(h); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Fatalf("got %v", err)
	}
	if content, err := h.ReadFile(containerdConfig); err != nil || string(content) != "theirs" {
		t.Errorf("their configuration: %q %v", content, err)
	}
	restarted := 0
	b.OnFunc("systemctl restart "+containerdUnit, func(host.Command) (host.Output, error) { restarted++; return host.Output{}, nil })
	if _, err := b.run(b.open()); err != nil || restarted != 1 {
		t.Errorf("%v, restarted %d times", err, restarted)
	}
}

// TestUserAndPackage: both go only when we brought them.
func TestUserAndPackage(t *testing.T) {
	b := newBench(t)
	h := b.open()
	b.must(h.Record(t.Context(), etcdmember.KindUser, "etcd", ""))
	b.must(h.Record(t.Context(), "package", "keepalived", "installed with apt-get"))
	b.On("getent passwd etcd", "etcd:x:1:1::/:/x\n").On("getent group etcd", "etcd:x:1:\n").On("userdel etcd", "").On("groupdel etcd", "")
	b.On("apt-get -y -qq -o DPkg::Lock::Timeout=120 purge keepalived", "")
	hosttest.Write(t, h, "/usr/sbin/keepalived", "x", 0o755)
	if _, err := b.run(h); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Join(b.Lines(), "|"); !strings.Contains(lines, "userdel etcd") || !strings.Contains(lines, "purge keepalived") {
		t.Errorf("ran %s", lines)
	}
	b = newBench(t)
	if d, err := b.run(b.open()); err != nil || !d.Bare || len(b.did) > 0 || len(b.Lines()) > 0 {
		t.Errorf("a host with nothing: %+v %v, did %q, ran %q", d, err, b.did, b.Lines())
	}
}

// TestOldLedger: where an earlier version noted nothing of what the kubelet makes,
// that goes by its names.
func TestOldLedger(t *testing.T) {
	b := newBench(t)
	h := b.open()
	_, err := h.WriteFile(t.Context(), host.File{Path: unitDir + kubeletUnit, Mode: 0o644, Content: []byte("ours"), UID: os.Getuid(), GID: os.Getgid()})
	b.must(err)
	b.must(h.Record(t.Context(), prepare.KindNetfilter, prepare.NetfilterTarget, `["ip nat PREROUTING"]`))
	hosttest.Write(t, h, "/var/lib/kubelet/pods/x", "x", 0o600)
	hosttest.Write(t, h, "/var/lib/other/x", "x", 0o600)
	if _, err := b.run(h); err != nil {
		t.Fatal(err)
	}
	b.gone(h, "/var/lib/kubelet")
	if there, _ := h.Exists("/var/lib/other/x"); !there {
		t.Error("something else went as well")
	}
}

// TestOthersNode: a node of a cluster that others made has our agent, and perhaps a kubelet that an
// upgrade has brought. It is no host to uninstall.
func TestOthersNode(t *testing.T) {
	b := newBench(t)
	h := b.open()
	for _, path := range []string{host.AgentPath, "/usr/local/bin/kubelet"} {
		_, err := h.WriteFile(t.Context(), host.File{Path: path, Mode: 0o755, Content: []byte("ours"), UID: os.Getuid(), GID: os.Getgid()})
		b.must(err)
	}
	hosttest.Write(t, h, kubeletConf, "others'", 0o600)
	if _, err := b.run(h); err == nil || !strings.Contains(err.Error(), "others made") || !strings.Contains(host.Hint(err), "adopt --release") {
		t.Errorf("%v, hint %q", err, host.Hint(err))
	}
	if len(b.did) > 0 {
		t.Errorf("did %q", b.did)
	}
	for _, path := range []string{host.AgentPath, kubeletConf, host.StateDir} {
		if there, err := h.Exists(path); err != nil || !there {
			t.Errorf("%s is gone: %v", path, err)
		}
	}
}
