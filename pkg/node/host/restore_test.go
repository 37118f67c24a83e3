package host_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

// back takes everything of the ledger back, the last first.
func back(t *testing.T, h *host.Host) (left []string) {
	t.Helper()
	ledger, err := h.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range slices.Backward(ledger.Made()) {
		if strings.HasPrefix(m.Target, host.StateDir) {
			continue
		}
		var err error
		stays := false
		switch m.Kind {
		case host.KindFile, host.KindLink:
			_, err = h.RestoreFile(t.Context(), m)
		case host.KindDirectory, host.KindEmptyDirectory:
			_, stays, err = h.RestoreDirectory(t.Context(), m)
		case host.KindAttributes:
			_, err = h.RestoreAttributes(t.Context(), m)
		case host.KindSysctl:
			_, err = h.RestoreSysctl(t.Context(), m)
		}
		if err != nil {
			t.Fatalf("%s %s: %v", m.Kind, m.Target, err)
		}
		if stays {
			left = append(left, m.Target)
		}
	}
	return left
}

// tree lists what is below a root with mode and content, but our own directory.
func tree(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, root)
		if name == host.StateDir {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b.WriteString(name + " " + info.Mode().String())
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b.WriteString(" " + string(content))
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			b.WriteString(" -> " + to)
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, h *host.Host, path, content string, mode fs.FileMode) {
	t.Helper()
	_, err := h.WriteFile(t.Context(), host.File{Path: path, Mode: mode, Content: []byte(content), UID: os.Getuid(), GID: os.Getgid()})
	must(t, err)
}

// TestWayBack: whatever was made, replaced, removed and made again, the host is
// in the end as it was, and what others made stays.
func TestWayBack(t *testing.T) {
	h := hosttest.New(t, hosttest.NewCommander(t))
	ctx := t.Context()
	root := h.Path("/")
	hosttest.Write(t, h, "/etc/theirs.conf", "theirs", 0o640)
	hosttest.Write(t, h, "/etc/both.conf", "first", 0o600)
	hosttest.Write(t, h, "/etc/kept-", "backup", 0o600)
	hosttest.Write(t, h, "/proc/sys/net/a", "0\n", 0o644)
	hosttest.Write(t, h, "/proc/sys/net/b", "1\n", 0o644)
	hosttest.Write(t, h, "/proc/sys/net/c", "3\n", 0o644)
	must(t, os.Symlink("theirs.conf", h.Path("/etc/link")))
	must(t, os.MkdirAll(h.Path("/var/lib/disk/lost+found"), 0o700))
	must(t, os.MkdirAll(h.Path("/srv"), 0o755))
	must(t, os.MkdirAll(h.Path("/lib"), 0o755))
	hosttest.Write(t, h, "/usr/bin/setuid", "theirs", 0o755)
	must(t, os.Chmod(h.Path("/usr/bin/setuid"), 0o755|fs.ModeSetuid))
	must(t, os.MkdirAll(h.Path("/scratch"), 0o755))
	must(t, os.Chmod(h.Path("/scratch"), 0o777|fs.ModeSticky))
	before := tree(t, root)

	write(t, h, "/etc/theirs.conf", "ours", 0o644)
	write(t, h, "/etc/theirs.conf", "ours again", 0o644)
	write(t, h, "/usr/bin/setuid", "ours", 0o755)
	write(t, h, "/etc/link", "a file now", 0o644)
	write(t, h, "/etc/dir/new.conf", "new", 0o644)
	write(t, h, "/etc/both.conf", "ours", 0o644)
	_, err := h.Remove(ctx, "/etc/both.conf")
	must(t, err)
	_, err = h.Symlink(ctx, "/etc/dir/ln", "new.conf")
	must(t, err)
	for _, dir := range []string{"/srv", "/scratch"} {
		_, err = h.Mkdir(ctx, dir, 0o700, os.Getuid(), os.Getgid())
		must(t, err)
	}
	must(t, h.Record(ctx, host.KindDirectory, "/var/lib/disk", "a disk of its own"))
	must(t, h.Record(ctx, host.KindDirectory, "/var/lib/tree", "filled by others"))
	must(t, h.Record(ctx, host.KindEmptyDirectory, "/lib/modules", "when it is needed"))
	must(t, h.Keep(ctx, "/etc/kept-", "changes with every user"))
	must(t, h.Keep(ctx, "/etc/missing-", "changes with every user"))
	_, err = h.SetSysctl(ctx, "net.a", "1")
	must(t, err)
	must(t, h.RecordSysctl(ctx, "net.b"))
	must(t, h.RecordSysctl(ctx, "net.absent"))
	_, err = h.SetSysctl(ctx, "net.c", "4")
	must(t, err)
	// What others do on our behalf, and somebody else to a setting of ours.
	for path, content := range map[string]string{"/var/lib/disk/member/wal": "w", "/var/lib/tree/a/b": "b", "/etc/kept-": "changed", "/etc/missing-": "made", "/proc/sys/net/b": "7\n", "/proc/sys/net/c": "9\n"} {
		must(t, os.MkdirAll(filepath.Dir(h.Path(path)), 0o755))
		must(t, os.WriteFile(h.Path(path), []byte(content), 0o600))
	}
	must(t, os.MkdirAll(h.Path("/lib/modules"), 0o755))

	if left := back(t, h); len(left) > 0 {
		t.Errorf("left %q", left)
	}
	want := strings.Replace(before, "/proc/sys/net/c -rw-r--r-- 3\n", "/proc/sys/net/c -rw-r--r-- 9\n", 1)
	if got := tree(t, root); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	ledger, err := h.Ledger()
	must(t, err)
	for _, m := range ledger.Made() {
		if m.Kind == host.KindFile && m.Target != "/etc/both.conf" {
			t.Errorf("%s is still in the ledger", m.Target)
		}
	}
	// Again nothing changes.
	changes := len(h.Changes())
	back(t, h)
	if now := h.Changes(); len(now) != changes {
		t.Errorf("a second time changed %+v", now[changes:])
	}
}

// TestWayBackLeavesOthers: a directory with something that is not ours stays, and so does
// a file that somebody made where ours was removed.
func TestWayBackLeavesOthers(t *testing.T) {
	h := hosttest.New(t, hosttest.NewCommander(t))
	must(t, os.MkdirAll(h.Path("/etc"), 0o755))
	write(t, h, "/etc/kubernetes/admin.conf", "ours", 0o600)
	write(t, h, "/etc/gone.conf", "ours", 0o600)
	_, err := h.Remove(t.Context(), "/etc/gone.conf")
	must(t, err)
	hosttest.Write(t, h, "/etc/kubernetes/audit.yaml", "theirs", 0o600)
	hosttest.Write(t, h, "/etc/gone.conf", "theirs", 0o600)
	if left := back(t, h); !slices.Equal(left, []string{"/etc/kubernetes"}) {
		t.Errorf("left %q", left)
	}
	for _, path := range []string{"/etc/kubernetes/audit.yaml", "/etc/gone.conf"} {
		if content, err := h.ReadFile(path); err != nil || string(content) != "theirs" {
			t.Errorf("%s: %q %v", path, content, err)
		}
	}
	if there, _ := h.Exists("/etc/kubernetes/admin.conf"); there {
		t.Error("ours is still there")
	}
}

// TestNothingMountedIsRemoved: what is mounted below a directory of ours is somebody's data.
func TestNothingMountedIsRemoved(t *testing.T) {
	h := hosttest.New(t, hosttest.NewCommander(t))
	must(t, h.Record(t.Context(), host.KindDirectory, "/var/lib/kubelet", ""))
	hosttest.Write(t, h, "/var/lib/kubelet/pods/a/volumes/data/precious", "data", 0o600)
	hosttest.Write(t, h, "/proc/self/mountinfo", "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n"+
		`40 25 0:40 / /var/lib/kubelet/pods/a/volumes/data\040x rw shared:1 - nfs4 server:/export rw`+"\n"+
		"41 25 0:41 / /var/lib/kubelet/pods/a/volumes/data rw - nfs4 server:/export rw\n", 0o444)
	mounts, err := h.Mounts()
	if err != nil || len(mounts) != 3 || mounts[1] != (host.Mount{Path: "/var/lib/kubelet/pods/a/volumes/data x", Type: "nfs4", Source: "server:/export"}) {
		t.Fatalf("%+v %v", mounts, err)
	}
	if _, err := h.RemoveTree(t.Context(), "/var/lib/kubelet"); err == nil || !strings.Contains(err.Error(), "volumes/data") || host.Hint(err) == "" {
		t.Errorf("got %v", err)
	}
	// What can't be read may be a mount of somebody's data.
	hosttest.Write(t, h, "/proc/self/mountinfo", "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n41 25 0:41 / /var/lib\n", 0o444)
	if _, err := h.RemoveTree(t.Context(), "/var/lib/kubelet"); err == nil || !strings.Contains(err.Error(), "what is mounted") {
		t.Errorf("got %v", err)
	}
	if _, err := h.ReadFile("/var/lib/kubelet/pods/a/volumes/data/precious"); err != nil {
		t.Error(err)
	}
}

// TestForget: the ledger goes with everything else, in the end; in a dry run nothing does.
func TestForget(t *testing.T) {
	root := t.TempDir()
	h := hosttest.Open(t, root, hosttest.NewCommander(t), hosttest.DryRun)
	must(t, h.Forget(t.Context()))
	if there, err := h.Exists(host.StateDir + "/ledger.jsonl"); err != nil || !there {
		t.Fatalf("a dry run removed it: %v", err)
	}
	h = hosttest.Open(t, root, hosttest.NewCommander(t))
	write(t, h, host.StateDir+"/backups/a/b", "x", 0o600)
	must(t, h.Forget(t.Context()))
	if there, err := h.Exists(host.StateDir); err != nil || there {
		t.Errorf("still there: %v", err)
	}
	if _, err := host.ReadLedger(root); err == nil {
		t.Error("there is a ledger")
	}
}

// TestDo: a dry run only tells, and a cancelled context keeps it from being done.
func TestDo(t *testing.T) {
	done := 0
	do := func(context.Context) error { done++; return nil }
	must(t, hosttest.New(t, hosttest.NewCommander(t), hosttest.DryRun).Do(t.Context(), host.ActionRemove, "process 1", "", do))
	h := hosttest.New(t, hosttest.NewCommander(t))
	must(t, h.Do(t.Context(), host.ActionRemove, "process 1", "end it", do))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Do(ctx, host.ActionRemove, "process 2", "", do); err == nil || done != 1 {
		t.Errorf("done %d times: %v", done, err)
	}
	if c := h.Changes(); len(c) != 1 || c[0] != (host.Change{Action: host.ActionRemove, Target: "process 1", Note: "end it"}) {
		t.Errorf("changes %+v", c)
	}
}
