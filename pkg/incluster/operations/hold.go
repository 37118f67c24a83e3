package operations

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/ptr"
)

const (
	// byCommand begins the holder's name while a command has the claim; no Operation's name has a slash.
	byCommand = "command/"
	// holdFor is after how long without renewal a claim of a command counts no longer.
	holdFor = 2 * time.Minute
	// holdInterval is the time between two renewals.
	holdInterval = 10 * time.Second
	// holdFresh is how old the last renewal may be when the command begins with another host: what it
	// does there is then over, or well on its way, before others begin.
	holdFresh = 40 * time.Second
	// holdAwait bounds the wait for a renewal: the command's own work takes the API away for a while
	// where there is one control plane, or one member.
	holdAwait = 5 * time.Minute
	// releaseWithin bounds the tries to give a claim back.
	releaseWithin = 30 * time.Second
)

// errHoldLost ends the work of a command whose claim is another's, or that could not renew it.
var errHoldLost = errors.New("operations of the cluster may begin again, since its API could not be told that this command is at work; run the command again to go on")

// Hold is a command's claim on the cluster: see Client.Hold.
type Hold struct {
	leases  coordinationclient.LeaseInterface
	holder  string
	working context.Context
	cancel  context.CancelCauseFunc
	ended   chan struct{}

	mu sync.Mutex
	// renewed is when the last renewal was begun; changed is closed with the next one.
	renewed time.Time
	changed chan struct{}
}

// Hold makes a command of this machine what is in progress in the cluster, as Claim does with an
// Operation: until it is released no Operation begins, and no other command that holds. The
// error is a BusyError while one is in progress. command is its line, as people know it. id tells this
// machine and cluster from all others: a claim of the same id is the caller's own, of a process
// that was killed. The caller has a lock by which one process at a time has that id.
//
// A machine that dies loses the claim after two minutes.
func (c *Client) Hold(ctx context.Context, kube kubernetes.Interface, command, id string) (*Hold, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name of this machine: %w", err)
	}
	own := byCommand + id + "/"
	h := &Hold{leases: claims(kube), holder: own + command + " on " + host, renewed: time.Now(), changed: make(chan struct{}), ended: make(chan struct{})}
	if err := c.claim(ctx, h.leases, h.spec, func(holder string) bool { return strings.HasPrefix(holder, own) }); err != nil {
		return nil, err
	}
	h.working, h.cancel = context.WithCancelCause(ctx)
	go h.keep()
	return h, nil
}

// Context is the work's. It ends with the caller's, and when the claim is another's.
func (h *Hold) Context() context.Context { return h.working }

// Await returns once the claim was renewed lately. It comes before each host: a command that can't tell
// the cluster that it is at work begins nothing more.
func (h *Hold) Await() error {
	ctx, cancel := context.WithTimeout(h.working, holdAwait)
	defer cancel()
	for {
		h.mu.Lock()
		fresh, changed := time.Since(h.renewed) < holdFresh, h.changed
		h.mu.Unlock()
		if err := context.Cause(h.working); err != nil {
			return err
		}
		if fresh {
			return nil
		}
		select {
		case <-ctx.Done():
			if err := context.Cause(h.working); err != nil {
				return err
			}
			return errHoldLost
		case <-changed:
		}
	}
}

// Because is the error of work that has ended by it, with why: that the claim was lost is what a person
// has to know of a context that was cancelled.
func (h *Hold) Because(err error) error {
	if cause := context.Cause(h.working); err != nil && errors.Is(cause, errHoldLost) && !errors.Is(err, errHoldLost) {
		return fmt.Errorf("%w (%v)", cause, err) //nolint:errorlint // a cancelled context is no error of its own
	}
	return err
}

// Release lets others begin. Its error is one to warn of.
func (h *Hold) Release() error {
	h.cancel(context.Canceled)
	<-h.ended
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.working), releaseWithin)
	defer cancel()
	for {
		err := h.write(ctx, coordinationv1.LeaseSpec{})
		if err == nil || errors.Is(err, errHoldLost) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("operations cannot begin for another two minutes: %w", err)
		case <-time.After(time.Second):
		}
	}
}

// spec is the lease's, from now on.
func (h *Hold) spec() coordinationv1.LeaseSpec {
	seconds, renewed := int32(holdFor/time.Second), metav1.NowMicro()
	return coordinationv1.LeaseSpec{HolderIdentity: &h.holder, LeaseDurationSeconds: &seconds, RenewTime: &renewed}
}

// keep renews the claim until the work has ended. An API that is away is no reason to end it in the
// middle of a host; that the claim is another's is.
func (h *Hold) keep() {
	defer close(h.ended)
	tick := time.NewTicker(holdInterval)
	defer tick.Stop()
	for {
		select {
		case <-h.working.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		err := h.write(h.working, h.spec())
		if errors.Is(err, errHoldLost) {
			h.cancel(err)
			return
		}
		if err == nil {
			h.mu.Lock()
			h.renewed = began
			close(h.changed)
			h.changed = make(chan struct{})
			h.mu.Unlock()
		}
	}
}

// write changes the lease while it is this command's; errHoldLost when it is another's.
func (h *Hold) write(ctx context.Context, spec coordinationv1.LeaseSpec) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	lease, err := h.leases.Get(ctx, claimLease, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read lease %s: %w", claimLease, err)
	}
	if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity != h.holder {
		return errHoldLost
	}
	lease.Spec = spec
	if _, err := h.leases.Update(ctx, lease, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("write lease %s: %w", claimLease, err)
	}
	return nil
}

// commandOf is the command that has a claim, whether it still is at work; empty when none has.
func commandOf(spec coordinationv1.LeaseSpec) string {
	name, ok := strings.CutPrefix(ptr.Deref(spec.HolderIdentity, ""), byCommand)
	if !ok {
		return ""
	}
	if _, command, ok := strings.Cut(name, "/"); ok {
		return command
	}
	return name
}

// lately tells whether a claim was renewed lately, by this machine's clock. A renewal in the future is no
// better than one of long ago: of both somebody has to see whether they are followed by another. It is pure.
func lately(spec coordinationv1.LeaseSpec, at time.Time) bool {
	if spec.RenewTime == nil || spec.LeaseDurationSeconds == nil {
		return false
	}
	age := at.Sub(spec.RenewTime.Time)
	return age.Abs() < time.Duration(*spec.LeaseDurationSeconds)*time.Second
}
