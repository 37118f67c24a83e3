package kubeconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// lockTimeout bounds the wait for another program that changes the kubeconfig.
	lockTimeout  = 10 * time.Second
	lockInterval = 50 * time.Millisecond
)

// lockFiles takes kubectl's own locks of kubeconfigs, FILE.lock beside each, and makes
// the directories that are missing. They are taken in kubectl's order, so that two
// programs don't wait for each other. The returned function gives them back.
// client-go's tools/clientcmd/config.go, ModifyConfig
func lockFiles(files []string, wait time.Duration) (unlock func() error, err error) {
	files = slices.Compact(slices.Sorted(slices.Values(files)))
	for deadline := time.Now().Add(wait); ; time.Sleep(lockInterval) {
		var busy string
		if unlock, busy, err = tryLock(files); err != nil || busy == "" {
			return unlock, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("another program has it locked for %s, or was killed while it had; when none runs, remove %s", wait, busy)
		}
	}
}

// tryLock takes all locks or none; busy is the one that somebody else has.
func tryLock(files []string) (unlock func() error, busy string, err error) {
	var taken []string
	unlock = func() error {
		var errs []error
		for _, lock := range taken {
			errs = append(errs, os.Remove(lock))
		}
		return errors.Join(errs...)
	}
	for _, file := range files {
		lock := file + ".lock"
		// kubectl's mode for the directory.
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, "", errors.Join(err, unlock())
		}
		f, err := os.OpenFile(lock, os.O_CREATE|os.O_EXCL, 0)
		if errors.Is(err, fs.ErrExist) {
			return nil, lock, unlock()
		}
		if err != nil {
			return nil, "", errors.Join(err, unlock())
		}
		taken = append(taken, lock)
		if err := f.Close(); err != nil {
			return nil, "", errors.Join(err, unlock())
		}
	}
	return unlock, "", nil
}
