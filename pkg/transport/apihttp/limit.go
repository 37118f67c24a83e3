package apihttp

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"time"

	"k8s.io/client-go/rest"
)

// LimitRequests takes config.Timeout, which is kubectl's --request-timeout, for each single
// request. client-go would end watches and streams with it, which are meant to last here:
// an Operation is followed until it ends. 0 is no limit.
func LimitRequests(config *rest.Config) {
	limit := config.Timeout
	if limit <= 0 {
		return
	}
	config.Timeout = 0
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &limiter{next, limit} })
}

type limiter struct {
	next  http.RoundTripper
	limit time.Duration
}

// WrappedRoundTripper lets apimachinery find the connections below.
func (l *limiter) WrappedRoundTripper() http.RoundTripper { return l.next }

// RoundTrip is the next one's, with a deadline until the answer's body is closed.
func (l *limiter) RoundTrip(r *http.Request) (*http.Response, error) {
	if lasts(r) || slices.Contains([]string{"exec", "attach", "portforward"}, path.Base(r.URL.Path)) {
		return l.next.RoundTrip(r)
	}
	ctx, cancel := context.WithTimeout(r.Context(), l.limit)
	resp, err := l.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		late := ctx.Err() != nil && r.Context().Err() == nil
		cancel()
		if late {
			return nil, fmt.Errorf("no answer within the --request-timeout of %s: %w", l.limit, context.DeadlineExceeded)
		}
		return nil, err
	}
	resp.Body = &limitedBody{resp.Body, cancel}
	return resp, nil
}

// limitedBody ends the deadline when it is closed.
type limitedBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close is the body's.
func (b *limitedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
