package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
)

// ownEtcd makes the data directory of kubeadm's own etcd ours, and lists the preflight checks of kubeadm's that
// fail for what an unfinished run of ours left of it, or for what is in every file system of its own.
func ownEtcd(ctx context.Context, h *host.Host, member etcdmember.Stacked, begun bool) (ignore []string, err error) {
	if err := member.Validate(); err != nil {
		return nil, err
	}
	if err := member.Own(ctx, h, begun); err != nil {
		return nil, err
	}
	entries, err := h.ReadDir(member.DataDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // In a dry run it is not there.
		return nil, fmt.Errorf("look for etcd's data: %w", err)
	}
	if len(entries) > 0 { // Before the first run this is lost+found alone: Own has seen to it.
		ignore = append(ignore, "DirAvailable-"+strings.ReplaceAll(member.DataDir, "/", "-"))
	}
	there, err := h.Exists(etcdManifest)
	if err != nil || !there {
		return ignore, err
	}
	ignore = append(ignore, availableCheck(etcdManifest))
	for _, port := range etcdPorts {
		ignore = append(ignore, "Port-"+port)
	}
	return ignore, nil
}

// joinEtcd makes the host's member one of those that there are: kubeadm announces it as a learner, writes its
// manifest, and lets it vote once it has all data. Each of these may have been done before.
// https://github.com/kubernetes/kubernetes/blob/v1.36.3/cmd/kubeadm/app/phases/etcd/local.go
func joinEtcd(ctx context.Context, env node.Env, member etcdmember.Stacked, config []byte, mayEnter enter) error {
	if env.Host.DryRun() {
		return nil
	}
	if err := mayEnter(member, ctx, env); err != nil {
		return err
	}
	args := append([]string{"join", "phase", "etcd-join"}, fromStdin...)
	return Kubeadm{Program: "kubeadm", Why: "kubeadm join phase etcd-join", Config: config, Args: args, Timeout: etcdJoinTimeout}.Run(ctx, env)
}
