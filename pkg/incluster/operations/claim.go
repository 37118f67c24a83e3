package operations

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/ptr"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// claimLease names the lease that holds the name of the Operation in progress.
// It has no duration: its holder has it until the Operation is finished or gone. With a
// duration it is a command's: see Hold.
const claimLease = "current-operation"

// BusyError says that another Operation is not finished.
type BusyError struct {
	// Command is, in place of all else, that of a machine which is at work on hosts itself: see Hold.
	Command string
	Name    string
	Type    v1alpha1.OperationType
	// Idle is true while no coordinator has taken it up: a moment, unless whoever
	// created it died between the Operation and its coordinator.
	Idle bool
}

// Busy is the error of an unfinished Operation that is in the way.
func Busy(op *v1alpha1.Operation) *BusyError {
	return &BusyError{Name: op.Name, Type: op.Spec.Type, Idle: op.Status.Phase == ""}
}

// Refuse is a BusyError of the oldest Operation that is unfinished, but for those that pass; nil when there
// is none. Without passes none does. It is pure.
func Refuse(all []v1alpha1.Operation, passes func(v1alpha1.OperationSpec) bool) error {
	for i := range all {
		if Unfinished(all[i]) && (passes == nil || !passes(all[i].Spec)) {
			return Busy(&all[i])
		}
	}
	return nil
}

// Error names the other Operation and the ways on.
func (e *BusyError) Error() string {
	if e.Command != "" {
		return fmt.Sprintf("%s is at work on the hosts of this cluster; wait until it has ended (a machine that was lost counts no longer after two minutes)", e.Command)
	}
	if e.Idle {
		return fmt.Sprintf("operation %s (%s) has not begun; if nobody is just starting it, kubectl ha operation resume %s does, and kubectl ha operation abort %s ends it", e.Name, e.Type, e.Name, e.Name)
	}
	return fmt.Sprintf("operation %s (%s) is not finished; kubectl ha operation watch %s shows it, kubectl ha operation abort %s ends it", e.Name, e.Type, e.Name, e.Name)
}

// Claim makes an Operation, which is there already, the one in progress; the one that is so
// already has no effect. The write goes against the version that was read, so one of two
// wins; the other gets a BusyError with the winner's name.
func (c *Client) Claim(ctx context.Context, kube kubernetes.Interface, name string) error {
	return c.claim(ctx, claims(kube), func() coordinationv1.LeaseSpec { return coordinationv1.LeaseSpec{HolderIdentity: &name} }, func(holder string) bool { return holder == name })
}

// claims is where the claim is.
func claims(kube kubernetes.Interface) coordinationclient.LeaseInterface {
	return kube.CoordinationV1().Leases(v1alpha1.SystemNamespace)
}

// claim makes the lease what want gives. own tells whether a holder is who asks.
func (c *Client) claim(ctx context.Context, leases coordinationclient.LeaseInterface, want func() coordinationv1.LeaseSpec, own func(holder string) bool) error {
	for silent := (*coordinationv1.Lease)(nil); ctx.Err() == nil; {
		won, seen, err := c.tryClaim(ctx, leases, want(), own, silent)
		switch {
		case won || err != nil && !Overtaken(err):
			return err
		case seen != nil:
			// Clocks differ: whether a command is still at work shows in whether it renews its claim.
			silent = seen
			pause(ctx, observed)
		}
	}
	return context.Cause(ctx)
}

// observed is for how long a command is looked at that has not renewed its claim lately.
const observed = holdInterval + requestTimeout

// tryClaim is one try; an error that is Overtaken's is one to try again after. seen is the claim of a
// command that has to be looked at; silent the one that was, when it is to be taken if it is still the same.
func (c *Client) tryClaim(ctx context.Context, leases coordinationclient.LeaseInterface, want coordinationv1.LeaseSpec, own func(holder string) bool, silent *coordinationv1.Lease) (won bool, seen *coordinationv1.Lease, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	lease, err := leases.Get(ctx, claimLease, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: claimLease}, Spec: want}, metav1.CreateOptions{})
	case err == nil:
		holder := ptr.Deref(lease.Spec.HolderIdentity, "")
		command := commandOf(lease.Spec)
		switch {
		case own(holder):
			if want.RenewTime == nil {
				return true, nil, nil
			}
		case command != "" && silent != nil && silent.ResourceVersion == lease.ResourceVersion && silent.Spec.RenewTime.Equal(lease.Spec.RenewTime):
		case command != "" && (silent != nil || lately(lease.Spec, time.Now())):
			return false, nil, &BusyError{Command: command}
		case command != "":
			return false, lease, nil
		default:
			if err := c.claimable(ctx, holder); err != nil {
				return false, nil, err
			}
		}
		lease.Spec = want
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	}
	if err != nil {
		return false, nil, fmt.Errorf("make %s what is in progress: %w", *want.HolderIdentity, err)
	}
	return true, nil, nil
}

// claimable is a BusyError while an Operation is in progress.
func (c *Client) claimable(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	holder, err := c.head(ctx, name)
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
