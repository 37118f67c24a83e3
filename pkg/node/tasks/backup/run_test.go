package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func env(t *testing.T, root string, options ...hosttest.Options) node.Env {
	t.Helper()
	return node.Env{Host: hosttest.Open(t, root, hosttest.NewCommander(t), options...), Progress: func(string, ...any) {}, Sink: report.SinkFunc(func(report.Event) {})}
}

// newRoot is a host with something to keep.
func newRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	h := env(t, root).Host
	for path, content := range map[string]string{
		"/etc/kubernetes/pki/ca.key": "secret", "/etc/kubernetes/admin.conf": "conf", "/etc/kubernetes/manifests/kube-apiserver.yaml": "kind: Pod",
		"/etc/kubernetes/tmp/kubeadm-backup/x": "not kept", "/var/lib/kubelet/config.yaml": "kind: KubeletConfiguration", "/var/lib/kubelet/other": "not kept",
		"/var/lib/kubelet/pki/kubelet-client-2026.pem": "pem",
	} {
		hosttest.Write(t, h, path, content, 0o600)
	}
	if err := os.Symlink("kubelet-client-2026.pem", h.Path("/var/lib/kubelet/pki/kubelet-client-current.pem")); err != nil {
		t.Fatal(err)
	}
	return root
}

func run(t *testing.T, root string, spec Spec) Data {
	t.Helper()
	data, err := Run(t.Context(), env(t, root), spec)
	if err != nil {
		t.Fatal(err)
	}
	return data.(Data)
}

func listed(t *testing.T, root string) ListData {
	t.Helper()
	data, err := List(t.Context(), env(t, root), ListSpec{Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	return data.(ListData)
}

func names(backups []Backup) string {
	var out []string
	for _, b := range backups {
		out = append(out, b.Name)
	}
	return strings.Join(out, " ")
}

// contents are the names in an archive, with their content or the target of a link.
func contents(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it is only read
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for tr := tar.NewReader(zr); ; {
		head, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		raw, readErr := io.ReadAll(tr)
		if err := errors.Join(err, readErr); err != nil {
			t.Fatal(err)
		}
		out[head.Name] = string(raw) + head.Linkname
	}
}

func TestBackup(t *testing.T) {
	root := newRoot(t)
	first := run(t, root, Spec{Operation: "upgrade-1"})
	if first.Already || first.Archive.Files != 5 || first.Archive.Bytes == 0 || len(first.Archive.SHA256) != 64 || first.Snapshot != nil {
		t.Errorf("the first run: %+v", first)
	}
	got := contents(t, filepath.Join(root, Dir, "upgrade-1", ArchiveName))
	for name, want := range map[string]string{"etc/kubernetes/pki/ca.key": "secret", "etc/kubernetes/pki/": "", "var/lib/kubelet/config.yaml": "kind: KubeletConfiguration",
		"var/lib/kubelet/pki/kubelet-client-current.pem": "kubelet-client-2026.pem"} {
		if have, ok := got[name]; !ok || have != want {
			t.Errorf("%s is kept as %q, %v", name, have, ok)
		}
	}
	for name := range got {
		if strings.Contains(name, "tmp") || strings.Contains(name, "other") {
			t.Errorf("%s is kept", name)
		}
	}
	err := filepath.WalkDir(filepath.Join(root, Dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; info.Mode().Perm() != want {
			t.Errorf("%s has the mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	e := env(t, root)
	again, err := Run(t.Context(), e, Spec{Operation: "upgrade-1"})
	if err != nil || !again.(Data).Already || again.(Data).Archive != first.Archive || len(e.Host.Changes()) != 0 {
		t.Errorf("a second run: %+v, %v, changes %v", again, err, e.Host.Changes())
	}
}

func TestBackupIsMadeAnewWhenItIsNotWhole(t *testing.T) {
	const dir = Dir + "/upgrade-1/"
	for name, spoil := range map[string]func(h *host.Host){
		"no archive":      func(h *host.Host) { remove(t, h, dir+ArchiveName) },
		"no index":        func(h *host.Host) { remove(t, h, dir+indexName) },
		"a cut archive":   func(h *host.Host) { hosttest.Write(t, h, dir+ArchiveName, "", 0o600) },
		"a changed byte":  func(h *host.Host) { flip(t, h, dir+ArchiveName) },
		"a garbled index": func(h *host.Host) { hosttest.Write(t, h, dir+indexName, "{", 0o600) },
		"another's index": func(h *host.Host) { hosttest.Write(t, h, dir+indexName, `{"name":"x"}`, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			root := newRoot(t)
			run(t, root, Spec{Operation: "upgrade-1"})
			spoil(env(t, root).Host)
			if data := listed(t, root); len(data.Backups) != 0 || data.Broken["upgrade-1"] == "" {
				t.Errorf("it is listed as %+v", data)
			}
			if data := run(t, root, Spec{Operation: "upgrade-1"}); data.Already {
				t.Errorf("it was taken for whole: %+v", data)
			}
			if data := listed(t, root); names(data.Backups) != "upgrade-1" || len(data.Broken) != 0 {
				t.Errorf("afterwards: %+v", data)
			}
		})
	}
}

func remove(t *testing.T, h *host.Host, path string) {
	t.Helper()
	if err := os.Remove(h.Path(path)); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, h *host.Host, path string) {
	t.Helper()
	raw, err := h.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	hosttest.Write(t, h, path, string(raw), 0o600)
}

// age makes a backup that was made so many hours ago.
func age(t *testing.T, root, name string, hours int) {
	t.Helper()
	run(t, root, Spec{Operation: name, Keep: 99})
	h := env(t, root).Host
	b, err := read(h, name)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := h.ReadFile(Dir + "/" + name + "/" + indexName)
	if err != nil {
		t.Fatal(err)
	}
	old := b.Created.Add(-time.Duration(hours) * time.Hour)
	hosttest.Write(t, h, Dir+"/"+name+"/"+indexName, strings.Replace(string(raw), b.Created.Format(time.RFC3339), old.Format(time.RFC3339), 1), 0o600)
}

// TestKept: what must not go for a new one does not, however often an upgrade is tried.
func TestKept(t *testing.T) {
	root := newRoot(t)
	for i, name := range []string{"third", "second", "first", "before", "unreadable"} {
		age(t, root, name, i+1)
	}
	hosttest.Write(t, env(t, root).Host, Dir+"/unreadable/"+indexName, "{", 0o600)
	data := run(t, root, Spec{Operation: "fourth", Keep: 2, Protect: []string{"first", "gone"}})
	if strings.Join(data.Removed, " ") != "before second" {
		t.Errorf("removed %v", data.Removed)
	}
	if got := listed(t, root); names(got.Backups) != "fourth third first" || got.Broken["unreadable"] == "" {
		t.Errorf("left: %+v", got)
	}
}

// TestHeld: the backup of before the first try at a change stays, whoever makes how many since, until
// one try has gone through.
func TestHeld(t *testing.T) {
	root := newRoot(t)
	tries := []string{"etcd-1", "etcd-2", "etcd-3", "etcd-4"}
	for i, name := range tries {
		run(t, root, Spec{Operation: name, Keep: 1, Hold: true})
		age(t, root, name, len(tries)-i)
	}
	if got := listed(t, root); names(got.Backups) != "etcd-4 etcd-1" || !got.Backups[1].Held {
		t.Errorf("after four tries: %+v", got)
	}
	run(t, root, Spec{Operation: "by-hand", Keep: 1})
	if got := listed(t, root); names(got.Backups) != "by-hand etcd-1" {
		t.Errorf("after one by hand: %+v", got)
	}
	run(t, root, Spec{Operation: "etcd-5", Keep: 1, Hold: true})
	if data := run(t, root, Spec{Operation: "etcd-5", Keep: 1, Release: true}); !data.Already || data.Held || strings.Join(data.Removed, " ") != "etcd-1" {
		t.Errorf("after one that went through: %+v", data)
	}
	if got := listed(t, root); names(got.Backups) != "etcd-5" || got.Backups[0].Held {
		t.Errorf("at the end: %+v", got)
	}
}

// TestFirstHeld: one change that was never told to be through does not stand for the next.
func TestFirstHeld(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 1, 2, 3, minute, 0, 0, time.UTC) }
	got := firstHeld([]Backup{
		{Name: "free", Created: at(0)},
		{Name: "a-again", Created: at(2), Held: true, For: "upgrade v3.6.16"}, {Name: "a", Created: at(1), Held: true, For: "upgrade v3.6.16"},
		{Name: "b", Created: at(3), Held: true, For: "upgrade v3.7.3"}, {Name: "b-again", Created: at(4), Held: true, For: "upgrade v3.7.3"},
	})
	if slices.Sort(got); strings.Join(got, " ") != "a b" {
		t.Errorf("%v", got)
	}
}

func TestGenerations(t *testing.T) {
	root := newRoot(t)
	for i, name := range []string{"new", "older", "oldest", "ancient"} {
		age(t, root, name, i+1)
	}
	if err := os.MkdirAll(filepath.Join(root, Dir, "unfinished"), 0o700); err != nil {
		t.Fatal(err)
	}
	data := run(t, root, Spec{Operation: "now", Keep: 3})
	if strings.Join(data.Removed, " ") != "ancient oldest unfinished" {
		t.Errorf("removed %v", data.Removed)
	}
	if got := listed(t, root); names(got.Backups) != "now new older" || len(got.Broken) != 0 {
		t.Errorf("left: %+v", got)
	}
	// An Operation that is resumed keeps its own, however old.
	data = run(t, root, Spec{Operation: "older", Keep: 1})
	if got := listed(t, root); !data.Already || names(got.Backups) != "older" {
		t.Errorf("after a resume: %+v, %+v", data, got)
	}
}

func TestRefuses(t *testing.T) {
	for _, tt := range []struct {
		spec Spec
		want string
	}{
		{Spec{}, "not the name"}, {Spec{Operation: "../x"}, "not the name"}, {Spec{Operation: "a/b"}, "not the name"}, {Spec{Operation: ".."}, "not the name"},
		{Spec{Operation: "x", Keep: -1}, "not a number"},
		{Spec{Operation: "x", Endpoints: []string{"https://127.0.0.1:2379"}}, "no certificates for etcd"},
	} {
		root := newRoot(t)
		if _, err := Run(t.Context(), env(t, root), tt.spec); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt.spec, err)
		}
		if got := listed(t, root); len(got.Backups) != 0 {
			t.Errorf("%+v: %+v", tt.spec, got)
		}
	}
}

func TestDryRun(t *testing.T) {
	root := newRoot(t)
	e := env(t, root, hosttest.DryRun)
	if _, err := Run(t.Context(), e, Spec{Operation: "x"}); err != nil || len(e.Host.Changes()) == 0 {
		t.Errorf("%v, %v", err, e.Host.Changes())
	}
	if there, err := e.Host.Exists(Dir); there || err != nil {
		t.Errorf("a dry run wrote: %v, %v", there, err)
	}
}

var errKilled = errors.New("killed")

// mortal is a context that ends at the n-th look at it, and with it whoever
// looked, before the change that was to come.
type mortal struct {
	context.Context
	left *int
}

func (m mortal) Err() error {
	if *m.left--; *m.left < 0 {
		return errKilled
	}
	return nil
}

// TestKilledAnywhere ends the task before each of its changes: what was whole
// before is whole, the new one is whole or none, and the next run ends well.
func TestKilledAnywhere(t *testing.T) {
	points := 0
	for ; ; points++ {
		left := points
		root := newRoot(t)
		age(t, root, "old", 2)
		age(t, root, "older", 3)
		_, err := Run(mortal{t.Context(), &left}, env(t, root), Spec{Operation: "now", Keep: 2})
		if err == nil {
			break
		}
		if !errors.Is(err, errKilled) {
			t.Fatalf("point %d: %v", points, err)
		}
		got := names(listed(t, root).Backups)
		if !slices.Contains([]string{"old older", "now old older", "now old"}, got) {
			t.Errorf("point %d: whole are %q", points, got)
		}
		run(t, root, Spec{Operation: "now", Keep: 2})
		if got := listed(t, root); names(got.Backups) != "now old" || len(got.Broken) != 0 {
			t.Errorf("point %d, after the next run: %+v", points, got)
		}
	}
	if points < 8 {
		t.Errorf("it was ended at %d points only", points)
	}
}
