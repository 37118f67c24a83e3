package backup

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// reserve is how many bytes must be left on the disk when the snapshot is
// there: an etcd or a kubelet on a full disk ends worse than without a backup.
const reserve = 512 << 20

// snapshot copies etcd's database into a file and reads it back.
func snapshot(ctx context.Context, env node.Env, endpoints []string, path string) (_ *Snapshot, err error) {
	h := env.Host
	id, err := etcdmember.Identity(h)
	if err != nil {
		return nil, host.WithHint(fmt.Errorf("no snapshot can be taken here: %w", err), "take the backup on a control plane or on an etcd member")
	}
	client, err := etcd.Connect(ctx, endpoints, id)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	from, err := client.Snapshot(ctx)
	if err != nil {
		return nil, host.WithHint(err, "look at journalctl -u etcd on the members; a backup needs a quorum of them")
	}
	if err := roomFor(h, from.Bytes); err != nil {
		return nil, err
	}
	env.Progress("taking a snapshot of etcd at %s, %s", from.Endpoint, report.Size(from.Bytes))
	var status etcd.SnapshotStatus
	fill := func(w io.Writer) error {
		_, err := from.CopyTo(ctx, w)
		return err
	}
	check := func(path string) (err error) {
		env.Progress("reading the snapshot back")
		if status, err = etcd.CheckSnapshot(ctx, path); err != nil {
			return err
		}
		if status.Revision < from.AtLeast {
			return fmt.Errorf("it ends at the revision %d, but etcd had acknowledged %d before it was taken", status.Revision, from.AtLeast)
		}
		return nil
	}
	digest, err := h.StreamFile(ctx, host.File{Path: path, Mode: 0o600, Note: "a snapshot of etcd"}, fill, check)
	if err != nil || h.DryRun() {
		return nil, err
	}
	if digest != status.SHA256 {
		return nil, fmt.Errorf("write %s: what was read back is not what was written", path)
	}
	return &Snapshot{Endpoint: from.Endpoint, Revision: status.Revision, Entries: status.Entries, Bytes: status.Bytes, SHA256: digest}, nil
}

// roomFor refuses a snapshot that would fill the disk.
func roomFor(h *host.Host, bytes int64) error {
	free, err := FreeBytes(h.Path(host.StateDir))
	if err != nil {
		return fmt.Errorf("the room for a backup: %w", err)
	}
	if free < bytes+reserve {
		return host.WithHint(fmt.Errorf("there is no room for a backup: the snapshot takes %d MB, %d MB are free below %s, and %d MB are to stay free",
			bytes>>20, free>>20, host.StateDir, int64(reserve)>>20),
			"make room on that disk, or remove backups that are not needed any more from "+Dir)
	}
	return nil
}
