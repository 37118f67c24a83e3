package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
)

// TidyAfter is for how long what was never finished stays: longer than any upload takes.
const TidyAfter = 24 * time.Hour

// Tidy removes what interrupted uploads and failed backups of a cluster have left, once nobody has
// written to it for TidyAfter: halves of objects, and folders that have no manifest. It tells which
// folders. What is of other clusters stays, and so do the backups that spared names: who makes them may
// have paused for longer. An error ends it for that one alone.
func Tidy(ctx context.Context, s store.Store, identity string, spared []string) (removed []string, err error) {
	if !name.MatchString(identity) {
		return nil, fmt.Errorf("%q can't be the identity of a cluster", identity)
	}
	objects, err := s.List(ctx, identity+"/")
	if err != nil {
		return nil, err
	}
	since := lastWritten(objects, time.Now()).Add(-TidyAfter)
	errs := []error{s.Tidy(ctx, identity+"/", since)}
	for _, folder := range abandoned(objects, since) {
		if slices.Contains(spared, folder) {
			continue
		}
		// A list may be of a moment ago.
		if _, err := Read(ctx, s, identity, folder); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := Delete(ctx, s, identity, folder); err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, folder)
	}
	return removed, errors.Join(errs...)
}

// lastWritten is when the target was last written to, as its own clock has it: this machine's may be
// ahead, and what is under way would be old. It is pure.
func lastWritten(objects []store.Object, now time.Time) time.Time {
	if len(objects) == 0 {
		return now
	}
	newest := slices.MaxFunc(objects, func(a, b store.Object) int { return a.Modified.Compare(b.Modified) }).Modified
	if newest.Before(now) {
		return newest
	}
	return now
}

// abandoned are the folders without a manifest of which nothing was written since then, sorted. It
// is pure.
func abandoned(objects []store.Object, since time.Time) (out []string) {
	stays := map[string]bool{}
	for _, o := range objects {
		parts := strings.Split(o.Name, "/")
		if len(parts) != 3 || !name.MatchString(parts[1]) {
			continue // It is not ours.
		}
		stays[parts[1]] = stays[parts[1]] || parts[2] == manifestName || !o.Modified.Before(since)
	}
	for folder, stay := range stays {
		if !stay {
			out = append(out, folder)
		}
	}
	slices.Sort(out)
	return out
}
