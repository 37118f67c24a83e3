package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pollInterval is the time between two looks while waiting.
const pollInterval = 300 * time.Millisecond

// WaitHealthy looks until Healthy says so, and returns what it saw then. The
// wait ends with the context or after the limit, with an error that tells what
// was last seen to be wrong. seen, when not nil, is called with that after each look.
func (c *Client) WaitHealthy(ctx context.Context, limit time.Duration, seen func(wrong error)) (View, error) {
	return c.wait(ctx, limit, "healthy", Healthy, seen)
}

// WaitSpare is WaitHealthy for Spare: it waits until the member at an endpoint
// can be restarted.
func (c *Client) WaitSpare(ctx context.Context, limit time.Duration, endpoint string, seen func(wrong error)) (View, error) {
	return c.wait(ctx, limit, "able to spare "+endpoint, func(v View) error { return Spare(v, endpoint) }, seen)
}

// WaitQuorum is WaitHealthy for HasQuorum: it waits until enough members answer and
// agree on a leader to accept writes.
func (c *Client) WaitQuorum(ctx context.Context, limit time.Duration, seen func(wrong error)) (View, error) {
	return c.wait(ctx, limit, "able to accept writes", func(v View) error {
		if v.MembersErr != nil {
			return fmt.Errorf("the list of members can't be read: %w", v.MembersErr)
		}
		if ok, _ := HasQuorum(v); !ok {
			return errors.New("too few members answer and agree on a leader")
		}
		return nil
	}, seen)
}

// WaitMember is WaitHealthy for one member alone: it waits until the member at an
// endpoint votes and follows the leader of a quorum.
func (c *Client) WaitMember(ctx context.Context, limit time.Duration, endpoint string, seen func(wrong error)) (View, error) {
	return c.wait(ctx, limit, "joined by "+endpoint, func(v View) error { return Joined(v, endpoint) }, seen)
}

func (c *Client) wait(ctx context.Context, limit time.Duration, what string, judge func(View) error, seen func(wrong error)) (View, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begun := time.Now()
	var last error
	for {
		v := c.View(ctx)
		wrong := judge(v)
		if wrong == nil {
			return v, nil
		}
		// What is seen once the time is over only tells that it is over.
		if ctx.Err() == nil || last == nil {
			last = wrong
		}
		if seen != nil && ctx.Err() == nil {
			seen(wrong)
		}
		select {
		case <-ctx.Done():
			return v, fmt.Errorf("etcd was not %s after %v; last seen: %w", what, time.Since(begun).Round(time.Second), last)
		case <-time.After(pollInterval):
		}
	}
}
