package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
)

// maxFile bounds what a person gives to be read, in bytes: more than any sane Cluster file has.
const maxFile = 4 << 20

// ReadFile reads a file of the user's, or standard input for "-".
func ReadFile(path string, in io.Reader) ([]byte, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, action.As(action.Invalid, err)
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, action.Invalidf("read %s: %w", path, err)
	}
	if len(data) > maxFile {
		return nil, action.Invalidf("%s is larger than %d MiB, which is too large for this kind of file", path, maxFile>>20)
	}
	return data, nil
}

// WriteNew writes a file that must not be there yet, unless force is set, and
// never leaves a half-written one.
func WriteNew(path string, data []byte, mode fs.FileMode, force bool) (err error) {
	if _, statErr := os.Lstat(path); statErr == nil && !force {
		return action.Invalidf("%s already exists; choose another file with --out, or overwrite it with --force", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".kubectl-ha-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
		}
	}()
	_, writeErr := f.Write(data)
	if err := errors.Join(writeErr, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
