package operations

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

func TestCommandIn(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	lease := func(holder string, seconds int32, renewed time.Time) coordinationv1.LeaseSpec {
		m := metav1.NewMicroTime(renewed)
		return coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &m}
	}
	operation := "join-abcde"
	for name, tc := range map[string]struct {
		spec coordinationv1.LeaseSpec
		want string
	}{
		"nobody":                    {coordinationv1.LeaseSpec{}, ""},
		"an operation":              {coordinationv1.LeaseSpec{HolderIdentity: &operation}, ""},
		"an operation, with a time": {lease(operation, 60, at), ""},
		"a command":                 {lease("command/x1/kubectl ha etcd apply on a", 60, at.Add(-59*time.Second)), "kubectl ha etcd apply on a"},
		"one that is gone":          {lease("command/x1/kubectl ha etcd apply on a", 60, at.Add(-time.Minute)), ""},
		"by a clock that is ahead":  {lease("command/x1/y", 60, at.Add(time.Minute)), "y"},
		"without what it is":        {lease("command/x1", 60, at), "x1"},
	} {
		if got := commandIn(tc.spec, at); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
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
// as it takes; afterwards they do, at once, or a minute after its machine was lost.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, kube := held(t)
		ctx := t.Context()
		// The one before has ended.
		if err := c.Claim(ctx, kube, "join-a"); err != nil {
			t.Fatal(err)
		}
		working, release, err := c.Hold(ctx, kube, "kubectl ha certs rotate-ca etcd", "/state/a")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		var busy *BusyError
		if err := c.Claim(ctx, kube, "join-b"); !errors.As(err, &busy) || !strings.Contains(busy.Command, "rotate-ca etcd on ") || !strings.Contains(err.Error(), "wait until it has ended") {
			t.Errorf("an operation begins: %v", err)
		}
		if _, _, err := c.Hold(ctx, kube, "kubectl ha etcd apply", "/state/b"); !errors.As(err, &busy) {
			t.Errorf("another command begins: %v", err)
		}
		if working.Err() != nil {
			t.Errorf("its work has ended: %v", context.Cause(working))
		}
		if err := release(); err != nil {
			t.Fatal(err)
		}
		if err := c.Claim(ctx, kube, "join-a"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		lease, err := kube.CoordinationV1().Leases("ha-system").Get(ctx, claimLease, metav1.GetOptions{})
		if err != nil || lease.Spec.LeaseDurationSeconds != nil || lease.Spec.RenewTime != nil {
			t.Errorf("an operation's claim ends by itself: %+v, %v", lease.Spec, err)
		}

		// A machine that is lost renews no more.
		lost := hold{leases: claims(kube), holder: byCommand + "x/y"}
		if err := c.claim(ctx, lost.leases, lost.spec(), func(string) bool { return false }); err != nil {
			t.Fatal(err)
		}
		again := hold{leases: claims(kube), holder: byCommand + "x/z"}
		if err := c.claim(ctx, again.leases, again.spec(), func(holder string) bool { return holder == lost.holder }); err != nil {
			t.Errorf("the same machine goes on: %v", err)
		}
		time.Sleep(holdFor - time.Second)
		if err := c.Claim(ctx, kube, "join-b"); !errors.As(err, &busy) {
			t.Errorf("a moment after: %v", err)
		}
		time.Sleep(time.Second)
		if err := c.Claim(ctx, kube, "join-a"); err != nil {
			t.Errorf("a minute after: %v", err)
		}
	})
}

// TestHoldLost: the work ends before others may begin, when the API is away for too long, and when
// the claim is another's. An API that is away for a while is no reason.
func TestHoldLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, kube := held(t)
		ctx := t.Context()
		away := false
		kube.PrependReactor("get", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
			return away, nil, errors.New("connection refused")
		})
		working, release, err := c.Hold(ctx, kube, "kubectl ha etcd upgrade", "/state/a")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		away = true
		time.Sleep(30 * time.Second)
		if away = false; working.Err() != nil {
			t.Fatalf("after half a minute: %v", context.Cause(working))
		}
		time.Sleep(time.Minute)
		away = true
		time.Sleep(holdFor - holdInterval + time.Second)
		if err := context.Cause(working); !errors.Is(err, errHoldLost) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("after as long as others wait: %v", err)
		}
		if err := release(); err == nil {
			t.Error("it is given back although the API is away")
		}
		away = false
		time.Sleep(holdFor)

		working, release, err = c.Hold(ctx, kube, "kubectl ha etcd upgrade", "/state/a")
		if err != nil {
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
		if err := context.Cause(working); !errors.Is(err, errHoldLost) {
			t.Errorf("another has the claim: %v", err)
		}
		if err := release(); err != nil {
			t.Errorf("there is nothing to give back: %v", err)
		}
		if lease, err = claims(kube).Get(ctx, claimLease, metav1.GetOptions{}); err != nil || *lease.Spec.HolderIdentity != other {
			t.Errorf("what is another's was given back: %+v, %v", lease.Spec, err)
		}
	})
}
