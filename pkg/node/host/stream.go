package host

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// streamBuffer is how much of a stream is written at once, in bytes.
const streamBuffer = 1 << 20

// StreamFile makes a file of what fill writes, when nobody can tell its digest
// before: a snapshot, an archive. As with WriteFile the file is there whole or not
// at all, but it is always written anew. check, when not nil, is given the path at
// which it lies for this process before it gets its name, synced to disk; an
// error of its leaves what was there before. The digest is a SHA-256 (hex). In a dry run
// neither is called, and the digest is empty.
func (h *Host) StreamFile(ctx context.Context, f File, fill func(io.Writer) error, check func(path string) error) (digest string, err error) {
	if err := checkPath(f.Path); err != nil {
		return "", err
	}
	if f.Mode.Perm() != f.Mode {
		return "", fmt.Errorf("write %s: the mode %v has more than permissions", f.Path, f.Mode)
	}
	now, err := h.look(f.Path)
	if err != nil {
		return "", fmt.Errorf("look at %s: %w", f.Path, err)
	}
	if now.info != nil && !now.info.Mode().IsRegular() && now.link == "" {
		return "", fmt.Errorf("write %s: there is something that is neither a file nor a link (%v)", f.Path, now.info.Mode().Type())
	}
	if err := h.mkdirs(ctx, filepath.Dir(f.Path)); err != nil {
		return "", err
	}
	do, err := h.noteFile(ctx, KindFile, f, now)
	if err != nil || !do {
		return "", err
	}
	sum := sha256.New()
	err = h.replaceBy(f, func(w io.Writer) error {
		out := bufio.NewWriterSize(io.MultiWriter(w, sum), streamBuffer)
		if err := fill(out); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
		tmp, ok := w.(*os.File)
		if check == nil || !ok {
			return nil
		}
		// What is read back is to be what a loss of power leaves.
		if err := tmp.Sync(); err != nil {
			return err
		}
		return check(tmp.Name())
	})
	if err != nil {
		return "", fmt.Errorf("write %s: %w", f.Path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
