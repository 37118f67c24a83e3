package operations

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// resyncInterval is how often a followed Operation is read anew, for whatever
// a watch over a connection that silently died did not say.
const resyncInterval = 5 * time.Second

// Look is one state of a followed Operation.
type Look struct {
	// Operation is the newest state, nil when there was no answer.
	Operation *v1alpha1.Operation
	// Deleted is true when the Operation is gone; nothing follows.
	Deleted bool
	// Err is why there was no answer; following goes on.
	Err error
}

// Follow sends each new state of an Operation, beginning with the present
// one, until the context ends or the Operation is gone; then it closes the
// channel. States may be left out when they follow fast. It reads through
// failures: each is sent as a Look with Err.
//
// Of one whose steps are in parts the states come no faster than one reads them without being a burden.
func (c *Client) Follow(ctx context.Context, name string) <-chan Look {
	return c.follow(ctx, name, c.Get)
}

// readShare is how much longer than a read of all parts the time between two of them is.
const readShare = 10

// FollowHead is Follow without the steps that are in parts, for who has them.
func (c *Client) FollowHead(ctx context.Context, name string) <-chan Look {
	return c.follow(ctx, name, c.head)
}

func (c *Client) follow(ctx context.Context, name string, read func(context.Context, string) (*v1alpha1.Operation, error)) <-chan Look {
	out := make(chan Look)
	go func() {
		defer close(out)
		last := ""
		for ctx.Err() == nil {
			began := time.Now()
			op, err := read(ctx, name)
			took := time.Since(began)
			look := Look{Operation: op, Deleted: apierrors.IsNotFound(err), Err: err}
			if look.Deleted {
				look.Err = nil
			}
			if err != nil || op.ResourceVersion != last {
				select {
				case out <- look:
				case <-ctx.Done():
					return
				}
			}
			if look.Deleted {
				return
			}
			if err != nil {
				pause(ctx, retryInterval)
				continue
			}
			if last = op.ResourceVersion; op.Status.Parts > 0 && len(op.Status.Steps) > 0 {
				pause(ctx, readShare*took)
			}
			c.await(ctx, name, last)
		}
	}()
	return out
}

// await returns when the Operation changed after the version, or at the resync.
func (c *Client) await(ctx context.Context, name, version string) {
	ctx, cancel := context.WithTimeout(ctx, resyncInterval)
	defer cancel()
	w, err := c.ri.Watch(ctx, metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector("metadata.name", name).String(),
		ResourceVersion: version,
	})
	if err != nil {
		pause(ctx, retryInterval)
		return
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e, open := <-w.ResultChan():
			if !open || e.Type == watch.Error {
				pause(ctx, retryInterval)
				return
			}
			if u, ok := e.Object.(*unstructured.Unstructured); ok && u.GetResourceVersion() != version {
				return
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
