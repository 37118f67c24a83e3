package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"

	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
)

// backupName is what a backup on a host can be called: it is a directory.
var backupName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

// here tells whether the snapshot is on this host already, whole.
func here(h *host.Host, spec Spec) (bool, error) {
	info, err := h.Stat(SnapshotPath)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() != spec.Bytes {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	sum, err := h.SHA256(SnapshotPath)
	return err == nil && sum == spec.SHA256, err
}

// receive appends a piece to what is here. Asked with another offset it changes nothing, and tells
// how much there is; a piece that does not fit the whole makes it begin anew.
func receive(ctx context.Context, h *host.Host, spec Spec) (any, error) {
	if spec.Offset == 0 && len(spec.Data) == 0 {
		whole, err := here(h, spec)
		if err != nil || whole {
			return Data{Have: spec.Bytes, Already: whole}, err
		}
	}
	have := int64(0)
	info, err := h.Stat(partialPath)
	if err == nil {
		have = info.Size()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(spec.Data) == 0 && have >= spec.Bytes {
		// The run that wrote the last piece was killed before it was judged; or it is of another snapshot.
		if whole, err := arrived(ctx, h, spec); err != nil || whole {
			return Data{Have: have}, err
		}
		return Data{}, nil
	}
	if len(spec.Data) == 0 || have != spec.Offset {
		return Data{Have: have}, nil
	}
	if have == 0 {
		if err := room(h, Dir, spec.Bytes); err != nil {
			return nil, err
		}
	}
	if err := h.Do(ctx, "write", partialPath, fmt.Sprintf("bytes %d to %d of the snapshot", have, have+int64(len(spec.Data))), func(context.Context) error {
		return appendTo(h.Path(partialPath), spec.Data)
	}); err != nil {
		return nil, err
	}
	have += int64(len(spec.Data))
	if have < spec.Bytes {
		return Data{Have: have}, nil
	}
	whole, err := arrived(ctx, h, spec)
	if err == nil && !whole {
		err = host.WithHint(errors.New("the snapshot that arrived is not the one that was sent; it was removed"), "run the same command again: it sends it anew")
	}
	if err != nil {
		return nil, err
	}
	return Data{Have: have}, nil
}

// arrived judges what has all arrived: it gets its name, or is removed.
func arrived(ctx context.Context, h *host.Host, spec Spec) (whole bool, err error) {
	sum, err := h.SHA256(partialPath)
	if err != nil {
		return false, err
	}
	if sum != spec.SHA256 {
		_, err := h.Remove(ctx, partialPath)
		return false, err
	}
	return true, move(ctx, h, partialPath, SnapshotPath, "the snapshot has arrived whole")
}

func appendTo(file string, data []byte) (err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync() // What counts as received is gone on from.
	}
	return errors.Join(err, f.Close())
}

// fetch reads the snapshot from a backup target, and decrypts it by the one object's key; or takes
// that of a backup on this host.
func fetch(ctx context.Context, env node.Env, spec Spec) (any, error) {
	if whole, err := here(env.Host, spec); err != nil || whole {
		return Data{Have: spec.Bytes, Already: whole}, err
	}
	if err := room(env.Host, Dir, spec.Bytes); err != nil {
		return nil, err
	}
	env.Progress("reading the snapshot")
	return put(ctx, env.Host, spec, func(w io.Writer) error { return source(ctx, env, spec, w) })
}

func fromStore(ctx context.Context, spec Spec, w io.Writer) (err error) {
	s, err := store.Open(ctx, *spec.Store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return backup.Fetch(ctx, s, spec.Folder, spec.Part, spec.Key, w)
}

func put(ctx context.Context, h *host.Host, spec Spec, fill func(io.Writer) error) (any, error) {
	sum, err := h.StreamFile(ctx, host.File{Path: SnapshotPath, Mode: 0o600, Note: "the etcd snapshot that is restored"}, fill, nil)
	if err != nil || h.DryRun() {
		return nil, err
	}
	if sum != spec.SHA256 {
		_, err := h.Remove(ctx, SnapshotPath)
		return nil, errors.Join(fmt.Errorf("the snapshot has the SHA-256 %s instead of %s; it was removed", sum, spec.SHA256), err)
	}
	return Data{Have: spec.Bytes}, nil
}

// Read reads a piece of a snapshot.
func Read(_ context.Context, env node.Env, spec ReadSpec) (_ any, err error) {
	file := SnapshotPath
	if spec.Backup != "" {
		if !backupName.MatchString(spec.Backup) {
			return nil, fmt.Errorf("restore: %q can't be the name of a backup", spec.Backup)
		}
		file = taskbackup.Dir + "/" + spec.Backup + "/" + taskbackup.SnapshotName
	}
	f, err := os.Open(env.Host.Path(file))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data := make([]byte, ChunkBytes)
	n, err := f.ReadAt(data, spec.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return ReadData{Data: data[:n]}, nil
}
