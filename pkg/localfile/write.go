package localfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Write puts content at path, as Replace does.
func Write(path string, content []byte, mode fs.FileMode) error {
	return Replace(path, mode, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// Replace makes path what write writes, with the mode, at once or not at all: also when the
// machine stops in the middle, path is what it was before, or all that was written. It writes
// to another file in the same directory, which only the owner can read meanwhile, syncs that,
// renames it, and syncs the directory. What was at path is replaced, a link too, and not what it
// points to. Errors name the path.
//
// An error of the last sync means that the file is there under its name, and that a crash may
// still undo that.
func Replace(path string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	// CreateTemp makes it 0600 from the start.
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	renamed := false
	defer func() {
		if err == nil {
			return
		}
		if !renamed {
			err = errors.Join(err, os.Remove(f.Name()))
		}
		err = fmt.Errorf("write %s: %w", path, err)
	}()
	err = write(f)
	if err == nil {
		err = errors.Join(f.Chmod(mode), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	renamed = true
	return SyncDir(dir)
}

// SyncDir makes the names in a directory durable. It does nothing on Windows, where a directory
// can't be synced and renames are journaled.
func SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	// Some file systems, of the network mostly, can't.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
