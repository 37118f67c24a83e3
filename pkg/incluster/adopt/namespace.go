package adopt

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
)

// ours are the role bindings in the system namespace that kubectl-ha makes there, and the
// service account of that namespace that each is for.
var ours = map[string]string{"ha-coordinator": "ha-coordinator", "ha-csr-approver": "csr-approver"}

// isOurs goes by whom a binding is for as well: a name alone anybody may have chosen.
func isOurs(b rbacv1.RoleBinding) bool {
	account, ok := ours[b.Name]
	return ok && !slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool {
		return s.Kind != rbacv1.ServiceAccountKind || s.Name != account || s.Namespace != v1alpha1.SystemNamespace
	})
}

// CheckNamespace refuses a system namespace that somebody else has given rights in: whoever
// may write there is root on every node, once Operations run. It is for clusters that have no
// Cluster document yet. One that is missing, or holds what an interrupted adoption has left, is
// as it should be.
func CheckNamespace(ctx context.Context, kube kubernetes.Interface) error {
	if _, err := kube.CoreV1().Namespaces().Get(ctx, v1alpha1.SystemNamespace, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("read the namespace %s: %w", v1alpha1.SystemNamespace, err)
	}
	list, err := kube.RbacV1().RoleBindings(v1alpha1.SystemNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the role bindings in %s: %w", v1alpha1.SystemNamespace, err)
	}
	var foreign []string
	for _, b := range list.Items {
		if !isOurs(b) {
			foreign = append(foreign, b.Name)
		}
	}
	if len(foreign) == 0 {
		return nil
	}
	return fmt.Errorf("the namespace %s is there, with role bindings that kubectl-ha did not make (%s): who may write there acts as root on every node from now on; delete them, or the namespace, first",
		v1alpha1.SystemNamespace, strings.Join(foreign, ", "))
}
