package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// kubeadmTmp is where kubeadm copies etcd's data to before it exchanges its own etcd. It leaves the copy there.
// https://github.com/kubernetes/kubernetes/blob/v1.36.3/cmd/kubeadm/app/phases/upgrade/staticpods.go
const kubeadmTmp = kubernetesDir + "/tmp"

// etcdCopy begins the names of these copies.
const etcdCopy = "kubeadm-backup-etcd-"

var dataDirFlag = regexp.MustCompile(`(?m)^\s*- --data-dir=(\S+)$`)

// checkEtcdRoom refuses an upgrade for which there is no room: kubeadm copies the data of its own etcd.
func checkEtcdRoom(h *host.Host, free func(dir string) (int64, error)) error {
	raw, err := h.ReadFile(manifest(etcdComponent))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	m := dataDirFlag.FindSubmatch(raw)
	if m == nil {
		return nil // It is kubeadm's to judge what it has not written.
	}
	need, err := size(h, string(m[1]))
	if err != nil {
		return fmt.Errorf("the room for an upgrade: %w", err)
	}
	left, err := free(h.Path(kubernetesDir))
	if err != nil {
		return fmt.Errorf("the room for an upgrade: %w", err)
	}
	if left < need+reserve {
		return host.WithHint(fmt.Errorf("there is no room for the upgrade: kubeadm copies etcd's data (%d MB) to %s, %d MB are free there, and %d MB are to stay free", need>>20, kubeadmTmp, left>>20, int64(reserve)>>20),
			"make room on that disk; kubectl ha etcd defrag makes the data smaller")
	}
	return nil
}

// size is that of all files below a directory.
func size(h *host.Host, dir string) (int64, error) {
	entries, err := h.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, e := range entries {
		if e.IsDir() {
			below, err := size(h, path.Join(dir, e.Name()))
			if err != nil {
				return 0, err
			}
			sum += below
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // etcd removes what it needs no more.
		}
		if err != nil {
			return 0, err
		}
		sum += info.Size()
	}
	return sum, nil
}

// DropEtcdCopies removes kubeadm's copies of etcd's data, once the new member serves: they are every secret of the
// cluster, and as large as its database. There is a snapshot of before the upgrade. A host that leaves keeps none either.
func DropEtcdCopies(ctx context.Context, h *host.Host) error {
	entries, err := h.ReadDir(kubeadmTmp)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), etcdCopy) {
			continue
		}
		dir := path.Join(kubeadmTmp, e.Name())
		if err := h.Record(ctx, host.KindDirectory, dir, "kubeadm's copy of etcd's data"); err != nil {
			return err
		}
		if _, err := h.RemoveTree(ctx, dir); err != nil {
			return err
		}
	}
	return nil
}
