package feed

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Watching ends when feeding can't go on; otherwise the Operation's own end counts.
func TestWatchFed(t *testing.T) {
	unreadable, failed := errors.New("input/output error"), errors.New("the operation failed")
	untilEnded := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
	asIs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	ends := func(err error) func(context.Context) error {
		return func(context.Context) error { return err }
	}
	for name, c := range map[string]struct {
		feed, watch func(context.Context) error
		want        error
		unfed       bool
	}{
		"unreadable":            {feed: ends(unreadable), watch: asIs, want: unreadable, unfed: true},
		"unreadable, wrapped":   {feed: ends(unreadable), watch: untilEnded, want: unreadable, unfed: true},
		"the operation is over": {feed: ends(nil), watch: ends(nil)},
		"it ends before":        {feed: untilEnded, watch: ends(nil)},
		"it fails":              {feed: untilEnded, watch: ends(failed), want: failed},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := watchFed(ctx, c.feed, c.watch)
			var unfed *unfedError
			if !errors.Is(err, c.want) || errors.As(err, &unfed) != c.unfed {
				t.Errorf("got %v", err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var unfed *unfedError
	if err := watchFed(ctx, untilEnded, asIs); !errors.Is(err, context.Canceled) || errors.As(err, &unfed) {
		t.Errorf("interrupted: %v", err)
	}
}

// A node that is not reached is told of once, and it may not be closed before all
// nodes have said what they want.
func TestFeedProgressUnreached(t *testing.T) {
	now := time.Unix(0, 0)
	var lines []string
	sink := report.SinkFunc(func(e report.Event) { lines = append(lines, string(e.Kind)+" "+e.Message) })
	p := newProgress(sink, "op", func() time.Time { return now })
	tell := func(after time.Duration, awaited int) string {
		now, lines = time.Unix(0, 0).Add(after), nil
		p.tell(images.FeedProgress{Node: "cp1", Sent: 5, Swarm: swarm.FeedStatus{Wanted: 5, InSwarm: 5, Awaited: awaited, Peers: []swarm.PeerStatus{
			{Addr: "10.0.0.1:10271", Reachable: true}, {Addr: "10.0.0.2:10271", LastError: "i/o timeout"}}}})
		return strings.Join(lines, "\n")
	}
	const closed, over = "warning cp1 cannot reach the node at 10.0.0.2:10271, so it cannot pass images on to it: i/o timeout", "you can disconnect now"
	if got := tell(0, 1); strings.Contains(got, "10.0.0.2") || strings.Contains(got, over) {
		t.Errorf("at once: %s", got)
	}
	if got := tell(swarm.UnreachedAfter, 1); !strings.Contains(got, closed) || strings.Contains(got, over) {
		t.Errorf("after a while: %s", got)
	}
	if got := tell(2*swarm.UnreachedAfter, 0); strings.Contains(got, "10.0.0.2") || !strings.Contains(got, over) {
		t.Errorf("once nobody is waited for: %s", got)
	}
}
