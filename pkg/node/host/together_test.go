package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWriteTogether: all files are there and synced before the first takes its place; what
// fails before that changes none, and leaves nothing behind.
func TestWriteTogether(t *testing.T) {
	h := newHost(t, Options{})
	dir := h.Path("/etc/pki")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	put := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func() string {
		a, errA := os.ReadFile(filepath.Join(dir, "a"))
		b, errB := os.ReadFile(filepath.Join(dir, "b"))
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		return string(a) + " " + string(b)
	}
	put("a", "old")
	put("b", "old")
	uid, gid := os.Getuid(), os.Getgid()
	files := []File{{Path: "/etc/pki/a", Mode: 0o600, UID: uid, GID: gid, Content: []byte("new")}, {Path: "/etc/pki/b", Mode: 0o600, UID: uid, GID: gid, Content: []byte("new")}}

	broken := errors.New("the disk is full")
	for at, want := range map[string]string{"/etc/pki/b write": "old old", "/etc/pki/a rename": "old old", "/etc/pki/b rename": "new old"} {
		put("a", "old")
		h.beforeStep = func(path, step string) error {
			if path+" "+step == at {
				return broken
			}
			return nil
		}
		if _, err := h.WriteTogether(t.Context(), files...); !errors.Is(err, broken) {
			t.Errorf("%s: %v", at, err)
		}
		if got := read(); got != want {
			t.Errorf("%s: %s", at, got)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 2 {
			t.Errorf("%s: %v %v", at, entries, err)
		}
	}
	h.beforeStep = func(path, step string) error {
		if step == "rename" && path == "/etc/pki/a" {
			for _, name := range []string{"a", "b"} {
				if staged, err := os.ReadFile(filepath.Join(dir, "."+name+".kubectl-ha-new")); err != nil || string(staged) != "new" {
					t.Errorf("before the first takes its place: %q %v", staged, err)
				}
			}
		}
		return nil
	}
	put("a", "old")
	if changed, err := h.WriteTogether(t.Context(), files...); err != nil || !changed || read() != "new new" {
		t.Errorf("%t %v %s", changed, err, read())
	}
	if changed, err := h.WriteTogether(t.Context(), files...); err != nil || changed {
		t.Errorf("again: %t %v", changed, err)
	}
	files[0].Mode = 0o755
	if _, err := h.WriteTogether(t.Context(), files...); err == nil || !strings.Contains(err.Error(), "only read") {
		t.Errorf("a program: %v", err)
	}
}

// TestWriteTogetherDryRun: nothing is written, and both are said.
func TestWriteTogetherDryRun(t *testing.T) {
	h := newHost(t, Options{DryRun: true})
	changed, err := h.WriteTogether(t.Context(), File{Path: "/etc/a", Mode: 0o600}, File{Path: "/etc/b", Mode: 0o600})
	if err != nil || !changed || len(h.Changes()) < 2 {
		t.Errorf("%t %v %v", changed, err, h.Changes())
	}
	if _, err := os.Stat(h.Path("/etc/a")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func newHost(t *testing.T, options Options) *Host {
	t.Helper()
	options.Root = t.TempDir()
	ledger, err := OpenLedger(options.Root, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	options.Ledger = ledger
	h, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
