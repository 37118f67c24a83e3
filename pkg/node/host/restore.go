package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// RestoreFile takes a file or link of ours back: what was there before is put
// there again, and where there was nothing it is removed. Something that is not
// ours any more, since it was removed and somebody else made it anew, stays.
func (h *Host) RestoreFile(ctx context.Context, m Made) (changed bool, err error) {
	if m.Original == nil {
		info, err := h.Stat(m.Target)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if info.IsDir() {
			return false, nil
		}
		return h.Remove(ctx, m.Target)
	}
	now, err := h.look(m.Target)
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", m.Target, err)
	}
	if now.info != nil && now.info.IsDir() {
		return false, fmt.Errorf("put %s back: there is a directory now", m.Target)
	}
	if was := now.original(); was != nil && *was == *m.Original {
		return false, h.restored(ctx, m)
	}
	do, err := h.mutate(ctx, Change{Action: ActionReplace, Target: m.Target, Note: "as it was before"},
		Entry{Action: ActionReplace, Kind: m.Kind, Target: m.Target, Note: "as it was before"})
	if err != nil || !do {
		return err == nil, err
	}
	if err := h.putOriginal(m); err != nil {
		return false, fmt.Errorf("put %s back as it was: %w", m.Target, err)
	}
	if err := h.relabel(ctx, m.Target); err != nil {
		return false, err
	}
	return true, h.restored(ctx, m)
}

// putOriginal writes what was there before.
func (h *Host) putOriginal(m Made) error {
	o := m.Original
	if err := os.MkdirAll(filepath.Dir(h.Path(m.Target)), 0o755); err != nil {
		return err
	}
	if o.Link != "" {
		if err := os.Remove(h.Path(m.Target)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return os.Symlink(o.Link, h.Path(m.Target))
	}
	if o.SHA256 == "" {
		return errors.New("the ledger does not have its content")
	}
	kept := h.Path(originalsDir + "/" + o.SHA256)
	return h.replace(File{Path: m.Target, Mode: o.Mode & settable, UID: o.UID, GID: o.GID}, o.SHA256,
		func() (io.ReadCloser, error) { return os.Open(kept) })
}

// settable are the bits of a mode that chmod sets: what was setuid, setgid or sticky is so again.
const settable = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// restored notes that a target is not ours any more.
func (h *Host) restored(ctx context.Context, m Made) error {
	if h.opts.DryRun || h.opts.Ledger == nil {
		return nil
	}
	if err := h.mayMutate(ctx); err != nil {
		return err
	}
	return h.opts.Ledger.append(Entry{Step: h.opts.Step, Action: ActionRestore, Kind: m.Kind, Target: m.Target})
}

// RestoreDirectory takes a directory back that was made: with what is in it when
// that is ours (Whole), else only when it is empty. One that was there before
// keeps its place and gets its mode and owner again; what came into it goes when it is Whole.
// left tells that it is still there, with something in it that is not ours.
func (h *Host) RestoreDirectory(ctx context.Context, m Made) (changed, left bool, err error) {
	info, err := h.Stat(m.Target)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil || !info.IsDir() {
		return false, false, err
	}
	mounted, err := h.mounted(m.Target)
	if err != nil {
		return false, false, err
	}
	if m.Whole && m.Original == nil && !mounted {
		changed, err = h.RemoveTree(ctx, m.Target)
		return changed, false, err
	}
	if m.Whole {
		if changed, err = h.empty(ctx, m.Target); err != nil {
			return changed, false, err
		}
	}
	if m.Original != nil || mounted {
		now, err := h.restoreAttributes(ctx, m)
		return changed || now, false, err
	}
	now, left, err := h.removeEmpty(ctx, m)
	return changed || now, left, err
}

// removeEmpty removes a directory when nothing is in it.
func (h *Host) removeEmpty(ctx context.Context, m Made) (changed, left bool, err error) {
	if !h.opts.DryRun {
		entries, err := h.ReadDir(m.Target)
		if err != nil || len(entries) > 0 {
			return false, len(entries) > 0, err
		}
	}
	do, err := h.mutate(ctx, Change{Action: ActionRemove, Target: m.Target, Note: "directory, when it is empty"},
		Entry{Action: ActionRemove, Kind: m.Kind, Target: m.Target})
	if err != nil || !do {
		return err == nil, false, err
	}
	err = os.Remove(h.Path(m.Target))
	if errors.Is(err, syscall.ENOTEMPTY) {
		return false, true, nil
	}
	return err == nil, false, err
}

// empty removes what is in a directory, but what a file system keeps for itself.
func (h *Host) empty(ctx context.Context, path string) (changed bool, err error) {
	mounts, err := h.MountsBelow(path)
	if err != nil {
		return false, err
	}
	if len(mounts) > 0 && !h.opts.DryRun {
		return false, WithHint(fmt.Errorf("empty the directory %s: something is mounted at %s", path, strings.Join(mounts, ", ")),
			"what is mounted is not ours: unmount it, and run the command again")
	}
	entries, err := h.ReadDir(path)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if e.Name() == "lost+found" {
			continue
		}
		target := filepath.Join(path, e.Name())
		do, err := h.mutate(ctx, Change{Action: ActionRemove, Target: target}, Entry{Action: ActionRun, Kind: KindDirectory, Target: target, Note: "removed"})
		if err != nil {
			return changed, err
		}
		changed = true
		if !do {
			continue
		}
		if err := removeAll(h.Path(target)); err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// restoreAttributes gives a directory the mode and owner that it had.
func (h *Host) restoreAttributes(ctx context.Context, m Made) (changed bool, err error) {
	if m.Original == nil {
		return false, nil
	}
	info, err := os.Stat(h.Path(m.Target))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	uid, gid := ownerOf(info)
	if info.Mode() == m.Original.Mode && h.sameOwner(uid, gid, m.Original.UID, m.Original.GID) {
		return false, h.restored(ctx, m)
	}
	do, err := h.mutate(ctx, Change{Action: ActionReplace, Target: m.Target, Note: "mode and owner as they were"},
		Entry{Action: ActionReplace, Kind: m.Kind, Target: m.Target, Note: "mode and owner as they were"})
	if err != nil || !do {
		return err == nil, err
	}
	if err := h.setDirAttributes(m.Target, m.Original.Mode&settable, m.Original.UID, m.Original.GID); err != nil {
		return false, err
	}
	return true, h.restored(ctx, m)
}

// RestoreAttributes is for a directory of which only the attributes were changed.
func (h *Host) RestoreAttributes(ctx context.Context, m Made) (changed bool, err error) {
	return h.restoreAttributes(ctx, m)
}

// RestoreSysctl sets a kernel setting to the value that it had, unless somebody
// else has set it since to another one than we did.
func (h *Host) RestoreSysctl(ctx context.Context, m Made) (changed bool, err error) {
	if m.Original == nil || m.Original.State == "" {
		return false, nil
	}
	content, err := h.ReadFile(SysctlPath(m.Target))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the kernel setting %s: %w", m.Target, err)
	}
	now := strings.TrimSpace(string(content))
	if now == m.Original.State || m.Set != "" && now != m.Set {
		return false, nil
	}
	return h.SetSysctl(ctx, m.Target, m.Original.State)
}

// Keep notes a file as it is, with its content, before others change it on our
// behalf. One that is not there is noted as missing.
func (h *Host) Keep(ctx context.Context, path, note string) error {
	if h.opts.DryRun || h.opts.Ledger == nil || h.ours(path) {
		return nil
	}
	now, err := h.look(path)
	if err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	if err := h.mayMutate(ctx); err != nil {
		return fmt.Errorf("keep the original of %s: not done: %w", path, err)
	}
	if err := h.keep(path, now); err != nil {
		return fmt.Errorf("keep the original of %s: %w", path, err)
	}
	return h.opts.Ledger.append(Entry{Step: h.opts.Step, Action: ActionRecord, Kind: KindFile, Target: path, Note: note, Original: now.original()})
}

// Do passes the gate with a change that is no file and no command, such as an end of
// a process. what is the target for people, why the note.
func (h *Host) Do(ctx context.Context, action, what, why string, do func(context.Context) error) error {
	may, err := h.mutate(ctx, Change{Action: action, Target: what, Note: why}, Entry{Action: ActionRun, Kind: KindCommand, Target: what, Note: why})
	if err != nil || !may {
		return err
	}
	return do(ctx)
}

// Forget removes StateDir with the ledger, which is the last thing to go. After
// it nothing on this host is known to be ours.
func (h *Host) Forget(ctx context.Context) error {
	mounts, err := h.MountsBelow(StateDir)
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		return WithHint(fmt.Errorf("remove %s: something is mounted at %s", StateDir, strings.Join(mounts, ", ")), "unmount it, and run the command again")
	}
	do, err := h.mutate(ctx, Change{Action: ActionRemove, Target: StateDir, Note: "the ledger, at the very end"},
		Entry{Action: ActionRun, Kind: KindDirectory, Target: StateDir, Note: "removed"})
	if err != nil || !do {
		return err
	}
	entries, err := h.ReadDir(StateDir)
	if err != nil {
		return err
	}
	last := filepath.Base(ledgerFile)
	for _, e := range entries {
		if e.Name() != last {
			if err := removeAll(h.Path(StateDir + "/" + e.Name())); err != nil {
				return err
			}
		}
	}
	if err := removeAll(h.Path(ledgerFile)); err != nil {
		return err
	}
	// A disk of its own stays.
	err = os.Remove(h.Path(StateDir))
	if errors.Is(err, syscall.EBUSY) {
		return nil
	}
	return err
}
