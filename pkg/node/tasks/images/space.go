package images

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// full is how little room is left on a full disk, in bytes.
const full = 16 << 20

// defaultRoot is where containerd keeps all it has unless told otherwise.
const defaultRoot = "/var/lib/containerd"

// checkSpace refuses what can't fit into containerd: the layers as they come, and
// unpacked, which is no less. How much more that is nobody can tell before. The
// peer looks after its own directory, which may be on the same disk.
func (t *task) checkSpace(ctx context.Context, missing []bundle.Image) error {
	size := sizeOf((bundle.Contents{Images: missing}).Blobs())
	blobs, layers, err := ctrd.Directories(ctx, t.socket)
	if err != nil {
		return err
	}
	needs := map[uint64]need{}
	for _, n := range []struct {
		dir   string
		bytes int64
	}{{blobs, size}, {layers, size}, {t.env.Host.Path(StagingDir), size}} {
		if n.dir == "" {
			n.dir = defaultRoot
		}
		disk, free, err := room(n.dir)
		if err != nil {
			return err
		}
		one := needs[disk]
		one.bytes, one.free, one.dir = one.bytes+n.bytes, free, n.dir
		needs[disk] = one
	}
	for _, n := range needs {
		if n.free < n.bytes {
			return fmt.Errorf("%d images need at least %d MB below %s, where %d MB are free: %w",
				len(missing), n.bytes>>20, n.dir, n.free>>20, syscall.ENOSPC)
		}
	}
	return nil
}

// need is what one disk has to take.
type need struct {
	dir         string
	bytes, free int64
}

// diskFull tells whether an error is a full disk's. containerd tells its own as a
// text, so the disks themselves are asked.
func diskFull(h *host.Host, err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	if errors.Is(err, syscall.ENOSPC) {
		return true
	}
	for _, dir := range []string{h.Path(defaultRoot), h.Path(host.StateDir)} {
		if _, free, err := room(dir); err == nil && free < full {
			return true
		}
	}
	return false
}

func sizeOf(blobs []bundle.Blob) (n int64) {
	for _, b := range blobs {
		n += b.Size
	}
	return n
}
