package host_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

func file(path, content string, mode fs.FileMode) host.File {
	return host.File{Path: path, Mode: mode, Content: []byte(content)}
}

func mustWrite(t *testing.T, h *host.Host, f host.File, wantChanged bool) {
	t.Helper()
	changed, err := h.WriteFile(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	if changed != wantChanged {
		t.Fatalf("%s: changed is %v, want %v", f.Path, changed, wantChanged)
	}
}

func TestWriteFile(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	h := hosttest.New(t, hosttest.NewCommander(t))
	mustWrite(t, h, file("/etc/x/a.conf", "one", 0o644), true)
	mustWrite(t, h, file("/etc/x/a.conf", "one", 0o644), false)
	mustWrite(t, h, file("/etc/x/a.conf", "one", 0o600), true)
	mustWrite(t, h, file("/etc/x/a.conf", "two", 0o666), true)
	mustWrite(t, h, file(host.StateDir+"/sub/b", "key", 0o600), true)

	for path, want := range map[string]fs.FileMode{"/etc/x/a.conf": 0o666, "/etc/x": 0o755 | fs.ModeDir,
		host.StateDir + "/sub": 0o700 | fs.ModeDir, host.StateDir + "/sub/b": 0o600} {
		info, err := h.Stat(path)
		if err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v %v, want %v in spite of the umask", path, info.Mode(), err, want)
		}
	}
	for _, bad := range []string{"relative", "/", "/etc/../x", ""} {
		if _, err := h.WriteFile(context.Background(), file(bad, "", 0o600)); err == nil {
			t.Errorf("the path %q was taken", bad)
		}
	}
	if _, err := h.WriteFile(context.Background(), file("/etc/x", "", 0o600)); err == nil {
		t.Error("a directory was replaced by a file")
	}
}

func TestOriginalsAreKeptOnce(t *testing.T) {
	h := hosttest.New(t, hosttest.NewCommander(t))
	hosttest.Write(t, h, "/etc/theirs", "their text", 0o640)
	mustWrite(t, h, file("/etc/theirs", "our text", 0o600), true)
	mustWrite(t, h, file("/etc/theirs", "our second text", 0o600), true)
	mustWrite(t, h, file("/etc/ours", "new", 0o600), true)

	var originals []host.Entry
	ledger, err := h.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ledger.Entries() {
		if e.Original != nil {
			originals = append(originals, e)
		}
	}
	if len(originals) != 1 || originals[0].Target != "/etc/theirs" || originals[0].Original.Mode != 0o640 {
		t.Fatalf("originals: %+v", originals)
	}
	kept, err := h.ReadFile(host.StateDir + "/originals/" + originals[0].Original.SHA256)
	if err != nil || string(kept) != "their text" {
		t.Fatalf("the original's content: %q %v", kept, err)
	}
}

func TestRemoveOnlyWhatIsOurs(t *testing.T) {
	ctx := context.Background()
	h := hosttest.New(t, hosttest.NewCommander(t))
	hosttest.Write(t, h, "/etc/theirs", "x", 0o600)
	if _, err := h.Remove(ctx, "/etc/theirs"); err == nil {
		t.Fatal("a file that is not ours was removed")
	}
	mustWrite(t, h, file("/etc/ours", "x", 0o600), true)
	for _, want := range []bool{true, false} {
		changed, err := h.Remove(ctx, "/etc/ours")
		if err != nil || changed != want {
			t.Fatalf("changed %v, %v, want %v", changed, err, want)
		}
	}
	// What somebody else puts there afterwards is theirs again.
	hosttest.Write(t, h, "/etc/ours", "theirs now", 0o600)
	if _, err := h.Remove(ctx, "/etc/ours"); err == nil {
		t.Fatal("a file that came after our removal was removed")
	}
}

func TestLinksAreReplacedNotFollowed(t *testing.T) {
	ctx := context.Background()
	h := hosttest.New(t, hosttest.NewCommander(t))
	hosttest.Write(t, h, "/etc/victim", "precious", 0o644)
	if err := os.Symlink("victim", h.Path("/etc/link")); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, h, file("/etc/link", "precious", 0o644), true)
	info, err := h.Stat("/etc/link")
	if err != nil || !info.Mode().IsRegular() {
		t.Fatalf("still a link: %v %v", info, err)
	}
	ledger, err := h.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	last := ledger.Entries()[len(ledger.Entries())-1]
	if last.Original == nil || last.Original.Link != "victim" {
		t.Errorf("the link was not kept: %+v", last)
	}
	for _, want := range []bool{true, false} {
		if changed, err := h.Symlink(ctx, "/etc/new", "victim"); err != nil || changed != want {
			t.Fatalf("changed %v, %v, want %v", changed, err, want)
		}
	}
	if got, err := h.ReadFile("/etc/new"); err != nil || string(got) != "precious" {
		t.Errorf("%q %v", got, err)
	}
}

func TestInstallFile(t *testing.T) {
	ctx := context.Background()
	h := hosttest.New(t, hosttest.NewCommander(t))
	sum := sha256.Sum256([]byte("binary"))
	f := host.File{Path: "/usr/local/bin/x", Mode: 0o755}
	reader := func(content string) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
	}
	if _, err := h.InstallFile(ctx, f, hex.EncodeToString(sum[:]), reader("corrupt")); err == nil {
		t.Fatal("corrupt content was installed")
	}
	entries, err := h.ReadDir("/usr/local/bin")
	if err != nil || len(entries) != 0 {
		t.Fatalf("left behind: %v %v", entries, err)
	}
	if changed, err := h.InstallFile(ctx, f, hex.EncodeToString(sum[:]), reader("binary")); err != nil || !changed {
		t.Fatal(changed, err)
	}
	changed, err := h.InstallFile(ctx, f, hex.EncodeToString(sum[:]), func() (io.ReadCloser, error) {
		return nil, errors.New("must not be read again")
	})
	if err != nil || changed {
		t.Fatal(changed, err)
	}
	if _, err := h.InstallFile(ctx, f, "abc", reader("")); err == nil {
		t.Error("no digest was taken")
	}
}

func TestMkdir(t *testing.T) {
	ctx := context.Background()
	h := hosttest.New(t, hosttest.NewCommander(t))
	uid, gid := os.Getuid(), os.Getgid()
	for _, want := range []bool{true, false} {
		if changed, err := h.Mkdir(ctx, "/srv/a/b", 0o700, uid, gid); err != nil || changed != want {
			t.Fatal(changed, err)
		}
	}
	info, err := h.Stat("/srv/a/b")
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatal(info, err)
	}
	if err := os.MkdirAll(h.Path("/theirs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if changed, err := h.Mkdir(ctx, "/theirs", 0o711, uid, gid); err != nil || !changed {
		t.Fatal(changed, err)
	}
	ledger, err := h.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	if ledger.Owns("/theirs/file") || !ledger.Owns("/srv/a/b/file") {
		t.Error("a directory is ours when we made it, not when we changed its mode")
	}
	hosttest.Write(t, h, "/plain", "", 0o600)
	if _, err := h.Mkdir(ctx, "/plain", 0o700, uid, gid); err == nil {
		t.Error("a file was taken for a directory")
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	h, err := host.Open(host.Options{Root: root, DryRun: true, Commands: hosttest.NewCommander(t)})
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, h, file("/etc/x/a", "1", 0o600), true)
	mustWrite(t, h, file("/etc/x/b", "1", 0o600), true)
	if _, err := h.Run(ctx, "do it", host.Command{Argv: []string{"never", "run"}}); err != nil {
		t.Fatal(err)
	}
	if err := h.Record(ctx, "image", "pause", ""); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range h.Changes() {
		got = append(got, c.Action+" "+c.Target)
	}
	want := "create /etc,create /etc/x,create /etc/x/a,create /etc/x/b,run never run,create pause"
	if strings.Join(got, ",") != want {
		t.Errorf("changes:\n%s\nwant\n%s", strings.Join(got, ","), want)
	}
	left, err := filepath.Glob(root + "/*")
	if err != nil || len(left) != 0 {
		t.Errorf("a dry run left %v %v", left, err)
	}
}

func TestTheGateRefuses(t *testing.T) {
	gone := errors.New("gone")
	cancelled, cancel := context.WithCancelCause(context.Background())
	cancel(gone)
	refusing := hosttest.New(t, hosttest.NewCommander(t))
	refusing.Refuse(gone)
	readOnly, err := host.Open(host.Options{Root: t.TempDir(), Commands: hosttest.NewCommander(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		ctx  context.Context
		h    *host.Host
		want error
	}{
		{"refused", context.Background(), refusing, gone},
		{"cancelled", cancelled, hosttest.New(t, hosttest.NewCommander(t)), gone},
		{"without a ledger", context.Background(), readOnly, host.ErrReadOnly},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, writeErr := c.h.WriteFile(c.ctx, file("/etc/f", "x", 0o600))
			_, runErr := c.h.Run(c.ctx, "", host.Command{Argv: []string{"x"}})
			for _, err := range []error{writeErr, runErr, c.h.Record(c.ctx, "image", "x", "")} {
				if !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			}
			if there, err := c.h.Exists("/etc/f"); there || err != nil {
				t.Error("it was written", err)
			}
		})
	}
}
