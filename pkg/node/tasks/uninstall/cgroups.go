package uninstall

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const cgroupRoot = "/sys/fs/cgroup"

// removeCgroups removes the control groups of pods that systemd does not know of:
// with version 1 the kubelet makes them in every controller. Only empty ones can be
// removed at all. One that stays does no harm until the next boot, and is a warning.
func (u *uninstaller) removeCgroups(ctx context.Context) {
	entries, err := u.h.ReadDir(cgroupRoot)
	if err != nil {
		return // A host without them has none of pods either.
	}
	tops := []string{path.Join(cgroupRoot, podsSlice), path.Join(cgroupRoot, "kubepods")}
	for _, e := range entries {
		if e.IsDir() {
			tops = append(tops, path.Join(cgroupRoot, e.Name(), podsSlice), path.Join(cgroupRoot, e.Name(), "kubepods"))
		}
	}
	for _, top := range tops {
		if there, err := u.h.Exists(top); err != nil || !there {
			continue
		}
		err := u.h.Do(ctx, host.ActionRemove, top, "control groups of pods", func(context.Context) error { return removeGroups(u.h.Path(top)) })
		if err != nil {
			u.warn("%s is left: %v", top, err)
		}
	}
}

// removeGroups removes a group with those in it, the innermost first.
func removeGroups(top string) error {
	var dirs []string
	err := fs.WalkDir(os.DirFS(top), ".", func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // It has just gone.
		}
		if err == nil && d.IsDir() {
			dirs = append(dirs, path.Join(top, name))
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
