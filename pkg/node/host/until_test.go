package host

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestUntil(t *testing.T) {
	never := func(error) error { return errors.New("late, and it was not") }
	t.Run("in the end", func(t *testing.T) {
		asked := 0
		err := Until(t.Context(), time.Minute, time.Millisecond, func(context.Context) error {
			if asked++; asked < 3 {
				return errors.New("not yet")
			}
			return nil
		}, never)
		if err != nil || asked != 3 {
			t.Errorf("%v after %d questions", err, asked)
		}
	})
	t.Run("too late", func(t *testing.T) {
		asked := 0
		err := Until(t.Context(), 50*time.Millisecond, time.Millisecond, func(ctx context.Context) error {
			if asked++; asked == 1 {
				return errors.New("it is down")
			}
			<-ctx.Done()
			return ctx.Err()
		}, func(seen error) error { return fmt.Errorf("in vain: %w", seen) })
		if err == nil || err.Error() != "in vain: it is down" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("the client has gone")
		err := Until(ctx, time.Minute, time.Minute, func(context.Context) error {
			cancel(cause)
			return errors.New("not yet")
		}, never)
		if !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
	})
}
