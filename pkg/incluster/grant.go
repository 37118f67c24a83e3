package incluster

import (
	"context"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/lent"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// grant lends the coordinator the rights of whoever creates an Operation that applies
// manifests of others, for as long as it runs, and takes away what is left of earlier ones.
func (o *Operations) grant(ctx context.Context, op *v1alpha1.Operation, c *v1alpha1.Cluster) error {
	if err := lent.Sweep(ctx, o.clients.Kube, o.ops.Heads); err != nil {
		return err
	}
	if !lent.For(op, c) || !operations.Unfinished(*op) && !op.Spec.Aborted {
		return nil
	}
	return lent.Lend(ctx, o.clients.Kube, op)
}
