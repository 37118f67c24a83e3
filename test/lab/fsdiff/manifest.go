package fsdiff

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Entry is one path of a file system.
type Entry struct {
	// Mode is type and permissions as ls prints them.
	Mode string `json:"mode"`
	// Owner is uid:gid.
	Owner string `json:"owner"`
	// Size is a regular file's length in bytes.
	Size int64 `json:"size,omitempty"`
	// SHA256 is a regular file's digest, Target a symbolic link's target.
	SHA256 string `json:"sha256,omitempty"`
	Target string `json:"target,omitempty"`
	// Mount says that another file system is mounted here. What is in it is not
	// looked at.
	Mount bool `json:"mount,omitempty"`
}

// Manifest maps absolute paths to what is there.
type Manifest map[string]Entry

// excluded are paths whose content says nothing about what was installed:
// kernel and memory file systems, what Docker writes itself, and what a system
// writes merely by running (journal, login records, random seed, timers).
func excluded() []string {
	return []string{
		"/proc", "/sys", "/dev", "/run", "/tmp", "/lib/modules",
		"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/.dockerenv",
		"/var/log/journal", "/var/log/wtmp", "/var/log/btmp", "/var/log/lastlog", "/var/lib/systemd", "/var/lib/private",
		"/var/cache/ldconfig", "/var/lib/sudo/lectured", "/var/tmp",
	}
}

// Take walks the file system below root. Other file systems mounted in it are
// walked only if they are listed in mounts (as paths below root). Files for
// which hash is false get no digest.
func Take(root string, mounts []string, hash func(path string, size int64) bool) (Manifest, error) {
	m := Manifest{}
	devices := map[uint64]bool{}
	for _, p := range append([]string{"/"}, mounts...) {
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Join(root, p), &st); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		devices[st.Dev] = true
	}
	skip := excluded()
	err := filepath.WalkDir(root, func(full string, d fs.DirEntry, err error) error {
		path := "/" + strings.TrimPrefix(strings.TrimPrefix(full, root), "/")
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since its folder was read: the host is alive
		}
		if err != nil {
			return err
		}
		if slices.Contains(skip, path) {
			return skipOf(d)
		}
		e, other, err := entryOf(full, path, devices, hash)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case other:
			m[path] = Entry{Mount: true}
			return skipOf(d)
		}
		if path != "/" {
			m[path] = e
		}
		return nil
	})
	return m, err
}

// skipOf skips a whole folder or one file.
func skipOf(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// entryOf looks at one path; other says that it is on a file system that is not to be walked.
func entryOf(full, path string, devices map[uint64]bool, hash func(string, int64) bool) (e Entry, other bool, err error) {
	info, err := os.Lstat(full)
	if err != nil {
		return e, false, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return e, false, fmt.Errorf("%s: no file status of Linux's kind", path)
	}
	// Files bind-mounted into a container keep the folder's entry, but are others'.
	if !devices[st.Dev] {
		return e, true, nil
	}
	e = Entry{Mode: info.Mode().String(), Owner: fmt.Sprintf("%d:%d", st.Uid, st.Gid)}
	switch {
	case info.Mode().IsRegular():
		e.Size = info.Size()
		if hash(path, e.Size) {
			e.SHA256, err = digest(full)
		}
	case info.Mode()&fs.ModeSymlink != 0:
		e.Target, err = os.Readlink(full)
	}
	return e, false, err
}

// digest is a file's SHA-256 in hexadecimal.
func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
