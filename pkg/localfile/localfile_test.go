package localfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// only tells of anything in a directory but the names given.
func only(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("there are %v, want %v", got, names)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, c := range []struct {
		content string
		mode    os.FileMode
	}{{"first", 0o600}, {"second", 0o644}, {"", 0o600}} {
		if err := Write(path, []byte(c.content), c.mode); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err = errors.Join(err, statErr); err != nil || string(got) != c.content {
			t.Errorf("got %q, %v", got, err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != c.mode {
			t.Errorf("mode %o, want %o", info.Mode().Perm(), c.mode)
		}
	}
	only(t, dir, "f")
}

// TestReplaceFails: what was there stays, and nothing else does.
func TestReplaceFails(t *testing.T) {
	full := errors.New("the disk is full")
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := Write(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Replace(path, 0o600, func(w io.Writer) error {
		if _, err := io.WriteString(w, "half"); err != nil {
			return err
		}
		return full
	})
	if !errors.Is(err, full) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "before" {
		t.Errorf("got %q, %v", got, err)
	}
	only(t, dir, "f")
	// What can't be replaced by a rename.
	taken := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(taken, nil, 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	only(t, dir, "f", "taken")
	if err := Write(filepath.Join(dir, "missing", "f"), nil, 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a directory that is missing: %v", err)
	}
}

func TestTryLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() }) // Some are closed by then.
		return f
	}
	first, second := open(), open()
	got, err := TryLock(first)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this system has no such locks")
	}
	if !got || err != nil {
		t.Fatalf("the first: %v, %v", got, err)
	}
	if got, err := TryLock(second); got || err != nil {
		t.Errorf("the second: %v, %v", got, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := TryLock(second); !got || err != nil {
		t.Errorf("after the first: %v, %v", got, err)
	}
	if _, err := TryLock(first); err == nil {
		t.Error("a file that is closed was locked")
	}
}
