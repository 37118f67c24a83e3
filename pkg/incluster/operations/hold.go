package operations

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

const (
	// byCommand begins the holder's name while a command has the claim; no Operation's name has a slash.
	byCommand = "command/"
	// holdFor is after how long without renewal a claim of a command counts no longer.
	holdFor = time.Minute
	// holdInterval is the time between two renewals.
	holdInterval = 10 * time.Second
	// holdLostAfter is after how long without renewal the command ends, so that it has ended before
	// others begin.
	holdLostAfter = 45 * time.Second
)

// errHoldLost ends the work of a command that can't keep Operations from beginning any more.
var errHoldLost = errors.New("the cluster's API could not be told for too long that this command is at work, so that operations may begin; run the command again to go on")

// Hold makes a command of this machine what is in progress in the cluster, as Claim does with an
// Operation: until release is called no Operation begins, and no other command that holds. The
// error is a BusyError while one is in progress. command is its line, as people know it. lock is the
// folder whose lock the caller has on this machine: a claim that was made under it is the caller's own,
// of a process that was killed.
//
// The context that is returned is the work's; it ends when the claim was lost, with why as its
// cause. A machine that dies loses it after a minute. The error of release is one to warn of.
func (c *Client) Hold(ctx context.Context, kube kubernetes.Interface, command, lock string) (working context.Context, release func() error, err error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, nil, fmt.Errorf("name of this machine: %w", err)
	}
	under := fmt.Sprintf("%s%x/", byCommand, sha256.Sum256([]byte(host+"\x00"+lock)))
	h := hold{leases: claims(kube), holder: under + command + " on " + host}
	if err := c.claim(ctx, h.leases, h.spec(), func(holder string) bool { return strings.HasPrefix(holder, under) }); err != nil {
		return nil, nil, err
	}
	working, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cancel(h.keep(working))
	}()
	return working, func() error {
		cancel(context.Canceled)
		<-ended
		return h.giveBack(context.WithoutCancel(ctx))
	}, nil
}

// hold is a command's claim.
type hold struct {
	leases coordinationclient.LeaseInterface
	holder string
}

// spec is the lease's, from now on.
func (h hold) spec() coordinationv1.LeaseSpec {
	seconds, renewed := int32(holdFor/time.Second), metav1.NowMicro()
	return coordinationv1.LeaseSpec{HolderIdentity: &h.holder, LeaseDurationSeconds: &seconds, RenewTime: &renewed}
}

// keep renews the claim until ctx ends; the error is why it was lost.
func (h hold) keep(ctx context.Context) error {
	tick := time.NewTicker(holdInterval)
	defer tick.Stop()
	for renewed := time.Now(); ; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		err := h.write(ctx, h.spec())
		switch {
		case err == nil:
			renewed = time.Now()
		case errors.Is(err, errHoldLost):
			return err
		case time.Since(renewed) >= holdLostAfter:
			return fmt.Errorf("%w: %w", errHoldLost, err)
		}
	}
}

// write changes the lease while it is this command's; errHoldLost when it is another's.
func (h hold) write(ctx context.Context, spec coordinationv1.LeaseSpec) error {
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

// giveBack lets others begin.
func (h hold) giveBack(ctx context.Context) error {
	err := h.write(ctx, coordinationv1.LeaseSpec{})
	if err == nil || errors.Is(err, errHoldLost) {
		return nil
	}
	return fmt.Errorf("operations cannot begin for another minute: %w", err)
}

// commandIn is the command that has the claim at a moment, empty when none has. A renewal
// by a clock that is ahead of this one counts as well. It is pure.
func commandIn(spec coordinationv1.LeaseSpec, at time.Time) string {
	if spec.HolderIdentity == nil || spec.LeaseDurationSeconds == nil || spec.RenewTime == nil {
		return ""
	}
	name, ok := strings.CutPrefix(*spec.HolderIdentity, byCommand)
	if !ok || !at.Before(spec.RenewTime.Add(time.Duration(*spec.LeaseDurationSeconds)*time.Second)) {
		return ""
	}
	if _, command, ok := strings.Cut(name, "/"); ok {
		return command
	}
	return name
}
