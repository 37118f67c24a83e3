package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Mkdir makes a directory with the exact mode and owner; parents that are
// missing are made with 0755 (0700 under StateDir).
func (h *Host) Mkdir(ctx context.Context, path string, mode fs.FileMode, uid, gid int) (changed bool, err error) {
	if err := checkPath(path); err != nil {
		return false, err
	}
	// Other than a file, a directory may be a link: /var/run usually is one.
	info, err := os.Stat(h.Path(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := h.mkdirs(ctx, filepath.Dir(path)); err != nil {
			return false, err
		}
		return true, h.mkdir(ctx, path, mode, uid, gid)
	case err != nil:
		return false, fmt.Errorf("look at %s: %w", path, err)
	case !info.IsDir():
		return false, fmt.Errorf("make the directory %s: there is something else (%v)", path, info.Mode().Type())
	}
	nowUID, nowGID := ownerOf(info)
	if info.Mode().Perm() == mode && h.sameOwner(nowUID, nowGID, uid, gid) {
		return false, nil
	}
	e := Entry{Action: ActionReplace, Kind: KindDirectory, Target: path, Note: "mode and owner"}
	if h.opts.Ledger != nil && !h.opts.Ledger.Knows(KindAttributes, path) && !h.opts.Ledger.Knows(KindDirectory, path) {
		// Only its attributes become ours, not what is in it.
		e.Kind = KindAttributes
		e.Original = &Original{Mode: info.Mode(), UID: nowUID, GID: nowGID}
	}
	do, err := h.mutate(ctx, Change{Action: ActionReplace, Target: path, Note: e.Note}, e)
	if err != nil || !do {
		return err == nil, err
	}
	return true, h.setDirAttributes(path, mode, uid, gid)
}

func (h *Host) setDirAttributes(path string, mode fs.FileMode, uid, gid int) error {
	if h.setsOwner() {
		if err := os.Chown(h.Path(path), uid, gid); err != nil {
			return err
		}
	}
	return os.Chmod(h.Path(path), mode)
}

// mkdirs makes the directories that are missing, each noted in the ledger.
func (h *Host) mkdirs(ctx context.Context, path string) error {
	if path == "/" {
		return nil
	}
	info, err := os.Stat(h.Path(path))
	if err == nil {
		if !info.IsDir() {
			return fmt.Errorf("make the directory %s: there is something else (%v)", path, info.Mode().Type())
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	if err := h.mkdirs(ctx, filepath.Dir(path)); err != nil {
		return err
	}
	mode := fs.FileMode(0o755)
	if path == StateDir || strings.HasPrefix(path, StateDir+"/") {
		mode = 0o700
	}
	return h.mkdir(ctx, path, mode, os.Getuid(), os.Getgid())
}

// mkdir makes one directory whose parent is there.
func (h *Host) mkdir(ctx context.Context, path string, mode fs.FileMode, uid, gid int) error {
	c := Change{Action: ActionCreate, Target: path, Note: "directory"}
	if h.opts.DryRun && slices.Contains(h.Changes(), c) {
		return nil // It would be there by now.
	}
	do, err := h.mutate(ctx, c,
		Entry{Action: ActionCreate, Kind: KindDirectory, Target: path})
	if err != nil || !do {
		return err
	}
	if err := os.Mkdir(h.Path(path), mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := h.setDirAttributes(path, mode, uid, gid); err != nil {
		return err
	}
	if err := h.relabel(ctx, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(h.Path(path)))
}

// Symlink makes path a link to target, atomically; what is there is replaced.
func (h *Host) Symlink(ctx context.Context, path, target string) (changed bool, err error) {
	if err := checkPath(path); err != nil {
		return false, err
	}
	now, err := h.look(path)
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", path, err)
	}
	if now.info != nil && now.link == target && now.info.Mode()&fs.ModeSymlink != 0 {
		return false, nil
	}
	if now.info != nil && !now.info.Mode().IsRegular() && now.link == "" {
		return false, fmt.Errorf("make the link %s: there is something that is neither a file nor a link (%v)", path, now.info.Mode().Type())
	}
	if err := h.mkdirs(ctx, filepath.Dir(path)); err != nil {
		return false, err
	}
	do, err := h.noteFile(ctx, KindLink, File{Path: path, Note: "link to " + target}, now)
	if err != nil || !do {
		return err == nil, err
	}
	real := h.Path(path)
	tmp := filepath.Join(filepath.Dir(real), "."+filepath.Base(real)+".kubectl-ha-link")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := os.Symlink(target, tmp); err != nil {
		return false, err
	}
	if err := os.Rename(tmp, real); err != nil {
		return false, errors.Join(err, os.Remove(tmp))
	}
	return true, syncDir(filepath.Dir(real))
}

// Remove removes a file, link or empty directory that the ledger knows as ours;
// what is not ours is an error. A missing file is no change.
func (h *Host) Remove(ctx context.Context, path string) (changed bool, err error) {
	if err := checkPath(path); err != nil {
		return false, err
	}
	if there, err := h.Exists(path); err != nil || !there {
		return false, err
	}
	ledger, err := h.Ledger()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if ledger == nil || !ledger.Owns(path) {
		return false, fmt.Errorf("remove %s: it is not in the ledger, so it is not ours to remove", path)
	}
	do, err := h.mutate(ctx, Change{Action: ActionRemove, Target: path}, Entry{Action: ActionRemove, Kind: KindFile, Target: path})
	if err != nil || !do {
		return err == nil, err
	}
	if err := os.Remove(h.Path(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, syncDir(filepath.Dir(h.Path(path)))
}

// Record notes in the ledger what is about to be made outside of the gate (a
// data directory by etcd, an image by containerd): kind is file, directory,
// image, interface, mount, unit, user, package. What is noted already is not
// noted again, and is no change. A directory that is there already is noted with
// its attributes, so that it stays when all that comes into it is taken back.
func (h *Host) Record(ctx context.Context, kind, target, note string) error {
	ledger, err := h.Ledger()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if ledger != nil && ledger.Knows(kind, target) {
		return h.mayMutate(ctx)
	}
	if note == "" {
		note = kind
	}
	e := Entry{Action: ActionRecord, Kind: kind, Target: target, Note: note}
	if kind == KindDirectory && (ledger == nil || !ledger.Owns(target)) {
		if e.Original, err = h.directory(target); err != nil {
			return fmt.Errorf("look at %s: %w", target, err)
		}
	}
	_, err = h.mutate(ctx, Change{Action: ActionCreate, Target: target, Note: note}, e)
	return err
}

// directory describes a directory for the ledger; nil when there is none.
func (h *Host) directory(path string) (*Original, error) {
	info, err := os.Stat(h.Path(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil || !info.IsDir() {
		return nil, err
	}
	uid, gid := ownerOf(info)
	return &Original{Mode: info.Mode(), UID: uid, GID: gid}, nil
}

// RemoveTree removes a directory with all that is in it, when it is one below
// StateDir or recorded as ours. A missing one is no change. One in which something
// is mounted is an error: what is mounted there is somebody's data.
func (h *Host) RemoveTree(ctx context.Context, path string) (changed bool, err error) {
	if err := checkPath(path); err != nil {
		return false, err
	}
	info, err := h.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	ledger, err := h.Ledger()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	below := strings.HasPrefix(path, StateDir+"/")
	if !info.IsDir() || !below && (ledger == nil || !ledger.Knows(KindDirectory, path)) {
		return false, fmt.Errorf("remove the directory %s: it is not ours to remove", path)
	}
	mounts, err := h.MountsBelow(path)
	if err != nil {
		return false, err
	}
	if len(mounts) > 0 && !h.opts.DryRun {
		return false, WithHint(fmt.Errorf("remove the directory %s: something is mounted at %s", path, strings.Join(mounts, ", ")),
			"what is mounted is not ours: unmount it, and run the command again")
	}
	do, err := h.mutate(ctx, Change{Action: ActionRemove, Target: path, Note: "directory"},
		Entry{Action: ActionRemove, Kind: KindDirectory, Target: path})
	if err != nil || !do {
		return err == nil, err
	}
	return true, removeAll(h.Path(path))
}
