package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteTogether is WriteFile for files that are read together, such as a certificate and its
// key. All are written beside their places and synced before the first is renamed, so that
// between the first and the last there is nothing but renames: whoever reads meanwhile sees
// one new and one old for microseconds. After a crash just there the call has to be made again.
func (h *Host) WriteTogether(ctx context.Context, files ...File) (changed bool, err error) {
	staged := make([]string, len(files))
	defer func() {
		for _, name := range staged {
			if name == "" {
				continue
			}
			if rmErr := os.Remove(name); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
				err = errors.Join(err, rmErr)
			}
		}
	}()
	for i, f := range files {
		do, err := h.prepare(ctx, f)
		if err != nil {
			return false, err
		}
		changed = changed || do
		if !do || h.DryRun() {
			continue
		}
		if staged[i], err = h.stage(f); err != nil {
			return false, fmt.Errorf("write %s: %w", f.Path, err)
		}
	}
	for i, f := range files {
		if staged[i] == "" {
			continue
		}
		if err := h.fault(f.Path, "rename"); err != nil {
			return false, fmt.Errorf("write %s: %w", f.Path, err)
		}
		if err := os.Rename(staged[i], h.Path(f.Path)); err != nil {
			return false, fmt.Errorf("write %s: %w", f.Path, err)
		}
		staged[i] = ""
	}
	for _, f := range files {
		if h.DryRun() {
			break
		}
		if err := syncDir(filepath.Dir(h.Path(f.Path))); err != nil {
			return false, fmt.Errorf("write %s: %w", f.Path, err)
		}
	}
	return changed, nil
}

// prepare tells whether a file is to be written, and passes the gate with it if so.
func (h *Host) prepare(ctx context.Context, f File) (bool, error) {
	if err := checkPath(f.Path); err != nil {
		return false, err
	}
	if f.Mode.Perm() != f.Mode || f.Mode&0o111 != 0 {
		return false, fmt.Errorf("write %s: the mode %v is not that of a file that is only read", f.Path, f.Mode)
	}
	now, err := h.look(f.Path)
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", f.Path, err)
	}
	if now.info != nil && !now.info.Mode().IsRegular() && now.link == "" {
		return false, fmt.Errorf("write %s: there is something that is neither a file nor a link (%v)", f.Path, now.info.Mode().Type())
	}
	sum := sha256.Sum256(f.Content)
	if now.info != nil && now.sha256 == hex.EncodeToString(sum[:]) && now.info.Mode() == f.Mode && h.sameOwner(now.uid, now.gid, f.UID, f.GID) {
		return false, nil
	}
	if err := h.mkdirs(ctx, filepath.Dir(f.Path)); err != nil {
		return false, err
	}
	if _, err := h.noteFile(ctx, KindFile, f, now); err != nil {
		return false, err
	}
	return true, nil
}

// stage writes a file beside its place, synced, and returns where.
func (h *Host) stage(f File) (string, error) {
	dir, name := filepath.Split(h.Path(f.Path))
	tmp, err := createNew(filepath.Join(dir, "."+name+".kubectl-ha-new"))
	if err != nil {
		return "", err
	}
	err = h.fault(f.Path, "write")
	if err == nil {
		_, err = tmp.Write(f.Content)
	}
	if err == nil && h.setsOwner() {
		err = tmp.Chown(f.UID, f.GID)
	}
	if err == nil {
		err = tmp.Chmod(f.Mode)
	}
	if err == nil {
		err = tmp.Sync()
	}
	return tmp.Name(), errors.Join(err, tmp.Close())
}
