// Package fscopy copies a tree of files with all that a host's disk has: owners,
// modes, times, extended attributes, devices, holes and hard links. Files that
// never change may be shared instead of copied.
package fscopy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// inode tells files apart whatever their names are.
type inode struct{ dev, ino uint64 }

// folder is one whose times are set once nothing is written into it any more.
type folder struct {
	path string
	info fs.FileInfo
}

// tree carries one copy.
type tree struct {
	from, to string
	shared   []string
	// seen is where a file with several names was copied to first.
	seen    map[inode]string
	folders []folder
}

// Tree copies all below from to to, which must not be there. Regular files below
// one of the folders named in shared (paths within the tree) become hard links to
// the originals: that is for files which are replaced and removed, but never
// written. Sockets are left out, since they mean nothing without their process.
// It needs root, and CAP_SYS_ADMIN for the attributes of overlay file systems.
func Tree(from, to string, shared []string) error {
	t := &tree{from: from, to: to, seen: map[inode]string{}}
	for _, s := range shared {
		t.shared = append(t.shared, filepath.Clean(s)+"/")
	}
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return t.copy(path, rel, info)
	})
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	// The inner ones first: a change in one changes the times of that around it.
	for _, f := range slices.Backward(t.folders) {
		if err := times(f.path, f.info); err != nil {
			return err
		}
	}
	return nil
}

// copy makes one entry.
func (t *tree) copy(path, rel string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: no owner and device in what the system tells", path)
	}
	target := filepath.Join(t.to, rel)
	mode := info.Mode()
	if mode.IsRegular() && slices.ContainsFunc(t.shared, func(s string) bool { return strings.HasPrefix(rel, s) }) {
		return os.Link(path, target)
	}
	if stat.Nlink > 1 && !mode.IsDir() {
		id := inode{stat.Dev, stat.Ino}
		if first, ok := t.seen[id]; ok {
			return os.Link(first, target)
		}
		t.seen[id] = target
	}
	switch {
	case mode.IsDir():
		if err := os.Mkdir(target, 0o700); err != nil {
			return err
		}
		t.folders = append(t.folders, folder{target, info})
	case mode.IsRegular():
		if err := content(path, target, info.Size()); err != nil {
			return err
		}
	case mode&fs.ModeSymlink != 0:
		link, err := os.Readlink(path)
		if err != nil {
			return err
		}
		if err := os.Symlink(link, target); err != nil {
			return err
		}
	case mode&fs.ModeSocket != 0:
		return nil
	default:
		if err := unix.Mknod(target, stat.Mode, int(stat.Rdev)); err != nil {
			return fmt.Errorf("make %s: %w", target, err)
		}
	}
	return attributes(path, target, info, stat)
}

// content copies a file's bytes and keeps its holes.
func content(path, target string, size int64) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	for at := int64(0); at < size; {
		data, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // a hole up to the end
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		end, err := unix.Seek(int(in.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if _, err := in.Seek(data, io.SeekStart); err != nil {
			return err
		}
		if _, err := out.Seek(data, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(out, in, end-data); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		at = end
	}
	return out.Truncate(size)
}

// attributes sets owner, mode, extended attributes and times, in the order in
// which none undoes another.
func attributes(path, target string, info fs.FileInfo, stat *syscall.Stat_t) error {
	if err := os.Lchown(target, int(stat.Uid), int(stat.Gid)); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		if err := unix.Chmod(target, stat.Mode&0o7777); err != nil {
			return fmt.Errorf("mode of %s: %w", target, err)
		}
	}
	if err := extended(path, target); err != nil {
		return err
	}
	if info.IsDir() {
		return nil
	}
	return times(target, info)
}

// extended copies the extended attributes.
func extended(path, target string) error {
	size, err := unix.Llistxattr(path, nil)
	if errors.Is(err, unix.ENOTSUP) || err == nil && size == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("attributes of %s: %w", path, err)
	}
	names := make([]byte, size)
	if size, err = unix.Llistxattr(path, names); err != nil {
		return fmt.Errorf("attributes of %s: %w", path, err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:size]), "\x00"), "\x00") {
		n, err := unix.Lgetxattr(path, name, nil)
		if err != nil {
			return fmt.Errorf("attribute %s of %s: %w", name, path, err)
		}
		value := make([]byte, n)
		if n > 0 {
			if _, err := unix.Lgetxattr(path, name, value); err != nil {
				return fmt.Errorf("attribute %s of %s: %w", name, path, err)
			}
		}
		if err := unix.Lsetxattr(target, name, value, 0); err != nil {
			return fmt.Errorf("attribute %s of %s: %w", name, target, err)
		}
	}
	return nil
}

// times gives target the time of its last change.
func times(target string, info fs.FileInfo) error {
	at := unix.NsecToTimespec(info.ModTime().UnixNano())
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, target, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("times of %s: %w", target, err)
	}
	return nil
}
