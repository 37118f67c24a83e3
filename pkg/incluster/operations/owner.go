package operations

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// Owner makes what is made for an Operation go with it.
func Owner(op *v1alpha1.Operation) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.OperationKind, Name: op.Name, UID: op.UID}
}
