package cmd

import (
	"context"
	"errors"
	"testing"
	"time"
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
