package build

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Disk space in GiB that each part takes, the Go build cache included; as
// measured, rounded up.
const (
	diskKubernetes = 8
	diskRest       = 8
	// DiskPerHost is what a host takes once images are on it.
	DiskPerHost = 4
)

// checkDisk fails when the cache's disk can't hold what is still to be built.
func checkDisk(o Options) error {
	needed := 1
	for _, v := range o.Kubernetes {
		if !o.Cache.Has(kubernetesKey(v)) {
			needed += diskKubernetes
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(o.Cache.Build("x"))); err != nil || len(entries) < 10 {
		needed += diskRest
	}
	return CheckDiskFor(string(o.Cache), needed, "to build")
}

// CheckDiskFor fails when the disk of path has less than needed GiB free.
func CheckDiskFor(path string, needed int, what string) error {
	for {
		var fs syscall.Statfs_t
		err := syscall.Statfs(path, &fs)
		if errors.Is(err, syscall.ENOENT) && path != filepath.Dir(path) {
			path = filepath.Dir(path)
			continue
		}
		if err != nil {
			return fmt.Errorf("free space of %s: %w", path, err)
		}
		free := int(fs.Bavail * uint64(fs.Bsize) >> 30)
		if free < needed {
			return fmt.Errorf("%d GiB needed %s, and %s has %d free: make room, or set LAB_CACHE to a folder on another disk", needed, what, path, free)
		}
		return nil
	}
}
