package bootstrap

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kubectl-ha/kubectl-ha/pkg/localfile"
)

// ErrLocked: another command that changes the hosts of the same cluster is under way on this machine.
var ErrLocked = errors.New("another command that changes this cluster's hosts is under way on this machine; wait for it to end")

// lock takes the file's lock without waiting. It ends with the process, however
// that ends.
func lock(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	// Where there is no such lock the hosts' own keep two runs apart.
	switch locked, lockErr := localfile.TryLock(f); {
	case errors.Is(lockErr, errors.ErrUnsupported):
	case lockErr != nil:
		err = lockErr
	case !locked:
		err = ErrLocked
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil // closing is what unlocks it
}

// Lock keeps this machine's other runs on the same cluster away, as a bootstrap
// does; the error wraps ErrLocked when there is one. stateDir is made when it is missing.
func Lock(stateDir string) (unlock func(), err error) {
	return lock(filepath.Join(stateDir, "bootstrap.lock"))
}
