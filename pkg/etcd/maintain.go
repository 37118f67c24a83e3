package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Kinds of alarms.
const (
	// AlarmNoSpace: a member's database has reached its quota, and etcd takes no more writes.
	AlarmNoSpace = "NOSPACE"
	// AlarmCorrupt: a member holds other data than the others.
	AlarmCorrupt = "CORRUPT"
)

// Revision is the newest revision that was acknowledged: a read to which a quorum agrees.
func (c *Client) Revision(ctx context.Context) (int64, error) {
	var last error
	for _, m := range c.members {
		one, cancel := context.WithTimeout(ctx, askTimeout)
		got, err := m.client.Get(one, "\x00", clientv3.WithCountOnly())
		cancel()
		if err == nil {
			return got.Header.GetRevision(), nil
		}
		last = fmt.Errorf("%s: %w", m.url, short(err))
		if ctx.Err() != nil {
			break
		}
	}
	return 0, fmt.Errorf("ask etcd for its revision: %w", last)
}

// Compact discards what was overwritten or deleted before a revision, on all members, and
// returns once the disk has it. One that is compacted already is no error.
func (c *Client) Compact(ctx context.Context, revision int64) error {
	asked, err := c.leading(ctx)
	if err != nil {
		return fmt.Errorf("compact etcd: %w", err)
	}
	_, err = asked.client.Compact(ctx, revision, clientv3.WithCompactPhysical())
	if err == nil || errors.Is(err, rpctypes.ErrCompacted) {
		return nil
	}
	return fmt.Errorf("compact etcd up to revision %d: %w", revision, err)
}

// Disarm takes an alarm back. One that is not raised any more is no error. etcd raises it anew
// when its reason is still there.
func (c *Client) Disarm(ctx context.Context, a Alarm) error {
	kind, known := etcdserverpb.AlarmType_value[a.Kind]
	if !known {
		return fmt.Errorf("disarm etcd's alarm %s: there is no such alarm", a.Kind)
	}
	asked, err := c.leading(ctx)
	if err != nil {
		return fmt.Errorf("disarm etcd's alarm %s: %w", a.Kind, err)
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	_, err = asked.client.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: a.MemberID, Alarm: etcdserverpb.AlarmType(kind)})
	if err != nil {
		return fmt.Errorf("disarm etcd's alarm %s: %w", a.Kind, short(err))
	}
	return nil
}

// MoveLeader has the leadership moved away from a member, to the first voting one of prefer
// (endpoints) that answers, else to any, and waits until all agree on the new leader. A member
// that does not lead is left as it is. Of one voting member alone nothing can be moved: that is
// no error either, and moved is false.
func (c *Client) MoveLeader(ctx context.Context, away string, prefer []string, limit time.Duration, seen func(error)) (moved bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		v := c.View(ctx)
		i := slices.IndexFunc(v.Status, func(s MemberStatus) bool { return s.Endpoint == away })
		if i < 0 {
			return moved, fmt.Errorf("move etcd's leadership away from %s: it was not asked", away)
		}
		s := v.Status[i]
		if s.Err == nil && s.Leader != 0 && s.Leader != s.ID {
			if err = agreed(v); err == nil {
				return moved, nil
			}
		} else if err = s.Err; err == nil && s.Leader == s.ID {
			to, other := heir(v, s.ID, prefer)
			if !other {
				return moved, nil
			}
			one, done := context.WithTimeout(ctx, changeTimeout)
			_, err = c.members[i].client.MoveLeader(one, to)
			done()
			moved = moved || err == nil
		}
		if seen != nil && err != nil && ctx.Err() == nil {
			seen(err)
		}
		select {
		case <-ctx.Done():
			return moved, fmt.Errorf("move etcd's leadership away from %s: not done within %v; last seen: %w", away, limit, errors.Join(err, context.Cause(ctx)))
		case <-time.After(pollInterval):
		}
	}
}

// agreed is nil when all members that answer follow one leader.
func agreed(v View) error {
	ids := map[uint64]string{}
	for _, s := range v.Status {
		if s.Err == nil {
			ids[s.ID] = s.Endpoint
		}
	}
	for _, s := range v.Status {
		if s.Err == nil && s.Leader == 0 {
			return fmt.Errorf("%s knows no leader", s.Endpoint)
		}
	}
	if wrong := agreement(v.Status, ids); len(wrong) > 0 {
		return errors.New(wrong[0])
	}
	return nil
}

// heir is the member that takes the leadership over from another. It is pure.
func heir(v View, from uint64, prefer []string) (id uint64, ok bool) {
	may := func(s MemberStatus) bool { return s.Err == nil && s.ID != 0 && s.ID != from && !s.Learner }
	for _, want := range prefer {
		for _, s := range v.Status {
			if s.Endpoint == want && may(s) {
				return s.ID, true
			}
		}
	}
	for _, s := range v.Status {
		if may(s) {
			return s.ID, true
		}
	}
	return 0, false
}

// Defragment rewrites the database of the member at an endpoint, which serves nobody meanwhile.
func (c *Client) Defragment(ctx context.Context, url string) error {
	i := slices.IndexFunc(c.members, func(m endpoint) bool { return m.url == url })
	if i < 0 {
		return fmt.Errorf("defragment %s: it is none of the endpoints", url)
	}
	if _, err := c.members[i].client.Defragment(ctx, url); err != nil {
		return fmt.Errorf("defragment %s: %w", url, err)
	}
	return nil
}

// CanDowngrade asks etcd whether it would go to another minor version, such as 3.6: that is one
// below the version of the cluster.
func (c *Client) CanDowngrade(ctx context.Context, minor string) error {
	return c.downgrade(ctx, clientv3.DowngradeValidate, minor)
}

// EnableDowngrade has etcd use the protocol and the storage of a lower minor version, so that
// members of it may come. It goes on until all are of it, or CancelDowngrade.
// https://etcd.io/docs/v3.7/downgrades/downgrade_3_7/
func (c *Client) EnableDowngrade(ctx context.Context, minor string) error {
	return c.downgrade(ctx, clientv3.DowngradeEnable, minor)
}

// CancelDowngrade ends a downgrade that is under way; the members go back to the newer version's
// protocol and storage. None is no error.
func (c *Client) CancelDowngrade(ctx context.Context) error {
	err := c.downgrade(ctx, clientv3.DowngradeCancel, "")
	if errors.Is(err, rpctypes.ErrNoInflightDowngrade) {
		return nil
	}
	return err
}

func (c *Client) downgrade(ctx context.Context, what clientv3.DowngradeAction, minor string) error {
	asked, err := c.leading(ctx)
	if err != nil {
		return fmt.Errorf("etcd's downgrade: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	if _, err := asked.client.Downgrade(ctx, what, minor); err != nil {
		return fmt.Errorf("etcd's downgrade to %s: %w", minor, short(err))
	}
	return nil
}

// WaitFor looks until judge has nothing to say, as WaitHealthy does for Healthy. what names the
// state in errors: "at 3.6.16".
func (c *Client) WaitFor(ctx context.Context, limit time.Duration, what string, judge func(View) error, seen func(wrong error)) (View, error) {
	return c.wait(ctx, limit, what, judge, seen)
}
