package uninstall

import (
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// network are file systems whose server may be gone: to unmount them in the
// usual way could take for ever.
var network = []string{"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "glusterfs"}

// unmount takes a mount away; one that is busy goes as soon as nobody uses it.
func unmount(m host.Mount) error {
	err := error(unix.EBUSY)
	if !slices.Contains(network, m.Type) && !strings.HasPrefix(m.Type, "fuse.") {
		err = unix.Unmount(m.Path, unix.UMOUNT_NOFOLLOW)
	}
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(m.Path, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil // It went with another one.
	}
	return err
}

// kill ends a process.
func kill(pid int, hard bool) error {
	sig := unix.SIGTERM
	if hard {
		sig = unix.SIGKILL
	}
	if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// self is this process and its parent.
func self() []int { return []int{os.Getpid(), os.Getppid()} }
