package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// removeAll removes what has a path, with all that is in it, and never what is mounted there:
// the kernel itself keeps it from going into another mount, whatever was looked at before
// (openat2(2), RESOLVE_NO_XDEV, Linux 5.6). A link is removed, not followed. A missing path
// is no error.
func removeAll(path string) error {
	parent, err := os.Open(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(removeIn(parent, filepath.Base(path)), parent.Close())
}

func removeIn(parent *os.File, name string) error {
	shown := filepath.Join(parent.Name(), name)
	err := unix.Unlinkat(int(parent.Fd()), name, 0)
	switch {
	case err == nil || errors.Is(err, unix.ENOENT):
		return nil
	case !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM):
		return &fs.PathError{Op: "remove", Path: shown, Err: err}
	}
	dir, err := openHere(parent, name)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if errors.Is(err, unix.EXDEV) {
		return WithHint(fmt.Errorf("%s is not removed: something is mounted there", shown), "what is mounted is not ours: unmount it, and run the command again")
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: shown, Err: err}
	}
	names, err := dir.Readdirnames(-1)
	errs := []error{err}
	for _, n := range names {
		errs = append(errs, removeIn(dir, n))
	}
	if err := errors.Join(append(errs, dir.Close())...); err != nil {
		return err
	}
	if err := unix.Unlinkat(int(parent.Fd()), name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "remove", Path: shown, Err: err}
	}
	return nil
}

// openHere opens a directory within its parent's mount.
func openHere(parent *os.File, name string) (*os.File, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS}
	shown := filepath.Join(parent.Name(), name)
	for {
		fd, err := unix.Openat2(int(parent.Fd()), name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), shown), nil
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
			continue // Something else was renamed or mounted meanwhile.
		case errors.Is(err, unix.ENOSYS):
			return openOnDevice(parent, name, shown)
		}
		return nil, err
	}
}

// openOnDevice is openHere for older kernels: another file system is told, but not a part of
// the same one that is mounted there.
func openOnDevice(parent *os.File, name, shown string) (*os.File, error) {
	var above, here unix.Stat_t
	if err := unix.Fstat(int(parent.Fd()), &above); err != nil {
		return nil, err
	}
	fd, err := unix.Openat(int(parent.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), shown)
	if err := unix.Fstat(fd, &here); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	if here.Dev != above.Dev {
		return nil, errors.Join(unix.EXDEV, dir.Close())
	}
	return dir, nil
}
