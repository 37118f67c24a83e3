package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	etcdutl = "/usr/local/bin/etcdutl"
	// restoreTimeout bounds etcdutl: the largest etcd has 8 GiB.
	restoreTimeout = 30 * time.Minute
	// reserve is how many bytes are to stay free on the disk.
	reserve = 512 << 20
)

// stage restores the snapshot beside the data in use, by the etcdutl of this host, which is of the
// version of its etcd: what it writes, that etcd reads.
func stage(ctx context.Context, env node.Env, spec Spec) (any, error) {
	h := env.Host
	if !slices.ContainsFunc(spec.Members, func(m Member) bool { return m.Name == spec.Name && m.PeerURL != "" }) {
		return nil, fmt.Errorf("restore: %q is none of the members that are restored", spec.Name)
	}
	was, err := readState(h)
	if err != nil {
		return nil, err
	}
	if was != nil && !was.Finished && was.ID != spec.ID {
		return nil, host.WithHint(fmt.Errorf("another restore, %s, was begun here", was.ID), "go on with it, or take it back with --take-back")
	}
	if was != nil && was.ID == spec.ID && was.Staged {
		there, err := h.Exists(spec.staged())
		if err != nil || there || was.Swapped {
			return Data{Already: true}, err
		}
		// Somebody has removed it since: it is restored once more.
	}
	env.Progress("reading the snapshot back")
	status, err := etcd.CheckSnapshot(ctx, h.Path(SnapshotPath))
	if err != nil {
		return nil, host.WithHint(err, "take another backup; nothing of the cluster was touched")
	}
	if status.SHA256 != spec.SHA256 {
		return nil, fmt.Errorf("the snapshot has the SHA-256 %s instead of %s", status.SHA256, spec.SHA256)
	}
	if err := starts(status.StorageVersion, etcdVersion(ctx, h)); err != nil {
		return nil, err
	}
	if err := room(h, spec.DataDir, status.Bytes); err != nil {
		return nil, err
	}
	begun := time.Now().UTC().Truncate(time.Second)
	if err := writeState(ctx, h, State{ID: spec.ID, SHA256: spec.SHA256, Bytes: status.Bytes, Members: spec.Members, Begun: begun}); err != nil {
		return nil, err
	}
	if err := h.Record(ctx, host.KindDirectory, spec.staged(), "etcd's data as restored from a snapshot"); err != nil {
		return nil, err
	}
	// What an interrupted run has left of it.
	if _, err := h.RemoveTree(ctx, spec.staged()); err != nil {
		return nil, err
	}
	env.Progress("restoring revision %d, %s", status.Revision, report.Size(status.Bytes))
	if err := runEtcdutl(ctx, h, spec); err != nil {
		return nil, err
	}
	done := State{ID: spec.ID, SHA256: spec.SHA256, Bytes: status.Bytes, Members: spec.Members, Begun: begun, Staged: true}
	return Data{Snapshot: &taskbackup.Snapshot{Revision: status.Revision, Entries: status.Entries, Bytes: status.Bytes, SHA256: status.SHA256}}, writeState(ctx, h, done)
}

// starts refuses data on which etcd of a version would not start; etcdutl restores it all the same. etcd
// before 3.6 does not look. It is pure.
// https://github.com/etcd-io/etcd/blob/v3.6.16/server/storage/schema/schema.go (Validate)
func starts(stored, has string) error {
	s, err := etcd.ParseVersion(stored)
	if err != nil {
		return nil //nolint:nilerr // nothing is noted
	}
	h, err := etcd.ParseVersion(has)
	if err != nil || h.Minor() < 6 || s.Minor() <= h.Minor() {
		return nil //nolint:nilerr // a program that does not tell is judged by what it does
	}
	return host.WithHint(fmt.Errorf("the snapshot is stored as etcd %s does, and etcd %s of this host would not start on it", etcd.MinorOf(stored), has),
		"bring etcd of that version to the host first (kubectl ha bootstrap with etcd.version of the Cluster file), or take a backup of before the upgrade; nothing of the cluster was touched")
}

func runEtcdutl(ctx context.Context, h *host.Host, spec Spec) error {
	var initial []string
	own := ""
	for _, m := range spec.Members {
		initial = append(initial, m.Name+"="+m.PeerURL)
		if m.Name == spec.Name {
			own = m.PeerURL
		}
	}
	_, err := h.Run(ctx, "restore the snapshot beside the data in use", host.Command{Timeout: restoreTimeout, Argv: []string{etcdutl, "snapshot", "restore", SnapshotPath,
		"--data-dir", spec.staged(), "--name", spec.Name, "--initial-cluster", strings.Join(initial, ","),
		// A member with the old data can't connect to one with another token.
		"--initial-cluster-token", spec.ID, "--initial-advertise-peer-urls", own,
		"--bump-revision", strconv.Itoa(bumpRevision), "--mark-compacted"}})
	if err != nil {
		return host.WithHint(fmt.Errorf("etcdutl can't restore the snapshot: %w", err), "nothing of the cluster was touched; the data in use is as it was")
	}
	if h.DryRun() {
		return nil
	}
	if there, err := h.Exists(spec.staged() + "/member"); err != nil || !there {
		return errors.Join(err, errors.New("etcdutl has restored nothing"))
	}
	_, err = h.Run(ctx, "give the restored data to etcd's user", host.Command{Argv: []string{"chown", "-R", "etcd:etcd", spec.staged()}, Timeout: time.Minute})
	return err
}

// room refuses what would fill the disk, on which etcd's own data may be: what is in use stays
// beside what is written.
func room(h *host.Host, dir string, bytes int64) error {
	if _, err := h.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return host.WithHint(fmt.Errorf("there is no %s", dir), "mount it, or run kubectl ha bootstrap first, which sets the member up")
	}
	free, err := taskbackup.FreeBytes(h.Path(dir))
	if err != nil {
		return fmt.Errorf("the room in %s: %w", dir, err)
	}
	if free < bytes+reserve {
		return host.WithHint(fmt.Errorf("there is no room in %s: what is to be written takes %d MB, %d MB are free, and %d MB are to stay free", dir, bytes>>20, free>>20, int64(reserve)>>20),
			"make room on that disk; nothing of the cluster was touched")
	}
	return nil
}
