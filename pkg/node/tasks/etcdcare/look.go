package etcdcare

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
)

// Look asks every member. One that does not answer is in the data; only that nobody can be asked
// is an error.
func Look(ctx context.Context, env node.Env, spec LookSpec) (_ any, err error) {
	var data LookData
	if data.From, err = os.Hostname(); err != nil {
		return nil, fmt.Errorf("the host's name: %w", err)
	}
	if data.Settings, err = etcdmember.ReadSettings(env.Host); err != nil {
		return nil, err
	}
	if data.Backup, err = newest(ctx, env); err != nil {
		return nil, err
	}
	client, err := connect(ctx, env, spec.Endpoints)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	v := client.View(ctx)
	data.Etcd = v.Report()
	if !data.Etcd.Quorum {
		return data, nil
	}
	if data.Revision, err = client.Revision(ctx); err != nil {
		return data, err
	}
	if spec.Hashes {
		env.Progress("comparing the members' data")
		h, err := client.Compare(ctx, CompareTimeout)
		if err != nil {
			return data, err
		}
		data.Hashes = &h
	}
	if spec.Usage {
		env.Progress("reading what fills etcd")
		usage, whole, err := client.Usages(ctx, UsageTimeout-30*time.Second)
		if err != nil {
			return data, err
		}
		data.Usage, data.UsageCut = usage, !whole
	}
	return data, nil
}

// newest is the last whole backup with a snapshot on this host.
func newest(ctx context.Context, env node.Env) (*Backup, error) {
	raw, err := backup.List(ctx, env, backup.ListSpec{})
	if err != nil {
		return nil, err
	}
	list, _ := raw.(backup.ListData)
	var out *Backup
	for _, b := range list.Backups {
		if b.Snapshot != nil && (out == nil || b.Created.After(out.Created)) {
			out = &Backup{Name: b.Name, Created: b.Created, Revision: b.Snapshot.Revision, Bytes: b.Snapshot.Bytes}
		}
	}
	return out, nil
}

// connect talks to the members at the endpoints, and to those that they tell of themselves.
func connect(ctx context.Context, env node.Env, endpoints []string) (*etcd.Client, error) {
	id, err := etcdmember.Identity(env.Host)
	if err != nil {
		return nil, err
	}
	first, err := etcd.Connect(ctx, endpoints, id)
	if err != nil {
		return nil, err
	}
	// Without a quorum there is no list; those that are known are asked then.
	list, _ := first.Members(ctx)
	all := slices.Clone(endpoints)
	for _, m := range list {
		if !slices.ContainsFunc(m.ClientURLs, func(u string) bool { return slices.Contains(endpoints, u) }) {
			for _, u := range m.ClientURLs {
				if strings.HasPrefix(u, "https://") {
					all = append(all, u)
					break
				}
			}
		}
	}
	if len(all) == len(endpoints) {
		return first, nil
	}
	if err := first.Close(); err != nil {
		return nil, err
	}
	return etcd.Connect(ctx, all, id)
}
