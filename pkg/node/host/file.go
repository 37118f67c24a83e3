package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile makes a file as wanted, atomically (temporary file, fsync, rename),
// with its directories (0755, or 0700 under StateDir), and tells whether
// anything had to be changed: content, mode and owner are compared first. A
// symbolic link in its place is replaced, never followed.
func (h *Host) WriteFile(ctx context.Context, f File) (changed bool, err error) {
	sum := sha256.Sum256(f.Content)
	return h.InstallFile(ctx, f, hex.EncodeToString(sum[:]), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(f.Content)), nil
	})
}

// InstallFile is WriteFile for what does not fit into memory: content is read
// from r, and must have the given SHA-256 (hex); what has it already is left alone.
func (h *Host) InstallFile(ctx context.Context, f File, sha256 string, r func() (io.ReadCloser, error)) (changed bool, err error) {
	if len(sha256) != hex.EncodedLen(32) {
		return false, fmt.Errorf("install %s: %q is not a SHA-256", f.Path, sha256)
	}
	return h.put(ctx, f, sha256, func() error { return h.replace(f, sha256, r) })
}

// present is what is at a path now.
type present struct {
	info     fs.FileInfo // nil: nothing
	sha256   string      // of a regular file
	link     string      // of a symbolic link
	uid, gid int
}

// look reads what is at a path, with the digest of a regular file.
func (h *Host) look(path string) (present, error) {
	info, err := h.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return present{}, nil
	}
	if err != nil {
		return present{}, err
	}
	p := present{info: info}
	p.uid, p.gid = ownerOf(info)
	switch {
	case info.Mode().IsRegular():
		p.sha256, err = h.SHA256(path)
	case info.Mode()&fs.ModeSymlink != 0:
		p.link, err = os.Readlink(h.Path(path))
	}
	return p, err
}

// Owner tells who owns a file of the host's; -1 where that can't be told.
func Owner(info fs.FileInfo) (uid, gid int) { return ownerOf(info) }

// original describes it for the ledger.
func (p present) original() *Original {
	if p.info == nil {
		return nil
	}
	return &Original{SHA256: p.sha256, Mode: p.info.Mode(), UID: p.uid, GID: p.gid, Link: p.link}
}

// SHA256 is the hex digest of a file's content.
func (h *Host) SHA256(path string) (string, error) { return FileSum(h.Path(path)) }

// FileSum is the hex digest of the content of a file of this machine, below no root.
func FileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// put is InstallFile with whatever makes the file.
func (h *Host) put(ctx context.Context, f File, sum string, replace func() error) (bool, error) {
	if err := checkPath(f.Path); err != nil {
		return false, err
	}
	if f.Mode.Perm() != f.Mode {
		return false, fmt.Errorf("write %s: the mode %v has more than permissions", f.Path, f.Mode)
	}
	now, err := h.look(f.Path)
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", f.Path, err)
	}
	if now.info != nil && !now.info.Mode().IsRegular() && now.link == "" {
		return false, fmt.Errorf("write %s: there is something that is neither a file nor a link (%v)", f.Path, now.info.Mode().Type())
	}
	sameContent := now.info != nil && now.sha256 == sum
	sameMode := now.info != nil && now.info.Mode() == f.Mode && h.sameOwner(now.uid, now.gid, f.UID, f.GID)
	if sameContent && sameMode {
		return false, nil
	}
	if err := h.mkdirs(ctx, filepath.Dir(f.Path)); err != nil {
		return false, err
	}
	do, err := h.noteFile(ctx, KindFile, f, now)
	if err != nil {
		return false, err
	}
	if !do {
		return true, nil
	}
	if sameContent {
		err = h.setAttributes(f)
	} else {
		err = replace()
	}
	if err != nil {
		return false, fmt.Errorf("write %s: %w", f.Path, err)
	}
	if f.Mode&0o111 == 0 {
		return true, nil // It has its directory's label, which is right for what is only read.
	}
	return true, h.relabel(ctx, f.Path)
}

// noteFile passes the gate with a file or link, keeping what was there before
// when it was not ours.
func (h *Host) noteFile(ctx context.Context, kind string, f File, now present) (bool, error) {
	path, note, action := f.Path, f.Note, ActionCreate
	if now.info != nil {
		action = ActionReplace
	}
	if f.Unkept && now.info != nil && !h.ours(path) {
		return h.mutate(ctx, Change{Action: action, Target: path, Note: note}, Entry{Action: ActionRun, Kind: KindCommand, Target: action + " " + path, Note: note})
	}
	e := Entry{Action: action, Kind: kind, Target: path, Note: note}
	if !h.opts.DryRun && h.opts.Ledger != nil && now.info != nil && !h.ours(path) {
		if err := h.mayMutate(ctx); err != nil {
			return false, fmt.Errorf("%s %s: not done: %w", action, path, err)
		}
		if err := h.keep(path, now); err != nil {
			return false, fmt.Errorf("keep the original of %s: %w", path, err)
		}
		e.Original = now.original()
	}
	return h.mutate(ctx, Change{Action: action, Target: path, Note: note}, e)
}

// ours tells whether the ledger knows the path itself as a file or link of ours.
func (h *Host) ours(path string) bool {
	return h.opts.Ledger != nil && (h.opts.Ledger.Knows(KindFile, path) || h.opts.Ledger.Knows(KindLink, path))
}

// keep copies a regular file into the originals, once per content.
func (h *Host) keep(path string, now present) error {
	if now.sha256 == "" {
		return nil
	}
	dir := h.Path(originalsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f := File{Path: filepath.Join(originalsDir, now.sha256), Mode: 0o600, UID: os.Getuid(), GID: os.Getgid()}
	if kept, err := h.look(f.Path); err == nil && kept.sha256 == now.sha256 {
		return nil
	}
	return h.replace(f, now.sha256, func() (io.ReadCloser, error) { return os.Open(h.Path(path)) })
}

// setAttributes corrects owner and mode of a file whose content is right.
func (h *Host) setAttributes(f File) error {
	// The owner first: a change of owner clears bits of the mode.
	if h.setsOwner() {
		if err := os.Lchown(h.Path(f.Path), f.UID, f.GID); err != nil {
			return err
		}
	}
	return os.Chmod(h.Path(f.Path), f.Mode)
}

// replace writes a new file beside the old one and renames it into place.
// Before the rename the old file is untouched; after it the new one is whole.
func (h *Host) replace(f File, sum string, content func() (io.ReadCloser, error)) error {
	return h.replaceBy(f, func(w io.Writer) error { return copyChecked(w, sum, content) })
}

// replaceBy is replace with whatever fill writes.
func (h *Host) replaceBy(f File, fill func(io.Writer) error) (err error) {
	dir, name := filepath.Split(h.Path(f.Path))
	if err := h.fault(f.Path, "open"); err != nil {
		return err
	}
	// Always the same name: what a killed agent left is replaced by the next,
	// and the host's lock lets only one work.
	tmp, err := createNew(filepath.Join(dir, "."+name+".kubectl-ha-new"))
	if err != nil {
		return err
	}
	closed := false
	defer func() {
		if err == nil {
			return
		}
		if !closed {
			err = errors.Join(err, tmp.Close())
		}
		if rmErr := os.Remove(tmp.Name()); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}()
	steps := []struct {
		name string
		do   func() error
	}{
		{"write", func() error { return fill(tmp) }},
		{"chown", func() error {
			if !h.setsOwner() {
				return nil
			}
			return tmp.Chown(f.UID, f.GID)
		}},
		{"chmod", func() error { return tmp.Chmod(f.Mode) }},
		{"sync", tmp.Sync},
		{"close", func() error { closed = true; return tmp.Close() }},
		{"rename", func() error { return os.Rename(tmp.Name(), h.Path(f.Path)) }},
		{"sync-dir", func() error { return syncDir(dir) }},
	}
	for _, s := range steps {
		if err := h.fault(f.Path, s.name); err != nil {
			return err
		}
		if err := s.do(); err != nil {
			return err
		}
	}
	return nil
}

// createNew makes an empty file in place of whatever has the name; a link
// there is never followed.
func createNew(path string) (*os.File, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

func (h *Host) fault(path, step string) error {
	if h.beforeStep == nil {
		return nil
	}
	return h.beforeStep(path, step)
}

// setsOwner is false only in tests below another root that don't run as root.
func (h *Host) setsOwner() bool { return h.opts.Root == "/" || os.Geteuid() == 0 }

func (h *Host) sameOwner(uid, gid, wantUID, wantGID int) bool {
	return !h.setsOwner() || uid == wantUID && gid == wantGID
}

// copyChecked copies content and compares its digest.
func copyChecked(to io.Writer, sum string, content func() (io.ReadCloser, error)) error {
	from, err := content()
	if err != nil {
		return err
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(to, hash), from)
	if err := errors.Join(err, from.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != sum {
		return fmt.Errorf("its content has the SHA-256 %s instead of %s", got, sum)
	}
	return nil
}

// checkPath refuses what is not a clean absolute path.
func checkPath(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" {
		return fmt.Errorf("%q is not a clean absolute path", path)
	}
	return nil
}

// syncDir makes a rename or creation in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
