package engine

import (
	"context"
	"fmt"
	"time"
)

const (
	// lookInterval is the time between two looks at the cluster, lookTimeout what
	// one look may take.
	lookInterval = 500 * time.Millisecond
	lookTimeout  = 10 * time.Second
)

// Until looks again and again until look says that all is well, which is an
// empty string, or the context ends. What look says otherwise is shown beside
// the step, and is in the error. An error of look is something seen as well:
// the API may be on its way from one host to another.
func Until(ctx context.Context, t Turn, what string, look func(context.Context) (string, error)) error {
	seen := "nothing yet"
	for {
		one, cancel := context.WithTimeout(ctx, lookTimeout)
		waiting, err := look(one)
		cancel()
		switch {
		case err == nil && waiting == "":
			return nil
		case ctx.Err() != nil:
			// The last look was cut short; what was seen before counts.
		case err != nil:
			seen = err.Error()
		default:
			seen = waiting
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s, last seen: %s: %w", what, seen, context.Cause(ctx))
		case <-time.After(lookInterval):
			t.Progress("%s", seen)
		}
	}
}
