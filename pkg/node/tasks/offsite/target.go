package offsite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// TargetSpec asks for what is at a target, after it was changed as Finish and Delete say.
type TargetSpec struct {
	Store store.Config `json:"store"`
	// Finish, when set, is the manifest that makes a backup of its parts.
	Finish *backup.Manifest `json:"finish,omitempty"`
	// Delete are names of backups that go, whatever there is of them.
	Delete []string `json:"delete,omitempty"`
	// Head names a backup of whose snapshot the head is asked for.
	Head string `json:"head,omitempty"`
	// Tidy removes what uploads and failed backups have left that nobody has written to for a day.
	Tidy bool `json:"tidy,omitempty"`
	// Spared are names of backups that are being made, however long nobody has written to them: Tidy
	// leaves them alone.
	Spared []string `json:"spared,omitempty"`
	// Of is another cluster whose backups are asked for, by its name or identity; empty for that of
	// this host. Of others nothing is ever changed.
	Of string `json:"of,omitempty"`
	// Owners asks for all clusters that have backups there.
	Owners bool `json:"owners,omitempty"`
}

// TargetData is what is at a target.
type TargetData struct {
	// Identity is of the cluster whose backups these are; empty when only Owners were asked for.
	Identity string `json:"identity"`
	backup.Listed
	// Head is that of the snapshot's object, with its key as it is wrapped for the recipients.
	Head   []byte         `json:"head,omitempty"`
	Owners []backup.Owner `json:"owners,omitempty"`
}

// Target looks after the backups of this cluster at a target, as this host reaches it. On the host
// it changes nothing.
func Target(ctx context.Context, env node.Env, spec TargetSpec) (_ any, err error) {
	changes := spec.Finish != nil || len(spec.Delete) > 0 || spec.Tidy
	if spec.Of != "" && changes {
		return nil, errors.New("backups of another cluster are read, and never changed")
	}
	identity := ""
	if spec.Of == "" && !spec.Owners {
		if identity, err = Identity(env.Host); err != nil {
			return nil, err
		}
	}
	s, err := store.Open(ctx, spec.Store)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if m := spec.Finish; m != nil {
		m.Identity = identity
		if err := backup.Finish(ctx, s, *m); err != nil {
			return nil, err
		}
	}
	for _, name := range spec.Delete {
		if err := backup.Delete(ctx, s, identity, name); err != nil {
			return nil, err
		}
	}
	if spec.Tidy {
		tidy(ctx, env, s, identity, spec.Spared)
	}
	return Look(ctx, s, identity, spec)
}

// Look asks for what is at a target and changes nothing, on whatever machine. identity is the
// cluster's whose backups are meant unless spec.Of names another.
func Look(ctx context.Context, s store.Store, identity string, spec TargetSpec) (out TargetData, err error) {
	if spec.Of != "" || spec.Owners {
		if out.Owners, err = backup.Owners(ctx, s); err != nil || spec.Owners {
			return out, err
		}
		owner, err := backup.Owned(out.Owners, spec.Of)
		if err != nil {
			return out, err
		}
		identity = owner.Identity
	}
	if out.Listed, err = backup.List(ctx, s, identity); err != nil {
		return out, err
	}
	out.Identity = identity
	if spec.Head != "" {
		out.Head, err = head(ctx, s, out.Listed, identity, spec.Head)
	}
	return out, err
}

// tidy fails nothing: a backup that was made counts, and credentials may have no right to delete.
func tidy(ctx context.Context, env node.Env, s store.Store, identity string, spared []string) {
	removed, err := backup.Tidy(ctx, s, identity, spared)
	if len(removed) > 0 {
		env.Progress("removed what was never finished at the target: %s", strings.Join(removed, ", "))
	}
	if err != nil {
		env.Sink.Emit(report.Event{Kind: report.Warning, Message: fmt.Sprintf("what interrupted uploads have left at the target stays: %v", err)})
	}
}

func head(ctx context.Context, s store.Store, list backup.Listed, identity, name string) ([]byte, error) {
	at := slices.IndexFunc(list.Backups, func(m backup.Manifest) bool { return m.Name == name })
	if at < 0 {
		if why := list.Broken[name]; why != "" {
			return nil, fmt.Errorf("the backup %s is of no use: %s", name, why)
		}
		return nil, host.WithHint(fmt.Errorf("this cluster has no backup %s at the target", name), "kubectl ha backup list --to TARGET lists them; of a cluster that is lost, kubectl ha backup list --to TARGET --clusters, and then --of-cluster")
	}
	p, err := list.Backups[at].Snapshot()
	if err != nil {
		return nil, err
	}
	return backup.Head(ctx, s, backup.Folder(identity, name), p)
}
