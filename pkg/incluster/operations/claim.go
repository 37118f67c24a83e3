package operations

import (
	"context"
	"fmt"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// claimLease names the lease that holds the name of the Operation in progress.
// It has no duration: its holder has it until the Operation is finished or gone.
const claimLease = "current-operation"

// BusyError says that another Operation is not finished.
type BusyError struct {
	Name string
	Type v1alpha1.OperationType
	// Idle is true while no coordinator has taken it up: a moment, unless whoever
	// created it died between the Operation and its coordinator.
	Idle bool
}

// Busy is the error of an unfinished Operation that is in the way.
func Busy(op *v1alpha1.Operation) *BusyError {
	return &BusyError{Name: op.Name, Type: op.Spec.Type, Idle: op.Status.Phase == ""}
}

// Error names the other Operation and the ways on.
func (e *BusyError) Error() string {
	if e.Idle {
		return fmt.Sprintf("operation %s (%s) has not begun; if nobody is just starting it, kubectl ha operation resume %s does, and kubectl ha operation abort %s ends it", e.Name, e.Type, e.Name, e.Name)
	}
	return fmt.Sprintf("operation %s (%s) is not finished; kubectl ha operation watch %s shows it, kubectl ha operation abort %s ends it", e.Name, e.Type, e.Name, e.Name)
}

// Claim makes an Operation, which is there already, the one in progress; the one that is so
// already has no effect. The write goes against the version that was read, so one of two
// wins; the other gets a BusyError with the winner's name.
func (c *Client) Claim(ctx context.Context, kube kubernetes.Interface, name string) error {
	leases := kube.CoordinationV1().Leases(v1alpha1.SystemNamespace)
	for ctx.Err() == nil {
		won, err := c.tryClaim(ctx, leases, name)
		switch {
		case won || (err != nil && !Overtaken(err)):
			return err
		}
	}
	return context.Cause(ctx)
}

// tryClaim is one try; an error that is Overtaken's is one to try again after.
func (c *Client) tryClaim(ctx context.Context, leases coordinationclient.LeaseInterface, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	lease, err := leases.Get(ctx, claimLease, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = leases.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: claimLease},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name},
		}, metav1.CreateOptions{})
	case err == nil && lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity == name:
		return true, nil
	case err == nil:
		if err := c.claimable(ctx, lease); err != nil {
			return false, err
		}
		lease.Spec.HolderIdentity = &name
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	}
	if err != nil {
		return false, fmt.Errorf("make %s the operation in progress: %w", name, err)
	}
	return true, nil
}

func (c *Client) claimable(ctx context.Context, lease *coordinationv1.Lease) error {
	if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		return nil
	}
	holder, err := c.Get(ctx, *lease.Spec.HolderIdentity)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case Unfinished(*holder):
		return Busy(holder)
	}
	return nil
}
