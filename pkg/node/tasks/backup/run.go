package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// operationName is what an Operation can be called: it becomes a directory.
var operationName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

// Run makes a backup, unless it is there and whole. Then the oldest go that are
// too many, and what earlier runs left unfinished.
func Run(ctx context.Context, env node.Env, spec Spec) (any, error) {
	if !operationName.MatchString(spec.Operation) {
		return nil, fmt.Errorf("backup: %q is not the name of an Operation", spec.Operation)
	}
	if n := min(spec.Keep, spec.Daily, spec.Weekly); n < 0 {
		return nil, fmt.Errorf("backup: %d is not a number of backups to keep", n)
	}
	if spec.Keep == 0 && spec.Daily == 0 && spec.Weekly == 0 {
		spec.Keep = DefaultKeep
	}
	h := env.Host
	data := Data{}
	there, err := read(h, spec.Operation)
	if err == nil && there.Snapshot == nil && len(spec.Endpoints) > 0 {
		err = errors.New("it has no snapshot")
	}
	if err == nil {
		err = verify(ctx, h, there)
	}
	switch {
	case err == nil:
		data.Backup, data.Already = there, true
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	default:
		// None, or what an interrupted run left: it is made anew, as a whole.
		if data.Backup, err = create(ctx, env, spec); err != nil {
			return nil, err
		}
	}
	if spec.Release {
		if err := release(ctx, h); err != nil {
			return nil, err
		}
		data.Held = false
	}
	data.Removed, err = prune(ctx, env, spec)
	return data, err
}

// create writes the files, each read back before it gets its name, and the index
// when all are there.
func create(ctx context.Context, env node.Env, spec Spec) (Backup, error) {
	h, dir := env.Host, Dir+"/"+spec.Operation
	for _, d := range []string{Dir, dir} {
		if _, err := h.Mkdir(ctx, d, 0o700, 0, 0); err != nil {
			return Backup{}, err
		}
	}
	// An index that does not fit must not lend its name to the new files.
	if _, err := h.Remove(ctx, dir+"/"+indexName); err != nil {
		return Backup{}, err
	}
	b := Backup{Name: spec.Operation, Created: time.Now().UTC().Truncate(time.Second), Held: spec.Hold, For: spec.For}
	var err error
	if len(spec.Endpoints) > 0 {
		if b.Snapshot, err = snapshot(ctx, env, spec.Endpoints, dir+"/"+SnapshotName); err != nil {
			return Backup{}, err
		}
	}
	env.Progress("keeping the host's configuration and keys")
	if b.Archive, err = archive(ctx, h, dir+"/"+ArchiveName); err != nil {
		return Backup{}, err
	}
	return b, writeIndex(ctx, h, b)
}

func writeIndex(ctx context.Context, h *host.Host, b Backup) error {
	raw, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	_, err = h.WriteFile(ctx, host.File{Path: Dir + "/" + b.Name + "/" + indexName, Mode: 0o600, Content: append(raw, '\n'), Note: "the index of a backup"})
	return err
}

// read reads a backup's index.
func read(h *host.Host, name string) (Backup, error) {
	raw, err := h.ReadFile(Dir + "/" + name + "/" + indexName)
	if err != nil {
		return Backup{}, err
	}
	var b Backup
	if err := json.Unmarshal(raw, &b); err != nil {
		return Backup{}, fmt.Errorf("the index of the backup %s can't be read: %w", name, err)
	}
	if b.Name != name || b.Created.IsZero() {
		return Backup{}, fmt.Errorf("the index of the backup %s is that of another", name)
	}
	return b, nil
}

// verify compares what the index says with the files.
func verify(ctx context.Context, h *host.Host, b Backup) error {
	type file struct{ name, sha256 string }
	files := []file{{ArchiveName, b.Archive.SHA256}}
	if b.Snapshot != nil {
		files = append(files, file{SnapshotName, b.Snapshot.SHA256})
	}
	for _, f := range files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		got, err := h.SHA256(Dir + "/" + b.Name + "/" + f.name)
		if err != nil {
			return fmt.Errorf("the backup %s: %w", b.Name, err)
		}
		if got != f.sha256 {
			return fmt.Errorf("the backup %s is not whole: %s has the SHA-256 %s instead of %s", b.Name, f.name, got, f.sha256)
		}
	}
	return nil
}

// exists tells whether the files of a backup are all there, at their size.
func exists(h *host.Host, b Backup) error {
	sizes := map[string]int64{ArchiveName: b.Archive.Bytes}
	if b.Snapshot != nil {
		sizes[SnapshotName] = b.Snapshot.Bytes
	}
	var wrong []error
	for name, size := range sizes {
		info, err := h.Stat(Dir + "/" + b.Name + "/" + name)
		switch {
		case err != nil:
			wrong = append(wrong, err)
		case info.Size() != size:
			wrong = append(wrong, fmt.Errorf("%s has %d bytes instead of %d", name, info.Size(), size))
		}
	}
	return errors.Join(wrong...)
}
