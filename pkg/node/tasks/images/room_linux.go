package images

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// room tells which disk a directory is on, and how many bytes it has and how many
// are free.
func room(dir string) (disk uint64, total, free int64, err error) {
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		return 0, 0, 0, fmt.Errorf("look at %s: %w", dir, err)
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, 0, fmt.Errorf("ask for the free space of %s: %w", dir, err)
	}
	return stat.Dev, int64(s.Blocks) * s.Bsize, int64(s.Bavail) * s.Bsize, nil
}
