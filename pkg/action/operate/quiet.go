package operate

import (
	"context"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// quietTimeout bounds the wait for what a schedule has begun: a backup and its way to a target.
	quietTimeout  = time.Hour
	quietInterval = 2 * time.Second
)

// Quiet lets no run of a schedule begin, and waits for the Operation of the one that is under way: one
// whose coordinator is taken away stays unfinished, and in the way of others.
func Quiet(ctx context.Context, clients *client.Clients, kind schedule.Kind, sink report.Sink) error {
	ops := operations.New(clients.Dynamic)
	if err := kind.Suspend(ctx, clients.Kube); err != nil {
		return action.OfCluster(err)
	}
	left := ""
	waited := wait.PollUntilContextTimeout(ctx, quietInterval, quietTimeout, true, func(ctx context.Context) (bool, error) {
		all, err := ops.Heads(ctx)
		if err != nil {
			return false, err
		}
		at := slices.IndexFunc(all, func(op v1alpha1.Operation) bool { return kind.Mine(op) && operations.Unfinished(op) })
		j, err := kind.Get(ctx, clients.Kube)
		if err != nil || at < 0 {
			return err == nil, err
		}
		if left == "" {
			action.Tell(sink, "waiting for operation %s, which the schedule has begun", all[at].Name)
		}
		left = all[at].Name
		// Nobody brings one to its end that is paused, or whose run is gone.
		return all[at].Spec.Paused || j == nil || len(j.Status.Active) == 0, nil
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case waited != nil && !wait.Interrupted(waited):
		return action.OfCluster(waited)
	}
	if left == "" {
		return nil
	}
	op, err := ops.Get(ctx, left)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil && operations.Unfinished(*op) {
		action.Warn(sink, "kubectl ha operation resume "+left+", or abort", "operation %s is not finished, and nobody carries it on", left)
	}
	return action.OfCluster(err)
}
