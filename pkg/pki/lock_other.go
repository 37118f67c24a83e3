//go:build !unix

package pki

import (
	"errors"
	"io/fs"
	"os"
)

// tryLock makes a file that must not exist; it goes with the lock. After a
// crash it has to be removed by hand.
func tryLock(path string) (func() error, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, errLocked
	}
	if err != nil {
		return nil, err
	}
	return func() error { return errors.Join(f.Close(), os.Remove(path)) }, nil
}
