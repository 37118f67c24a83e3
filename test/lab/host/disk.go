package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/kubectl-ha/kubectl-ha/test/lab/docker"
	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// A disk of a host's own is a file in the lab's folder with a file system in it,
// which this machine mounts through a loop device and the container sees at /var.
// It is really full when it is full: no quota of Docker's (its overlay driver has
// one on xfs only) and no memory, which a tmpfs would take and which is empty
// after a power cut.

// diskFile is the file of a host's disk, diskMount where it is mounted.
func (l *Lab) diskFile(host string) string  { return l.path("disks/" + host + ".ext4") }
func (l *Lab) diskMount(host string) string { return l.path("disks/" + host) }

// mountPoint reports whether a file system is mounted at path: it is then
// another device than the folder above.
func mountPoint(path string) (bool, error) {
	var at, above syscall.Stat_t
	err := syscall.Stat(path, &at)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	if err := syscall.Stat(filepath.Dir(path), &above); err != nil {
		return false, fmt.Errorf("%s: %w", filepath.Dir(path), err)
	}
	return at.Dev != above.Dev, nil
}

// ensureDisk makes a host's disk, empty, and mounts it.
func (l *Lab) ensureDisk(ctx context.Context, h Host) error {
	size, err := diskBytes(h.Disk)
	if err != nil || size == 0 {
		return err
	}
	if err := os.MkdirAll(l.diskMount(h.Name), 0o755); err != nil {
		return err
	}
	if mounted, err := mountPoint(l.diskMount(h.Name)); err != nil || mounted {
		return err
	}
	if _, err := os.Stat(l.diskFile(h.Name)); errors.Is(err, fs.ErrNotExist) {
		if err := makeFileSystem(ctx, l.diskFile(h.Name), size); err != nil {
			return fmt.Errorf("host %s: disk: %w", h.Name, err)
		}
	} else if err != nil {
		return err
	}
	if err := run.Run(ctx, run.AsRoot("mount", "-o", "loop,discard", l.diskFile(h.Name), l.diskMount(h.Name))...); err != nil {
		return fmt.Errorf("host %s: disk: %w", h.Name, err)
	}
	return nil
}

// makeFileSystem makes a file of that size, without holding its space, with an
// ext4 in it. All of it is for use: nothing is kept back for root, who fills it.
func makeFileSystem(ctx context.Context, path string, size int64) error {
	tmp := path + ".part"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	if err := run.Run(ctx, "/sbin/mkfs.ext4", "-q", "-F", "-m", "0", tmp); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// fillDisk copies the image's /var onto a host's disk, as Docker does by itself
// for a volume of its own.
func (l *Lab) fillDisk(ctx context.Context, d docker.Client, h Host) error {
	_, err := d.Run(ctx, "run", "--rm", "--network", "none", "--label", docker.LabelLab+"="+l.Name,
		"--volume", l.diskMount(h.Name)+":/mnt", l.image(h), "cp", "--archive", "/var/.", "/mnt/")
	if err != nil {
		return fmt.Errorf("host %s: fill its disk: %w", h.Name, err)
	}
	return nil
}

// mountDisks mounts the disks of all hosts; after the machine was restarted none is.
func (l *Lab) mountDisks(ctx context.Context) error {
	for _, h := range l.Hosts {
		if err := l.ensureDisk(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// unmountDisks unmounts what is mounted; the files go with the lab's folder.
func (l *Lab) unmountDisks(ctx context.Context) error {
	for _, h := range l.Hosts {
		mounted, err := mountPoint(l.diskMount(h.Name))
		if err != nil {
			return err
		}
		if !mounted {
			continue
		}
		if err := run.Run(ctx, run.AsRoot("umount", l.diskMount(h.Name))...); err != nil {
			return err
		}
	}
	return nil
}
