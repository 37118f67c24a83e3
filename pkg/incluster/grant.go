package incluster

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	addons "github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// coordinatorAccount is the coordinator's service account.
const coordinatorAccount = "ha-coordinator"

// grant lets the coordinator do whatever an addon's manifests want, for as long
// as the Operation runs: nobody may grant what he doesn't have, and manifests have
// roles of all kinds. It is the right of whoever creates the Operation that is
// lent; the Operation's last step gives it back.
func (o *Operations) grant(ctx context.Context, op *v1alpha1.Operation) error {
	if op.Spec.Addon == nil || !operations.Unfinished(*op) && !op.Spec.Aborted {
		return nil
	}
	_, err := o.clients.Kube.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: addons.GrantName(op.Name), OwnerReferences: addons.Owner(op)},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: coordinatorAccount, Namespace: v1alpha1.SystemNamespace}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("let the coordinator apply manifests of addons, which takes the rights of an administrator: %w", err)
	}
	return nil
}
