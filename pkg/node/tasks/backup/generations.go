package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	whole "github.com/kubectl-ha/kubectl-ha/pkg/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// List tells of the backups on a host, the newest first.
func List(ctx context.Context, env node.Env, spec ListSpec) (any, error) {
	data, err := list(env.Host)
	if err != nil || !spec.Verify {
		return data, err
	}
	whole := data.Backups
	data.Backups = nil
	for _, b := range whole {
		env.Progress("reading the backup %s", b.Name)
		switch err := verify(ctx, env.Host, b); {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			data.Broken[b.Name] = err.Error()
		default:
			data.Backups = append(data.Backups, b)
		}
	}
	return data, nil
}

// list reads the indexes. A directory without one was never finished.
func list(h *host.Host) (ListData, error) {
	data := ListData{Broken: map[string]string{}}
	entries, err := h.ReadDir(Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return data, nil
	}
	if err != nil {
		return data, fmt.Errorf("list the backups: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		b, err := read(h, e.Name())
		if err == nil {
			err = exists(h, b)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			data.Broken[e.Name()] = "it was never finished, or something of it is gone"
		case err != nil:
			data.Broken[e.Name()] = err.Error()
		default:
			data.Backups = append(data.Backups, b)
		}
	}
	slices.SortFunc(data.Backups, func(a, b Backup) int { return b.Created.Compare(a.Created) })
	return data, nil
}

// prune removes the backups that are too many, and those that were never finished. The one
// just made stays, whatever the clock says. One that can't be read stays, too, and is told: a
// disk may have been slow to answer, or a newer version have made it.
func prune(ctx context.Context, env node.Env, spec Spec) (removed []string, err error) {
	h := env.Host
	if h.DryRun() {
		return nil, nil
	}
	data, err := list(h)
	if err != nil {
		return nil, err
	}
	removed = surplus(data.Backups, spec, time.Now())
	for name, why := range data.Broken {
		if name == spec.Operation {
			continue
		}
		// The index is written last, and removed first.
		if indexed, err := h.Exists(Dir + "/" + name + "/" + indexName); err != nil || indexed {
			env.Sink.Emit(report.Event{Kind: report.Warning, Message: fmt.Sprintf("the backup %s stays, and is none: %s", name, why)})
			continue
		}
		removed = append(removed, name)
	}
	slices.Sort(removed)
	for _, name := range removed {
		// Without its index first, half of a backup never looks like one.
		if _, err := h.Remove(ctx, Dir+"/"+name+"/"+indexName); err != nil {
			return nil, err
		}
		if _, err := h.RemoveTree(ctx, Dir+"/"+name); err != nil {
			return nil, err
		}
	}
	return removed, nil
}

// release notes that no backup is of before a change that is not through.
func release(ctx context.Context, h *host.Host) error {
	data, err := list(h)
	if err != nil {
		return err
	}
	for _, b := range data.Backups {
		if !b.Held {
			continue
		}
		b.Held = false
		if err := writeIndex(ctx, h, b); err != nil {
			return err
		}
	}
	return nil
}

// surplus are the whole backups that are too many of the new one's kind, by name. The new one is
// the newest, whatever the clocks said when the others were made. It is pure.
func surplus(all []Backup, spec Spec, now time.Time) []string {
	for _, b := range all {
		if b.Created.After(now) {
			now = b.Created
		}
	}
	now = now.Add(time.Nanosecond)
	var counted []whole.Manifest
	first := firstHeld(all)
	for _, b := range all {
		switch {
		case slices.Contains(first, b.Name) && b.Name != spec.Operation: // It is of before anything that is not through.
		case b.Name == spec.Operation:
			counted = append(counted, whole.Manifest{Name: b.Name, Created: now})
		case Scheduled(b.Name) == Scheduled(spec.Operation) && !slices.Contains(spec.Protect, b.Name):
			counted = append(counted, whole.Manifest{Name: b.Name, Created: b.Created})
		}
	}
	remove, _ := whole.Retain(counted, whole.Keep{Last: spec.Keep, Daily: spec.Daily, Weekly: spec.Weekly}, nil, now)
	return remove
}

// firstHeld are, of each change, the oldest backup that is held: later ones are of after it had begun. A
// change that was never told to be through must not stand for the next one. It is pure.
func firstHeld(all []Backup) []string {
	first := map[string]Backup{}
	for _, b := range all {
		if have, ok := first[b.For]; b.Held && (!ok || b.Created.Before(have.Created)) {
			first[b.For] = b
		}
	}
	var out []string
	for _, b := range first {
		out = append(out, b.Name)
	}
	return out
}
