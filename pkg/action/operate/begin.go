package operate

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Begun is an Operation that the cluster carries out by itself.
type Begun struct {
	Operations *incluster.Operations
	// Name is the Operation's.
	Name string
}

// Watch shows the Operation until it ends. That it has failed is an incluster.FailedError.
func (b *Begun) Watch(ctx context.Context, sink report.Sink) error {
	err := b.Operations.Watch(ctx, b.Name, sink)
	var failed *incluster.FailedError
	if errors.As(err, &failed) || ctx.Err() != nil {
		return err
	}
	return action.OfCluster(err)
}

// Begin has the cluster carry out an Operation. One for the same that is unfinished is taken up:
// what has failed of it is tried again. Otherwise one is created, after document was stored,
// unless that is nil, and after this program's agent was brought to the nodes. While another
// Operation is unfinished the error is an operations.BusyError.
func (c *Connection) Begin(ctx context.Context, document *v1alpha1.Cluster, spec v1alpha1.OperationSpec, sink report.Sink) (*Begun, error) {
	all, err := c.ops.Heads(ctx)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	for _, op := range all {
		// One that is being aborted ends, and then there is another.
		if operations.Unfinished(op) && !op.Spec.Aborted && sameIntent(op.Spec, spec) {
			if err := c.ops.Resume(ctx, op.Name); err != nil {
				return nil, action.OfCluster(err)
			}
			return &Begun{c.ops, op.Name}, nil
		}
	}
	ops, err := c.Source.Ready(ctx, c.Config, document, sink)
	if err != nil {
		return nil, err
	}
	op, err := ops.Create(ctx, spec)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	return &Begun{c.ops, op.Name}, nil
}

// Last is the newest Operation of a type, finished or not; nil when there is none.
func (c *Connection) Last(ctx context.Context, kind v1alpha1.OperationType) (*v1alpha1.Operation, error) {
	all, err := c.ops.Heads(ctx)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	for _, op := range slices.Backward(all) { // The oldest comes first.
		if op.Spec.Type == kind {
			return &op, nil
		}
	}
	return nil, nil
}

// RefuseOther refuses, before anything is done, while an Operation is unfinished that is for
// none of these; the error is an operations.BusyError.
func (c *Connection) RefuseOther(ctx context.Context, specs ...v1alpha1.OperationSpec) error {
	all, err := c.ops.Heads(ctx)
	if err != nil {
		return action.OfCluster(err)
	}
	for _, op := range all {
		same := slices.ContainsFunc(specs, func(s v1alpha1.OperationSpec) bool { return sameIntent(op.Spec, s) })
		if operations.Unfinished(op) && !same {
			return operations.Busy(&op)
		}
	}
	return nil
}

// sameIntent tells whether two Operations are about the same hosts, or the same load balancer:
// how gently a host is emptied may differ. It is pure.
func sameIntent(a, b v1alpha1.OperationSpec) bool {
	switch {
	case a.Type != b.Type:
		return false
	case a.AddNode != nil && b.AddNode != nil:
		return slices.Equal(a.AddNode.Nodes, b.AddNode.Nodes)
	case a.RemoveNode != nil && b.RemoveNode != nil:
		return a.RemoveNode.Node == b.RemoveNode.Node && a.RemoveNode.EtcdMember == b.RemoveNode.EtcdMember
	case a.Etcd != nil && b.Etcd != nil:
		return a.Etcd.Change == b.Etcd.Change && slices.Equal(a.Etcd.Versions, b.Etcd.Versions)
	case a.LoadBalancer != nil && b.LoadBalancer != nil:
		return reflect.DeepEqual(a.LoadBalancer, b.LoadBalancer)
	case a.Convert != nil && b.Convert != nil:
		return reflect.DeepEqual(a.Convert, b.Convert)
	}
	return a.Type == v1alpha1.OperationRemoveLoadBalancer
}
