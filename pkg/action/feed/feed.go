package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	tasks "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Feed is an Operation, and what it is fed.
type Feed struct {
	Config     *rest.Config
	Operations *incluster.Operations
	// Name is the Operation's.
	Name   string
	Parcel *swarm.Parcel
	Source bundle.Upstream
	// Direct sends to one node's port; otherwise it goes through the API server.
	Direct bool
	// MaxRate bounds what this machine sends, in bytes per second; 0 is no bound.
	MaxRate int64
}

// Run feeds an Operation and shows it until it ends; sent is how many bytes have left.
func Run(ctx context.Context, f Feed, sink report.Sink) (sent int64, err error) {
	feeder, err := images.NewFeeder(f.Config)
	if err != nil {
		return 0, err
	}
	p := newProgress(sink, f.Name, time.Now)
	feeder.Direct, feeder.MaxRate = f.Direct, f.MaxRate
	feeder.Progress, feeder.Log = p.tell, p.log
	err = watchFed(ctx,
		func(ctx context.Context) error { return feeder.Feed(ctx, f.Name, f.Parcel, f.Source) },
		func(ctx context.Context) error { return f.Operations.Watch(ctx, f.Name, sink) })
	p.end(err)
	var failed *incluster.FailedError
	var unfed *unfedError
	switch {
	case err == nil:
		return p.sent(), nil
	case errors.As(err, &unfed):
		return 0, fmt.Errorf("%w; fix that and run the same command again to resume; otherwise operation %s ends by itself within about %s, or at once with `%s operation abort %s`",
			unfed.err, f.Name, tasks.DefaultPatience, program.Name, f.Name)
	case ctx.Err() != nil:
		return 0, fmt.Errorf("%w; run the same command again to resume", err)
	case errors.As(err, &failed):
		return 0, err
	}
	return 0, action.OfCluster(err)
}

// unfedError is why an Operation is not fed any more.
type unfedError struct{ err error }

// Error is the reason.
func (e *unfedError) Error() string { return e.err.Error() }

// Unwrap is the reason.
func (e *unfedError) Unwrap() error { return e.err }

// watchFed watches an Operation while it is fed. When feeding can't go on, watching
// ends with an unfedError: the Operation would only wait for what nobody brings. How
// the Operation ended comes before how the feed did.
func watchFed(ctx context.Context, feed, watch func(context.Context) error) error {
	feeding, stop := context.WithCancel(ctx)
	watching, give := context.WithCancelCause(ctx)
	defer give(nil)
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		if err := feed(feeding); err != nil && feeding.Err() == nil {
			give(&unfedError{err})
		}
	}()
	err := watch(watching)
	stop()
	<-fed
	var unfed *unfedError
	if ctx.Err() == nil && errors.As(context.Cause(watching), &unfed) && (errors.Is(err, context.Canceled) || errors.Is(err, unfed)) {
		return unfed
	}
	return err
}

// Pushed says of a bundle's images what an Operation does.
func Pushed(list []bundle.Image) []v1alpha1.PushedImage {
	out := make([]v1alpha1.PushedImage, 0, len(list))
	for _, i := range list {
		one := v1alpha1.PushedImage{Ref: i.Ref, Digest: i.Manifest.Digest.String(), For: i.For}
		for _, b := range i.Blobs {
			one.Size += b.Size
		}
		out = append(out, one)
	}
	return out
}
