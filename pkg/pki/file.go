package pki

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// errLocked says that another process has the lock.
var errLocked = errors.New("locked by another process")

// checkPrivate refuses what others than the owner may read or write, and what
// is no plain file or directory.
func checkPrivate(path string, dir bool) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if dir && info.Mode()&os.ModeSymlink != 0 {
		// A link to a directory is a choice of the owner's; its target counts.
		if info, err = os.Stat(path); err != nil {
			return err
		}
	}
	if dir != info.IsDir() || !dir && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not what is expected there (%s); move it away", path, info.Mode().Type())
	}
	// Windows has no such modes; its profile directories are private by themselves.
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		mode := "600"
		if dir {
			mode = "700"
		}
		return fmt.Errorf("%s may be read by others (mode %04o): make sure that nobody has, then run chmod %s %s",
			path, info.Mode().Perm(), mode, path)
	}
	return nil
}

func readPrivate(path string) ([]byte, error) {
	if err := checkPrivate(path, false); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// writeSynced makes a file that does not exist yet, 0600, durably.
func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil // a directory can't be synced there; renames are journaled
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
