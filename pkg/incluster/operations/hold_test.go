package operations

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

func TestLately(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	lease := func(holder string, renewed time.Time) coordinationv1.LeaseSpec {
		m, seconds := metav1.NewMicroTime(renewed), int32(60)
		return coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &m}
	}
	operation := "join-abcde"
	for name, tc := range map[string]struct {
		spec    coordinationv1.LeaseSpec
		command string
		lately  bool
	}{
		"nobody":                  {coordinationv1.LeaseSpec{}, "", false},
		"an operation":            {coordinationv1.LeaseSpec{HolderIdentity: &operation}, "", false},
		"a command":               {lease("command/x1/kubectl ha etcd apply on a", at.Add(-59*time.Second)), "kubectl ha etcd apply on a", true},
		"one of long ago":         {lease("command/x1/kubectl ha etcd apply on a", at.Add(-time.Minute)), "kubectl ha etcd apply on a", false},
		"a clock that is ahead":   {lease("command/x1/y", at.Add(30*time.Second)), "y", true},
		"one that is hours ahead": {lease("command/x1/y", at.Add(5*time.Hour)), "y", false},
		"without what it is":      {lease("command/x1", at), "x1", true},
	} {
		if got, late := commandOf(tc.spec), lately(tc.spec, at); got != tc.command || late != tc.lately {
			t.Errorf("%s: %q, %v", name, got, late)
		}
	}
}

// held is a cluster that is played, with one Operation that is finished.
func held(t *testing.T) (*Client, *fake.Clientset) {
	t.Helper()
	op, err := toUnstructured(&v1alpha1.Operation{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.OperationKind},
		ObjectMeta: metav1.ObjectMeta{Name: "join-a"}, Status: v1alpha1.OperationStatus{Phase: v1alpha1.OperationSucceeded}})
	if err != nil {
		t.Fatal(err)
	}
	lists := map[schema.GroupVersionResource]string{v1alpha1.OperationsResource: "OperationList"}
	return New(dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, op)), fake.NewClientset()
}

// TestHold: while a command is at work no Operation begins and no other command does, for as long
// as it takes; afterwards they do, at once, or two minutes after its machine was lost.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, kube := held(t)
		ctx := t.Context()
		// The one before has ended.
		if err := c.Claim(ctx, kube, "join-a"); err != nil {
			t.Fatal(err)
		}
		h, err := c.Hold(ctx, kube, "kubectl ha certs rotate-ca etcd", "one")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		var busy *BusyError
		if err := c.Claim(ctx, kube, "join-b"); !errors.As(err, &busy) || !strings.Contains(busy.Command, "rotate-ca etcd on ") || !strings.Contains(err.Error(), "wait until it has ended") {
			t.Errorf("an operation begins: %v", err)
		}
		if _, err := c.Hold(ctx, kube, "kubectl ha etcd apply", "other"); !errors.As(err, &busy) {
			t.Errorf("another command begins: %v", err)
		}
		if err := h.Await(); err != nil || h.Context().Err() != nil {
			t.Errorf("its work has ended: %v, %v", err, context.Cause(h.Context()))
		}
		if err := h.Release(); err != nil {
			t.Fatal(err)
		}
		if err := c.Claim(ctx, kube, "join-a"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		lease, err := claims(kube).Get(ctx, claimLease, metav1.GetOptions{})
		if err != nil || lease.Spec.LeaseDurationSeconds != nil || lease.Spec.RenewTime != nil {
			t.Errorf("an operation's claim ends by itself: %+v, %v", lease.Spec, err)
		}
	})
}

// TestHoldOfALostMachine: one that was killed goes on at once under its own id; for others it is gone
// when it renews no more, whatever its clock says.
func TestHoldOfALostMachine(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"": 0, "its clock is ahead": 5 * time.Hour, "its clock is behind": -5 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, kube := held(t)
				ctx := t.Context()
				renew := func() {
					seconds, renewed, holder := int32(120), metav1.NewMicroTime(time.Now().Add(ahead)), byCommand+"lost/kubectl ha etcd apply on b"
					spec := coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &renewed}
					_, err := claims(kube).Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: claimLease, Namespace: "ha-system"}, Spec: spec}, metav1.CreateOptions{})
					if apierrors.IsAlreadyExists(err) {
						_, err = claims(kube).Update(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: claimLease, Namespace: "ha-system"}, Spec: spec}, metav1.UpdateOptions{})
					}
					if err != nil {
						t.Error(err)
					}
				}
				renew()
				working := time.AfterFunc(holdInterval, renew)
				var busy *BusyError
				if err := c.Claim(ctx, kube, "join-a"); !errors.As(err, &busy) {
					t.Errorf("while it is at work: %v", err)
				}
				working.Stop()
				again, err := c.Hold(ctx, kube, "kubectl ha etcd apply", "lost")
				if err != nil {
					t.Fatalf("the same machine goes on: %v", err)
				}
				if err := again.Release(); err != nil {
					t.Fatal(err)
				}
				renew()
				time.Sleep(holdFor)
				began := time.Now()
				if err := c.Claim(ctx, kube, "join-a"); err != nil || time.Since(began) > observed {
					t.Errorf("two minutes after: %v, after %s", err, time.Since(began))
				}
			})
		})
	}
}

// TestHoldLost: an API that is away keeps the command from beginning with another host, and does not end
// what it is at; that the claim is another's does.
func TestHoldLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, kube := held(t)
		ctx := t.Context()
		var away atomic.Bool
		kube.PrependReactor("get", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
			return away.Load(), nil, errors.New("connection refused")
		})
		h, err := c.Hold(ctx, kube, "kubectl ha etcd upgrade", "one")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		away.Store(true)
		time.Sleep(time.Minute)
		time.AfterFunc(time.Minute, func() { away.Store(false) })
		began := time.Now()
		if err := h.Await(); err != nil || time.Since(began) < 50*time.Second {
			t.Errorf("the API comes back: %v, after %s", err, time.Since(began))
		}
		time.Sleep(time.Second)
		away.Store(true)
		time.Sleep(time.Minute)
		if err := h.Await(); !errors.Is(err, errHoldLost) || h.Context().Err() != nil {
			t.Errorf("it stays away: %v, %v", err, context.Cause(h.Context()))
		}
		if err := h.Release(); err == nil {
			t.Error("it is given back although the API is away")
		}
		away.Store(false)
		time.Sleep(holdFor)

		if h, err = c.Hold(ctx, kube, "kubectl ha etcd upgrade", "one"); err != nil {
			t.Fatal(err)
		}
		lease, err := claims(kube).Get(ctx, claimLease, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		other := "join-a"
		lease.Spec.HolderIdentity = &other
		if _, err := claims(kube).Update(ctx, lease, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * holdInterval)
		if err := h.Because(h.Context().Err()); !errors.Is(err, errHoldLost) || !strings.Contains(err.Error(), "run the command again") {
			t.Errorf("another has the claim: %v", err)
		}
		if err := h.Await(); !errors.Is(err, errHoldLost) {
			t.Errorf("it begins with another host: %v", err)
		}
		if err := h.Release(); err != nil {
			t.Errorf("there is nothing to give back: %v", err)
		}
		if lease, err = claims(kube).Get(ctx, claimLease, metav1.GetOptions{}); err != nil || *lease.Spec.HolderIdentity != other {
			t.Errorf("what is another's was given back: %+v, %v", lease.Spec, err)
		}
	})
}
