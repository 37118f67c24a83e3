package fscopy

import (
	"bytes"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// check fails the test on an error of the preparation.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stat is what the system tells of a file, links not followed.
func stat(t *testing.T, path string) *syscall.Stat_t {
	t.Helper()
	var s syscall.Stat_t
	check(t, syscall.Lstat(path, &s))
	return &s
}

func TestTree(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	old := time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)
	check(t, os.MkdirAll(filepath.Join(from, "blobs/sha256"), 0o755))
	check(t, os.Mkdir(filepath.Join(from, "blobs2"), 0o700))
	for name, mode := range map[string]fs.FileMode{"blobs/sha256/a": 0o444, "blobs2/b": 0o640, "run": 0o4755, "blobs": 0} {
		if mode == 0 {
			continue
		}
		path := filepath.Join(from, name)
		check(t, os.WriteFile(path, []byte("content of "+name), 0o600))
		check(t, unix.Chmod(path, uint32(mode)))
		check(t, os.Chtimes(path, old, old))
	}
	check(t, os.Link(filepath.Join(from, "run"), filepath.Join(from, "run2")))
	check(t, os.Symlink("no/such/file", filepath.Join(from, "link")))
	check(t, unix.Mkfifo(filepath.Join(from, "pipe"), 0o620))
	socket, err := net.Listen("unix", filepath.Join(from, "sock"))
	check(t, err)
	defer socket.Close()
	check(t, unix.Setxattr(filepath.Join(from, "blobs2/b"), "user.note", []byte("kept"), 0))

	// A file of a megabyte, with bytes at its begin and its end only.
	sparse, err := os.Create(filepath.Join(from, "sparse"))
	check(t, err)
	_, err = sparse.WriteString("begin")
	check(t, err)
	_, err = sparse.WriteAt([]byte("end"), 1<<20)
	check(t, err)
	check(t, sparse.Truncate(2<<20))
	check(t, sparse.Close())
	check(t, os.Chtimes(filepath.Join(from, "blobs"), old, old))

	check(t, Tree(from, to, []string{"blobs"}))

	if a, b := stat(t, filepath.Join(from, "blobs/sha256/a")), stat(t, filepath.Join(to, "blobs/sha256/a")); a.Ino != b.Ino {
		t.Error("a file below a shared folder was copied")
	}
	if a, b := stat(t, filepath.Join(from, "blobs2/b")), stat(t, filepath.Join(to, "blobs2/b")); a.Ino == b.Ino {
		t.Error("a folder whose name only begins alike was shared")
	}
	if stat(t, filepath.Join(to, "run")).Ino != stat(t, filepath.Join(to, "run2")).Ino {
		t.Error("two names of one file became two files")
	}
	for _, name := range []string{"blobs2/b", "run", "pipe", "blobs2"} {
		a, b := stat(t, filepath.Join(from, name)), stat(t, filepath.Join(to, name))
		if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid {
			t.Errorf("%s: mode %o of %d:%d, want %o of %d:%d", name, b.Mode, b.Uid, b.Gid, a.Mode, a.Uid, a.Gid)
		}
	}
	for _, name := range []string{"blobs2/b", "run", "blobs"} {
		if at := stat(t, filepath.Join(to, name)).Mtim; at.Nano() != old.UnixNano() {
			t.Errorf("%s: changed at %d, want %d", name, at.Nano(), old.UnixNano())
		}
	}
	if link, err := os.Readlink(filepath.Join(to, "link")); err != nil || link != "no/such/file" {
		t.Errorf("link to %q, %v", link, err)
	}
	if _, err := os.Lstat(filepath.Join(to, "sock")); !os.IsNotExist(err) {
		t.Errorf("the socket was copied: %v", err)
	}
	value := make([]byte, 10)
	if n, err := unix.Getxattr(filepath.Join(to, "blobs2/b"), "user.note", value); err != nil || string(value[:n]) != "kept" {
		t.Errorf("attribute %q, %v", value[:max(n, 0)], err)
	}
	want, err := os.ReadFile(filepath.Join(from, "sparse"))
	check(t, err)
	got, err := os.ReadFile(filepath.Join(to, "sparse"))
	check(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("the file with holes has other bytes (%d, want %d)", len(got), len(want))
	}
	if a, b := stat(t, filepath.Join(from, "sparse")), stat(t, filepath.Join(to, "sparse")); b.Blocks > a.Blocks {
		t.Errorf("the holes were filled: %d blocks, the original has %d", b.Blocks, a.Blocks)
	}
}

func TestTreeFails(t *testing.T) {
	from := t.TempDir()
	check(t, os.WriteFile(filepath.Join(from, "a"), nil, 0o600))
	for name, c := range map[string]struct{ from, to string }{
		"nothing to copy":      {filepath.Join(from, "none"), filepath.Join(t.TempDir(), "to")},
		"the target is there":  {from, t.TempDir()},
		"no folder around it":  {from, filepath.Join(t.TempDir(), "no", "to")},
		"the target is a file": {from, filepath.Join(from, "a")},
	} {
		if err := Tree(c.from, c.to, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
