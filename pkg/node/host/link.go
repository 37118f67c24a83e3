package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// LinkFile gives a file's content a second name, f.Path, without reading or writing it:
// for programs, which are replaced as a whole and never changed in place. from must have
// the given SHA-256 (hex). f.Mode and the owner should be those of from, since both names
// have them in common. Where the content can't be linked, on another file system for
// instance, or with SELinux, where both names would have one label, it is copied as
// InstallFile does.
func (h *Host) LinkFile(ctx context.Context, f File, from, sha256 string) (changed bool, err error) {
	if err := checkPath(from); err != nil {
		return false, err
	}
	return h.put(ctx, f, sha256, func() error {
		if !h.labelled() {
			if linked, err := h.link(f.Path, from); err != nil || linked {
				return err
			}
		}
		return h.replace(f, sha256, func() (io.ReadCloser, error) { return os.Open(h.Path(from)) })
	})
}

// link makes the second name beside what is there, and renames it into place. That it
// can't be made is no error.
func (h *Host) link(path, from string) (linked bool, err error) {
	dir, name := filepath.Split(h.Path(path))
	tmp := filepath.Join(dir, "."+name+".kubectl-ha-new")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := h.fault(path, "link"); err != nil {
		return false, err
	}
	if err := os.Link(h.Path(from), tmp); err != nil {
		return false, nil // It is copied then, and that tells what is wrong.
	}
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"rename", func() error { return os.Rename(tmp, h.Path(path)) }},
		{"sync-dir", func() error { return syncDir(dir) }},
	} {
		if err = h.fault(path, s.name); err == nil {
			err = s.do()
		}
		if err != nil {
			if rmErr := os.Remove(tmp); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
				err = errors.Join(err, rmErr)
			}
			return false, fmt.Errorf("link %s: %w", from, err)
		}
	}
	return true, nil
}
