package bundle

import (
	"errors"
	"os"

	"github.com/kubectl-ha/kubectl-ha/pkg/localfile"
)

// TryLock is localfile.TryLock, but where the system has no such locks nobody gets one: every
// writer then has a file of its own, and nothing is resumed.
func TryLock(f *os.File) (bool, error) {
	locked, err := localfile.TryLock(f)
	if errors.Is(err, errors.ErrUnsupported) {
		return false, nil
	}
	return locked, err
}
