package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// Mount is one mount of the host.
type Mount struct {
	// Path is where it is, Type the file system's, Source what is mounted.
	Path, Type, Source string
}

// Mounts lists what is mounted, in the order of mounting; proc(5), mountinfo.
func (h *Host) Mounts() ([]Mount, error) {
	content, err := h.ReadFile("/proc/self/mountinfo")
	if errors.Is(err, fs.ErrNotExist) && h.opts.Root != "/" {
		return nil, nil // A test's host that has no mounts.
	}
	if err != nil {
		return nil, fmt.Errorf("list what is mounted: %w", err)
	}
	mounts, err := parseMounts(content)
	if err != nil {
		return nil, fmt.Errorf("list what is mounted: %w", err)
	}
	return mounts, nil
}

// Resolve is where a path is once the links on its way are followed, as the kernel lists
// mounts; the last part may be missing, and is not followed. A way that is not there is
// where it would be.
func (h *Host) Resolve(path string) (string, error) {
	dir, name := filepath.Split(filepath.Clean(path))
	real, err := filepath.EvalSymlinks(h.Path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	if err != nil {
		return "", fmt.Errorf("follow the links on the way to %s: %w", path, err)
	}
	if h.opts.Root != "/" {
		root, err := filepath.EvalSymlinks(h.opts.Root)
		if err != nil {
			return "", err
		}
		real = "/" + strings.TrimPrefix(strings.TrimPrefix(real, root), "/")
	}
	return filepath.Join(real, name), nil
}

// MountsBelow lists the paths at which something is mounted below a path, not
// at it, the last mounted first. Links on the way to the path are followed.
func (h *Host) MountsBelow(path string) ([]string, error) {
	all, err := h.Mounts()
	if err != nil {
		return nil, err
	}
	real, err := h.Resolve(path)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range all {
		if strings.HasPrefix(m.Path, path+"/") || strings.HasPrefix(m.Path, real+"/") {
			out = append(out, m.Path)
		}
	}
	slices.Reverse(out)
	return out, nil
}

// mounted tells whether something is mounted at a path itself.
func (h *Host) mounted(path string) (bool, error) {
	all, err := h.Mounts()
	if err != nil {
		return false, err
	}
	real, err := h.Resolve(path)
	return slices.ContainsFunc(all, func(m Mount) bool { return m.Path == path || m.Path == real }), err
}
