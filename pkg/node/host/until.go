package host

import (
	"context"
	"time"
)

// Until asks again and again, every so often, until ask returns no error, but for no
// longer than limit. Then its error is late's, who gets what was seen last; when it is
// ctx that has ended, the cause of that.
func Until(ctx context.Context, limit, every time.Duration, ask func(context.Context) error, late func(seen error) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var seen error
	for {
		err := ask(limited)
		if err == nil {
			return nil
		}
		// What is seen once the time is over only tells that it is over.
		if limited.Err() == nil || seen == nil {
			seen = err
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return late(seen)
		case <-time.After(every):
		}
	}
}
