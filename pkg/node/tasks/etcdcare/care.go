package etcdcare

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// Defrag defragments those members that have enough to free, one by one, the leader last and
// after its leadership has moved.
func Defrag(ctx context.Context, env node.Env, spec DefragSpec) (_ any, err error) {
	if spec.Threshold < 0 || spec.Threshold > 1 {
		return nil, fmt.Errorf("a threshold of %v is no part of a file: 0 to 1", spec.Threshold)
	}
	client, err := connect(ctx, env, spec.Endpoints)
	if err != nil || env.Host.DryRun() {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return defrag(ctx, env, client, spec.Threshold)
}

func defrag(ctx context.Context, env node.Env, client *etcd.Client, threshold float64) (DefragData, error) {
	var out []etcd.Defragged
	err := env.Host.Do(ctx, host.ActionRun, "etcd: defragment", "free what etcd's files hold and do not use", func(ctx context.Context) (err error) {
		out, err = client.DefragAll(ctx, threshold, env.Progress)
		return err
	})
	if err != nil {
		err = host.WithHint(err, "see to the member that is named, then run it again: those that are done are left out")
	}
	return DefragData{Members: out}, err
}

// Compact discards old revisions on all members.
func Compact(ctx context.Context, env node.Env, spec CompactSpec) (_ any, err error) {
	if spec.Revision < 0 || spec.Keep < 0 {
		return nil, errors.New("a revision is not negative, and neither is a number of revisions to keep")
	}
	client, err := connect(ctx, env, spec.Endpoints)
	if err != nil || env.Host.DryRun() {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return compact(ctx, env, client, spec)
}

func compact(ctx context.Context, env node.Env, client *etcd.Client, spec CompactSpec) (CompactData, error) {
	newest, err := client.Revision(ctx)
	if err != nil {
		return CompactData{}, err
	}
	to, err := spec.to(newest)
	if err != nil {
		return CompactData{}, err
	}
	env.Progress("compacting etcd up to revision %d of %d", to, newest)
	if to > 0 {
		err = env.Host.Do(ctx, host.ActionRun, "etcd: compact", "discard what was overwritten or deleted before a revision",
			func(ctx context.Context) error { return client.Compact(ctx, to) })
	}
	return CompactData{Revision: to, Newest: newest}, err
}

// to is the revision up to which is compacted; 0 when there is nothing to compact. It is pure.
func (s CompactSpec) to(newest int64) (int64, error) {
	if s.Revision > newest {
		return 0, fmt.Errorf("etcd has no revision %d yet: its newest is %d", s.Revision, newest)
	}
	if s.Revision > 0 {
		return s.Revision, nil
	}
	return max(0, newest-s.Keep), nil
}

const (
	// freeTimeout bounds the wait until etcd takes writes again.
	freeTimeout = time.Minute
	// freePasses is how often all members are defragmented at most.
	freePasses = 3
)

// Free ends NOSPACE in the order that works: all old revisions go, each file is rewritten, and
// only then the alarm is taken back, since etcd raises it anew as long as a file is too large.
// https://etcd.io/docs/v3.6/op-guide/maintenance/#space-quota
func Free(ctx context.Context, env node.Env, spec FreeSpec) (_ any, err error) {
	client, err := connect(ctx, env, spec.Endpoints)
	if err != nil || env.Host.DryRun() {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return free(ctx, env, client)
}

func free(ctx context.Context, env node.Env, client *etcd.Client) (FreeData, error) {
	var data FreeData
	for _, a := range client.View(ctx).Alarms() {
		if a.Kind == etcd.AlarmCorrupt {
			return data, host.WithHint(fmt.Errorf("the member %x has raised CORRUPT", a.MemberID), "this alarm is not taken back: kubectl ha etcd check says which member differs, and that one is replaced")
		}
	}
	var err error
	if data.Compacted, err = compact(ctx, env, client, CompactSpec{}); err != nil {
		return data, err
	}
	var v etcd.View
	// A follower may still be compacting when its first turn comes, and has more to free in the next.
	for range freePasses {
		d, err := defrag(ctx, env, client, 0)
		data.Members = append(data.Members, d.Members...)
		if err != nil {
			return data, err
		}
		if v = client.View(ctx); full(v) == nil {
			break
		}
	}
	if err := full(v); err != nil {
		return data, host.WithHint(err, "delete what is not needed, or raise quota-backend-bytes in spec.etcd.extraArgs and run kubectl ha etcd apply -f CLUSTER; then run this again, which takes the alarm back")
	}
	for _, a := range v.Alarms() {
		env.Progress("disarming %s of the member %x", a.Kind, a.MemberID)
		if err := env.Host.Do(ctx, host.ActionRun, "etcd: disarm "+a.Kind, "take writes again", func(ctx context.Context) error { return client.Disarm(ctx, a) }); err != nil {
			return data, err
		}
		data.Disarmed++
	}
	_, err = client.WaitHealthy(ctx, freeTimeout, func(wrong error) { env.Progress("waiting for etcd: %v", wrong) })
	return data, err
}

// full is an error when a member's file is as large as it may be, as far as members tell that. It is pure.
func full(v etcd.View) error {
	for _, s := range v.Status {
		if s.Err == nil && s.QuotaBytes > 0 && s.DBBytes >= s.QuotaBytes {
			return fmt.Errorf("%s still has %d MiB, and may have %d MiB: nothing more can be freed", s.Endpoint, s.DBBytes>>20, s.QuotaBytes>>20)
		}
	}
	return nil
}

// Downgrade has etcd change its storage to that of a lower minor version, and waits until every
// member has; or takes that back.
func Downgrade(ctx context.Context, env node.Env, spec DowngradeSpec) (_ any, err error) {
	client, err := connect(ctx, env, spec.Endpoints)
	if err != nil || env.Host.DryRun() {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if spec.Cancel {
		return nil, env.Host.Do(ctx, host.ActionRun, "etcd: cancel downgrade", "go on with the newer version", client.CancelDowngrade)
	}
	return nil, env.Host.Do(ctx, host.ActionRun, "etcd: downgrade to "+spec.Version, "store and speak as that version does", func(ctx context.Context) error {
		return client.Lower(ctx, spec.Version, DowngradeTimeout-30*time.Second, func(wrong error) { env.Progress("waiting for etcd: %v", wrong) })
	})
}
