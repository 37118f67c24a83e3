package lent

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

func operation(name string, phase v1alpha1.OperationPhase, aborted bool) v1alpha1.Operation {
	return v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.OperationSpec{Aborted: aborted}, Status: v1alpha1.OperationStatus{Phase: phase}}
}

func TestFor(t *testing.T) {
	own := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Network: v1alpha1.Network{Plugin: v1alpha1.NetworkPluginManifest}}}
	flannel := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Network: v1alpha1.Network{Plugin: v1alpha1.NetworkPluginFlannel}}}
	for name, c := range map[string]struct {
		spec    v1alpha1.OperationSpec
		cluster *v1alpha1.Cluster
		want    bool
	}{
		"an addon":                 {v1alpha1.OperationSpec{Addon: &v1alpha1.AddonSpec{}}, flannel, true},
		"a network of one's own":   {v1alpha1.OperationSpec{Join: &v1alpha1.JoinSpec{}}, own, true},
		"our network":              {v1alpha1.OperationSpec{Join: &v1alpha1.JoinSpec{}}, flannel, false},
		"an upgrade beside an own": {v1alpha1.OperationSpec{Upgrade: &v1alpha1.UpgradeSpec{}}, own, false},
	} {
		if got := For(&v1alpha1.Operation{Spec: c.spec}, c.cluster); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestStale(t *testing.T) {
	ops := []v1alpha1.Operation{
		operation("addon-runs", v1alpha1.OperationRunning, false), operation("addon-new", "", false), operation("addon-done", v1alpha1.OperationSucceeded, false),
		operation("addon-failed", v1alpha1.OperationFailed, false), operation("addon-aborting", v1alpha1.OperationFailed, true), operation("addon-aborted", v1alpha1.OperationAborted, true),
	}
	bindings := []string{Name("addon-aborted"), Name("addon-aborting"), Name("addon-done"), Name("addon-failed"), Name("addon-new"), Name("addon-pruned"), Name("addon-runs"), "ha-coordinator-network-manifest"}
	want := []string{Name("addon-aborted"), Name("addon-done"), Name("addon-failed"), Name("addon-pruned"), "ha-coordinator-network-manifest"}
	if diff := cmp.Diff(want, Stale(bindings, ops)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is lent is one binding of one Operation; what is swept are those that nobody needs, and
// no binding that somebody else has made.
func TestLendGiveBackSweep(t *testing.T) {
	ctx := context.Background()
	someone := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "ha-coordinator-of-somebody"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: "jane"}}}
	kube := fake.NewClientset(someone)
	runs, done := operation("addon-runs", v1alpha1.OperationRunning, false), operation("addon-done", v1alpha1.OperationSucceeded, false)
	for _, op := range []v1alpha1.Operation{runs, done, runs} {
		if err := Lend(ctx, kube, &op); err != nil {
			t.Fatal(err)
		}
	}
	all := func() string {
		t.Helper()
		names, err := Bindings(ctx, kube)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(names, " ")
	}
	if got := all(); got != "ha-coordinator-addon-done ha-coordinator-addon-runs" {
		t.Errorf("lent: %s", got)
	}
	list := func(context.Context) ([]v1alpha1.Operation, error) { return []v1alpha1.Operation{runs, done}, nil }
	if err := Sweep(ctx, kube, list); err != nil {
		t.Fatal(err)
	}
	if got := all(); got != "ha-coordinator-addon-runs" {
		t.Errorf("after a sweep: %s", got)
	}
	for range 2 {
		if err := GiveBack(ctx, kube, runs.Name); err != nil {
			t.Fatal(err)
		}
	}
	if got := all(); got != "" {
		t.Errorf("given back: %s", got)
	}
	if _, err := kube.RbacV1().ClusterRoleBindings().Get(ctx, someone.Name, metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

// Who may not look, or not remove, goes on; who may and fails is told what to do.
func TestForbidden(t *testing.T) {
	ctx := context.Background()
	refuse := func() clienttesting.ReactionFunc {
		return func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "clusterrolebindings"}, "", nil)
		}
	}
	op := operation("addon-x", v1alpha1.OperationSucceeded, false)
	none := func(context.Context) ([]v1alpha1.Operation, error) { return nil, nil }
	for _, verb := range []string{"list", "delete"} {
		kube := fake.NewClientset()
		if err := Lend(ctx, kube, &op); err != nil {
			t.Fatal(err)
		}
		kube.PrependReactor(verb, "clusterrolebindings", refuse())
		if err := Sweep(ctx, kube, none); err != nil {
			t.Errorf("%s: %v", verb, err)
		}
		if err := GiveBack(ctx, kube, op.Name); verb == "delete" && (err == nil || !strings.Contains(err.Error(), "next: kubectl delete clusterrolebinding ha-coordinator-addon-x")) {
			t.Errorf("give back: %v", err)
		}
	}
}
