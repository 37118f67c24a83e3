// Package lent is about the rights of an administrator that a coordinator has for the few
// Operations that apply manifests of others: nobody may grant what he does not have, and such
// manifests have roles of all kinds. They are lent by whoever creates the Operation, who has
// to have them, and the engine gives them back in every end.
package lent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

const (
	// account is the coordinator's service account.
	account = "ha-coordinator"
	prefix  = account + "-"
)

// For tells whether an Operation applies manifests of others: addons, or the user's own pod
// network.
func For(op *v1alpha1.Operation, c *v1alpha1.Cluster) bool {
	return op.Spec.Addon != nil || op.Spec.Join != nil && c.Spec.Network.Plugin == v1alpha1.NetworkPluginManifest
}

// Name names the binding for an Operation.
func Name(operation string) string { return prefix + operation }

// Lend makes the coordinator of an Operation an administrator. It is no error when it is
// one already.
func Lend(ctx context.Context, kube kubernetes.Interface, op *v1alpha1.Operation) error {
	_, err := kube.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: Name(op.Name), OwnerReferences: []metav1.OwnerReference{operations.Owner(op)}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: v1alpha1.SystemNamespace}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("let the coordinator apply manifests of others, which takes the rights of an administrator: %w", err)
	}
	return nil
}

// GiveBack takes the binding of an Operation away, if there is one. It is the last that the
// rights are used for.
func GiveBack(ctx context.Context, kube kubernetes.Interface, operation string) error {
	api := kube.RbacV1().ClusterRoleBindings()
	// Looked for first, since without the binding the coordinator may not remove one.
	_, err := api.Get(ctx, Name(operation), metav1.GetOptions{})
	if err == nil {
		err = api.Delete(ctx, Name(operation), metav1.DeleteOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("take the coordinator's rights back: %w\nnext: kubectl delete clusterrolebinding %s", err, Name(operation))
	}
	return nil
}

// End is the end of a Definition whose Operations are lent rights.
func End(ctx context.Context, env engine.Env) error {
	return GiveBack(ctx, env.Clients.Kube, env.Operation.Name)
}

// Bindings are the names of all that make a coordinator an administrator, in order.
func Bindings(ctx context.Context, kube kubernetes.Interface) ([]string, error) {
	list, err := kube.RbacV1().ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("look for what coordinators may: %w", err)
	}
	var out []string
	for _, b := range list.Items {
		ours := slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool {
			return s.Kind == rbacv1.ServiceAccountKind && s.Name == account && s.Namespace == v1alpha1.SystemNamespace
		})
		if ours && strings.HasPrefix(b.Name, prefix) && b.RoleRef.Kind == "ClusterRole" && b.RoleRef.Name == "cluster-admin" {
			out = append(out, b.Name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Stale are those of bindings that no unfinished Operation has any use for. Read the bindings
// before the Operations: an Operation is there before its binding. It is pure.
func Stale(bindings []string, ops []v1alpha1.Operation) []string {
	return slices.DeleteFunc(slices.Clone(bindings), func(name string) bool {
		return slices.ContainsFunc(ops, func(op v1alpha1.Operation) bool {
			// A failed one that is aborted has its clean-up before it.
			aborting := op.Spec.Aborted && op.Status.Phase == v1alpha1.OperationFailed
			return Name(op.Name) == name && (operations.Unfinished(op) || aborting)
		})
	})
}

// Sweep takes away what earlier versions, or coordinators that could not do it, have left.
// Who may not do so leaves it to somebody else; doctor names it.
func Sweep(ctx context.Context, kube kubernetes.Interface, list func(context.Context) ([]v1alpha1.Operation, error)) error {
	bindings, err := Bindings(ctx, kube)
	if apierrors.IsForbidden(err) || err == nil && len(bindings) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	ops, err := list(ctx)
	if err != nil {
		return err
	}
	for _, name := range Stale(bindings, ops) {
		err := kube.RbacV1().ClusterRoleBindings().Delete(ctx, name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
			return fmt.Errorf("take away the rights that the coordinator of an earlier Operation had: %w", err)
		}
	}
	return nil
}
