package upgrade

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// reserve is what has to stay free on the disk, in bytes: a full one takes etcd and the
// kubelet down.
const reserve = 200 << 20

// checkRoom refuses an upgrade for which there is no room, before anything is done to any
// node: the programs are kept, and the new ones lie beside the old ones while the
// old kubelet runs. free tells what is free below a directory.
func checkRoom(h *host.Host, rel release, free func(dir string) (int64, error)) error {
	var need int64
	for _, name := range binaries {
		for _, file := range []string{path.Join(binDir, name), rel.path(name)} {
			info, err := h.Stat(file)
			if errors.Is(err, fs.ErrNotExist) {
				continue // kubectl need not be there.
			}
			if err != nil {
				return err
			}
			need += info.Size()
		}
	}
	if err := checkEtcdRoom(h, free); err != nil {
		return err
	}
	for _, dir := range []string{host.StateDir, binDir} {
		left, err := free(h.Path(dir))
		if err != nil {
			return fmt.Errorf("the room for an upgrade: %w", err)
		}
		if left < need+reserve {
			return host.WithHint(fmt.Errorf("there is no room for the upgrade: the programs that are kept and the new ones take %d MB, %d MB are free below %s, and %d MB are to stay free",
				need>>20, left>>20, dir, int64(reserve)>>20), "make room on that disk; kubectl ha images prune removes images that no pod uses")
		}
	}
	return nil
}
