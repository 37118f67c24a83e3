package incluster

import (
	"context"
	"fmt"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// claimLease names the lease that holds the name of the Operation in progress.
// It has no duration: its holder has it until the Operation is finished or gone.
const claimLease = "current-operation"

// claim makes an Operation, which is there already, the one in progress. The
// write goes against the version that was read, so one of two wins; the other
// gets a BusyError with the winner's name.
func (o *Operations) claim(ctx context.Context, name string) error {
	leases := o.clients.Kube.CoordinationV1().Leases(v1alpha1.SystemNamespace)
	for ctx.Err() == nil {
		lease, err := leases.Get(ctx, claimLease, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = leases.Create(ctx, &coordinationv1.Lease{
				ObjectMeta: metav1.ObjectMeta{Name: claimLease},
				Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name},
			}, metav1.CreateOptions{})
		} else if err == nil {
			if err := o.claimable(ctx, lease, name); err != nil {
				return err
			}
			lease.Spec.HolderIdentity = &name
			_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
		}
		switch {
		case err == nil:
			return nil
		case !operations.Overtaken(err):
			return fmt.Errorf("make %s the operation in progress: %w", name, err)
		}
	}
	return context.Cause(ctx)
}

func (o *Operations) claimable(ctx context.Context, lease *coordinationv1.Lease, name string) error {
	if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" || *lease.Spec.HolderIdentity == name {
		return nil
	}
	holder, err := o.ops.Get(ctx, *lease.Spec.HolderIdentity)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case operations.Unfinished(*holder):
		return Busy(holder)
	}
	return nil
}
