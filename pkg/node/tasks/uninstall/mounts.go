package uninstall

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	kubeletDir = "/var/lib/kubelet"
	netnsDir   = "/run/netns"
	// mountRounds is how often the list is read anew: one mount may lie over another.
	mountRounds = 5
)

// unmountAll unmounts what is mounted below the directories of the kubelet and the
// container runtime. What is mounted at one of them itself is a disk of its own,
// and stays. The data in what is unmounted is not touched.
func (u *uninstaller) unmountAll(ctx context.Context) error {
	if !u.kubernetes() {
		return nil
	}
	for range mountRounds {
		mounts, err := u.podMounts()
		if err != nil || len(mounts) == 0 {
			return errors.Join(err, u.removeNamespaces(ctx))
		}
		for _, m := range mounts {
			err := u.h.Do(ctx, host.ActionRemove, m.Path, "unmount "+m.Type, func(context.Context) error { return u.unmount(m) })
			if err != nil {
				return fmt.Errorf("unmount %s: %w", m.Path, err)
			}
			u.data.Mounts++
		}
		if u.h.DryRun() {
			return nil
		}
	}
	left, err := u.podMounts()
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("still mounted: %s", left[0].Path)
	}
	return errors.Join(err, u.removeNamespaces(ctx))
}

// kubernetes tells whether this host ran pods for us.
func (u *uninstaller) kubernetes() bool { return u.wrote(unitDir + kubeletUnit) }

// podMounts lists what pods have mounted, the last first.
func (u *uninstaller) podMounts() ([]host.Mount, error) {
	all, err := u.h.Mounts()
	if err != nil {
		return nil, err
	}
	dirs := []string{kubeletDir}
	if u.ownsRuntime() {
		dirs = append(dirs, "/run/containerd", "/var/lib/containerd")
	}
	// /var, or one below it, may be a link; the kernel lists where it leads.
	for _, dir := range slices.Clone(dirs) {
		real, err := u.h.Resolve(dir)
		if err != nil {
			return nil, err
		}
		if real != dir {
			dirs = append(dirs, real)
		}
	}
	var out []host.Mount
	for _, m := range all {
		ours := slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(m.Path, dir+"/") })
		if ours || isNamespace(m.Path) {
			out = append(out, m)
		}
	}
	slices.Reverse(out)
	return out, nil
}

// ownsRuntime tells whether the container runtime was ours, also when its unit is
// gone already.
func (u *uninstaller) ownsRuntime() bool { return u.wrote(unitDir + containerdUnit) }

// isNamespace tells the network namespaces of pods, which CRI calls cni-UUID.
func isNamespace(file string) bool {
	return path.Dir(file) == netnsDir && strings.HasPrefix(path.Base(file), "cni-")
}

// removeNamespaces removes the names of pods' network namespaces, and with the
// last of them the kernel's part.
func (u *uninstaller) removeNamespaces(ctx context.Context) error {
	entries, err := u.h.ReadDir(netnsDir)
	if err != nil {
		return nil //nolint:nilerr // without the directory there is none
	}
	for _, e := range entries {
		file := netnsDir + "/" + e.Name()
		if !isNamespace(file) {
			continue
		}
		err := u.h.Do(ctx, host.ActionRemove, file, "network namespace of a pod", func(context.Context) error { return os.Remove(u.h.Path(file)) })
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
