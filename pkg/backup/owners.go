package backup

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
)

// Owner is a cluster that has backups at a target.
type Owner struct {
	// Identity is the cluster's, and Name what its newest backup calls it; empty when none of its
	// manifests can be read.
	Identity string `json:"identity"`
	Name     string `json:"name,omitempty"`
	// Backups is how many whole ones there are, and Newest when the last one was made.
	Backups int       `json:"backups"`
	Newest  time.Time `json:"newest,omitzero"`
}

// Owners are all clusters that have something at a target, whose newest backup is the newest first.
func Owners(ctx context.Context, s store.Store) ([]Owner, error) {
	objects, err := s.List(ctx, "")
	if err != nil {
		return nil, err
	}
	var out []Owner
	seen := map[string]bool{}
	for _, o := range objects {
		parts := strings.Split(o.Name, "/")
		if len(parts) != 3 || seen[parts[0]] || !name.MatchString(parts[0]) {
			continue
		}
		seen[parts[0]] = true
		list, err := List(ctx, s, parts[0])
		if err != nil {
			return nil, err
		}
		owner := Owner{Identity: parts[0], Backups: len(list.Backups)}
		if len(list.Backups) > 0 {
			owner.Name, owner.Newest = list.Backups[0].Cluster, list.Backups[0].Created
		}
		out = append(out, owner)
	}
	slices.SortFunc(out, func(a, b Owner) int {
		return cmpOr(b.Newest.Compare(a.Newest), strings.Compare(a.Identity, b.Identity))
	})
	return out, nil
}

// minIdentity is how much of an identity names a cluster, in characters.
const minIdentity = 8

// Owned finds the one cluster that a text means: a cluster's name, or its identity or the beginning of
// that. It is pure.
func Owned(all []Owner, text string) (Owner, error) {
	var fit []Owner
	var have []string
	for _, o := range all {
		if text != "" && o.Name == text || len(text) >= minIdentity && strings.HasPrefix(o.Identity, text) {
			fit = append(fit, o)
		}
		have = append(have, o.String())
	}
	switch len(fit) {
	case 1:
		return fit[0], nil
	case 0:
		return Owner{}, fmt.Errorf("no cluster %q has backups at the target; there are: %s", text, strings.Join(append(have, "none")[:max(1, len(have))], "; "))
	}
	have = nil
	for _, o := range fit {
		have = append(have, o.String())
	}
	return Owner{}, fmt.Errorf("%q means several clusters at the target: %s; name one by its identity", text, strings.Join(have, "; "))
}

// String is an owner in a few words.
func (o Owner) String() string {
	text := o.Identity
	if o.Name != "" {
		text = o.Name + " (" + o.Identity + ")"
	}
	if o.Newest.IsZero() {
		return text + " without a whole backup"
	}
	return text + ", last backup " + o.Newest.UTC().Format(time.RFC3339)
}
