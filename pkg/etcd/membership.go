package etcd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// changeTimeout bounds one change of the membership, which takes a write to the disks
// of a quorum.
const changeTimeout = 10 * time.Second

// At finds a member by its peer URL, however its address is spelt: IPv6 has several ways.
func At(members []Member, peerURL string) (Member, bool) {
	i := slices.IndexFunc(members, func(m Member) bool {
		return slices.ContainsFunc(m.PeerURLs, func(u string) bool { return sameURL(u, peerURL) })
	})
	if i < 0 {
		return Member{}, false
	}
	return members[i], true
}

// sameURL compares two URLs with their addresses read.
func sameURL(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := url.Parse(a)
	y, errY := url.Parse(b)
	if errX != nil || errY != nil || x.Scheme != y.Scheme || x.Port() != y.Port() {
		return false
	}
	p, errP := netip.ParseAddr(x.Hostname())
	q, errQ := netip.ParseAddr(y.Hostname())
	return errP == nil && errQ == nil && p == q
}

// CanRemove says why the cluster can't do without a member for good; nil when it
// can. The removal needs a quorum of the members that there are, and those that
// stay must be one by themselves (etcd#10499). One that does not answer is of no
// use to either.
func CanRemove(v View, id uint64) error {
	if v.MembersErr != nil {
		return fmt.Errorf("the list of members can't be read: %w", v.MembersErr)
	}
	answers := map[uint64]bool{}
	for _, s := range v.Status {
		if s.Err == nil && s.Leader != 0 {
			answers[s.ID] = true
		}
	}
	voters, alive, stay, stayAlive := 0, 0, 0, 0
	found := false
	for _, m := range v.Members {
		found = found || m.ID == id
		if m.Learner {
			continue
		}
		voters++
		if answers[m.ID] {
			alive++
		}
		if m.ID != id {
			stay++
			if answers[m.ID] {
				stayAlive++
			}
		}
	}
	switch {
	case !found:
		return fmt.Errorf("there is no member %x", id)
	case stay == 0:
		return errors.New("it is the last member that votes")
	case alive < Quorum(voters):
		return fmt.Errorf("there is no quorum: %d of %d members answer", alive, voters)
	case stayAlive < Quorum(stay):
		return fmt.Errorf("without it there would be no quorum: of the %d members that stay %d answer, and %d have to", stay, stayAlive, Quorum(stay))
	}
	return nil
}

// AddLearner makes a member known that does not vote until it has all data. A
// member that is known already is returned as it is. etcd refuses while more of the
// others than SpareWhileAdding are away or have only just come (its strict
// reconfiguration check); that is waited for until the limit. seen, when not nil, is called with what is waited for.
func (c *Client) AddLearner(ctx context.Context, peerURL string, limit time.Duration, seen func(error)) (Member, error) {
	var out Member
	err := c.change(ctx, limit, seen, func(ctx context.Context) error {
		list, err := c.Members(ctx)
		if err != nil {
			return err
		}
		m, known := At(list, peerURL)
		if known {
			out = m
			return nil
		}
		asked, err := c.leading(ctx)
		if err != nil {
			return err
		}
		got, err := asked.client.MemberAddAsLearner(ctx, []string{peerURL})
		if err != nil {
			return short(err)
		}
		out = Member{ID: got.Member.ID, PeerURLs: got.Member.PeerURLs, Learner: true}
		return nil
	})
	if err != nil {
		return Member{}, fmt.Errorf("add the etcd member %s: %w", peerURL, err)
	}
	return out, nil
}

// Promote makes a voting member of a learner, as soon as it has all data. One that
// votes already is left as it is.
func (c *Client) Promote(ctx context.Context, id uint64, limit time.Duration, seen func(error)) error {
	err := c.change(ctx, limit, seen, func(ctx context.Context) error {
		asked, err := c.leading(ctx)
		if err != nil {
			return err
		}
		_, err = asked.client.MemberPromote(ctx, id)
		if errors.Is(err, rpctypes.ErrMemberNotLearner) {
			return nil
		}
		return short(err)
	})
	if err != nil {
		return fmt.Errorf("let the etcd member %x vote: %w", id, err)
	}
	return nil
}

// Remove takes a member out of the cluster for good. One that is gone is no error.
// A leader hands over first, so that nobody waits for an election.
func (c *Client) Remove(ctx context.Context, id uint64, limit time.Duration, seen func(error)) error {
	err := c.change(ctx, limit, seen, func(ctx context.Context) error {
		v := c.View(ctx)
		if v.MembersErr == nil && !slices.ContainsFunc(v.Members, func(m Member) bool { return m.ID == id }) {
			return nil
		}
		if err := CanRemove(v, id); err != nil {
			return err
		}
		if c.handOver(ctx, v, id) {
			return errors.New("the leadership is on its way to another member")
		}
		asked, err := c.asked(v, id)
		if err != nil {
			return err
		}
		_, err = asked.client.MemberRemove(ctx, id)
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			return nil
		}
		return short(err)
	})
	if err != nil {
		return fmt.Errorf("remove the etcd member %x: %w", id, err)
	}
	return nil
}

// handOver asks a leader to hand over to another voting member, and tells whether
// it was one. That it fails is no reason to stop: the others elect one then.
func (c *Client) handOver(ctx context.Context, v View, id uint64) bool {
	for i, s := range v.Status {
		if s.Err != nil || s.ID != id || s.Leader != id {
			continue
		}
		for _, to := range v.Status {
			if to.Err != nil || to.ID == id || to.Learner || to.ID == 0 {
				continue
			}
			_, err := c.members[i].client.MoveLeader(ctx, to.ID)
			return err == nil
		}
	}
	return false
}

// asked is an endpoint that knows the leader, and is not the member itself.
func (c *Client) asked(v View, not uint64) (endpoint, error) {
	for i, s := range v.Status {
		if s.Err == nil && s.ID != not && s.Leader != 0 && !s.Learner {
			return c.members[i], nil
		}
	}
	return endpoint{}, errors.New("no other member answers that knows the leader")
}

// leading is the first endpoint that knows the leader.
func (c *Client) leading(ctx context.Context) (endpoint, error) {
	return c.asked(View{Status: c.Status(ctx)}, 0)
}

// change tries until it goes, is refused for good, or the limit is reached. Each
// try looks first, so that what went through in spite of a lost answer is not done
// again.
func (c *Client) change(ctx context.Context, limit time.Duration, seen func(error), try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		one, done := context.WithTimeout(ctx, changeTimeout)
		err := try(one)
		done()
		if err == nil || refused(err) {
			return err
		}
		if seen != nil && ctx.Err() == nil {
			seen(err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pollInterval):
		}
	}
}

// refused tells whether etcd has said no for good.
func refused(err error) bool {
	for _, no := range []error{rpctypes.ErrPeerURLExist, rpctypes.ErrMemberBadURLs, rpctypes.ErrMemberNotFound,
		rpctypes.ErrTooManyLearners, rpctypes.ErrPermissionDenied} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}
