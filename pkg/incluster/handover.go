package incluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/join"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// maxJoins bounds how many Operations one call of Join sees to their end: an
// unfinished one that was found, and one for what that one did not cover.
const maxJoins = 3

// NeedsJoin tells whether a Join has anything to do, and why. It changes nothing.
func NeedsJoin(ctx context.Context, config *rest.Config, c *v1alpha1.Cluster) (bool, []string, error) {
	clients, err := client.New(config)
	if err != nil {
		return false, nil, err
	}
	if c, err = carried(ctx, clients.Kube, c); err != nil {
		return false, nil, err
	}
	o, err := join.Observe(ctx, clients, c)
	if err != nil {
		return false, nil, err
	}
	reasons := join.Reasons(c, o)
	return len(reasons) > 0, reasons, nil
}

// Join is how the bootstrap hands over: it installs what Operations need, and
// when the cluster is not yet what the Cluster document asks for creates a Join,
// or takes up one that is unfinished, and watches it to its end. On a cluster
// that is as it should be nothing is written. A Join that failed is left as it
// is: a new one is planned from what is there, and from today's document.
func Join(ctx context.Context, config *rest.Config, c *v1alpha1.Cluster, agents v1alpha1.Agents, sink report.Sink) error {
	clients, err := client.New(config)
	if err != nil {
		return err
	}
	if c, err = carried(ctx, clients.Kube, c); err != nil {
		return err
	}
	changed, err := install(ctx, clients, c)
	if err != nil {
		return err
	}
	if len(changed) > 0 {
		sink.Emit(report.Event{Time: time.Now(), Kind: report.Info, Message: fmt.Sprintf("installed kubectl-ha into the cluster, %d objects changed", len(changed))})
	}
	ops := &Operations{clients: clients, ops: operations.New(clients.Dynamic), agents: agents}
	for range maxJoins {
		name, err := ops.joinInProgress(ctx)
		if err != nil {
			return err
		}
		if name == "" {
			if name, err = ops.newJoin(ctx, c, sink); err != nil || name == "" {
				return err
			}
		}
		if err := ops.Watch(ctx, name, sink); err != nil {
			return err
		}
	}
	needs, reasons, err := NeedsJoin(ctx, config, c)
	if err != nil || !needs {
		return err
	}
	return fmt.Errorf("the cluster is still not as it should be after %d operations: %v", maxJoins, reasons)
}

// joinInProgress finds a Join that is unfinished, sees that it has a
// coordinator and goes on, and returns its name; empty when there is none.
func (o *Operations) joinInProgress(ctx context.Context) (string, error) {
	all, err := o.List(ctx)
	if err != nil {
		return "", err
	}
	for _, op := range all {
		if op.Spec.Type == v1alpha1.OperationJoin && operations.Unfinished(op) && !op.Spec.Aborted {
			return op.Name, o.Resume(ctx, op.Name)
		}
	}
	return "", nil
}

// newJoin creates a Join for what is left to do; no name when that is nothing.
func (o *Operations) newJoin(ctx context.Context, c *v1alpha1.Cluster, sink report.Sink) (string, error) {
	seen, err := join.Observe(ctx, o.clients, c)
	if err != nil {
		return "", err
	}
	reasons := join.Reasons(c, seen)
	if len(reasons) == 0 {
		sink.Emit(report.Event{Time: time.Now(), Kind: report.Info, Message: "the cluster is as it should be, nothing to do"})
		return "", nil
	}
	spec, err := join.Spec(c, seen)
	if err != nil {
		return "", err
	}
	op, err := o.Create(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationJoin, Join: spec})
	var busy *operations.BusyError
	if errors.As(err, &busy) && busy.Type == v1alpha1.OperationJoin {
		return busy.Name, nil // Somebody else's bootstrap was faster; its Join is ours.
	}
	if err != nil {
		return "", err
	}
	return op.Name, nil
}
