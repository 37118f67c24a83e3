package backup

import "golang.org/x/sys/unix"

// FreeBytes tells how many bytes are free on the disk that a directory is on.
func FreeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}
