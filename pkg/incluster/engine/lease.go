package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// LeaseTimes are the times of the coordinator's lease.
type LeaseTimes struct {
	// Duration is after how long without renewal another one may take it.
	Duration time.Duration
	// Renew is after how long without renewal the holder stops; shorter than Duration.
	Renew time.Duration
	// Retry is the time between two tries.
	Retry time.Duration
}

// DefaultLeaseTimes are a lease of ten seconds, given up after seven.
func DefaultLeaseTimes() LeaseTimes {
	return LeaseTimes{Duration: 10 * time.Second, Renew: 7 * time.Second, Retry: time.Second}
}

// RequestTimeout is what one request for the lease may take, so that several
// fit into Renew.
func (t LeaseTimes) RequestTimeout() time.Duration { return t.Renew / 3 }

// LeaseName names the lease of an Operation's coordinator, in ha-system.
func LeaseName(operation string) string { return "operation-" + operation }

// errLeaseLost ends the work of a coordinator whose lease ran out.
var errLeaseLost = errors.New("the lease was lost")

// underLease waits for the lease, works while it has it, and gives it back.
// The work's context ends with the lease, with errLeaseLost as its cause; the
// lease is given back after the work has returned, or when it can't be renewed.
func underLease(ctx context.Context, kube kubernetes.Interface, op *v1alpha1.Operation, identity string, t LeaseTimes, sink report.Sink, work func(context.Context) error) error {
	name := LeaseName(op.Name)
	if err := makeLease(ctx, kube, op, name); err != nil {
		return err
	}
	// The elector lives on while the work ends after ctx was cancelled.
	electing, stopElecting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopElecting()
	// While waiting for the lease nothing has to end first.
	began := make(chan struct{})
	stopWaiting := context.AfterFunc(ctx, func() {
		select {
		case <-began:
		default:
			stopElecting()
		}
	})
	defer stopWaiting()
	done := make(chan error, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: ownedLock{gone: stopElecting, LeaseLock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: v1alpha1.SystemNamespace, Name: name},
			Client:     kube.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		}},
		LeaseDuration: t.Duration, RenewDeadline: t.Renew, RetryPeriod: t.Retry,
		ReleaseOnCancel: true, Name: name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				close(began)
				done <- working(ctx, leading, work)
				stopElecting()
			},
			OnStoppedLeading: func() {},
			OnNewLeader: func(holder string) {
				sink.Emit(report.Event{Time: time.Now(), Kind: report.Info, Message: holder + " coordinates operation " + op.Name})
			},
		},
	})
	if err != nil {
		return fmt.Errorf("lease %s: %w", name, err)
	}
	// The library's own log would be a second, unordered one.
	elector.Run(klog.NewContext(electing, logr.Discard()))
	select {
	case <-began:
		return <-done
	default:
		if ctx.Err() == nil {
			return fmt.Errorf("waiting for the lease %s, which is gone: %w", name, errLeaseLost)
		}
		return fmt.Errorf("waiting for the lease %s: %w", name, context.Cause(ctx))
	}
}

// ownedLock is a lease that makeLease has made. The elector would make a new
// one without an owner, which nothing would ever remove, when the lease has gone
// together with its Operation.
type ownedLock struct {
	*resourcelock.LeaseLock
	gone func()
}

// Create is called when the lease is not there; it ends the election instead.
func (l ownedLock) Create(context.Context, resourcelock.LeaderElectionRecord) error {
	l.gone()
	return errLeaseLost
}

// working runs the work in a context that ends with the caller's as well as
// with the lease.
func working(ctx, leading context.Context, work func(context.Context) error) error {
	both, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(leading, func() { cancel(errLeaseLost) })
	defer stop()
	return work(both)
}

// makeLease makes the lease with the Operation as its owner, so that it goes
// with it.
func makeLease(ctx context.Context, kube kubernetes.Interface, op *v1alpha1.Operation, name string) error {
	_, err := kube.CoordinationV1().Leases(v1alpha1.SystemNamespace).Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{operations.Owner(op)}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create lease %s: %w", name, err)
	}
	return nil
}
