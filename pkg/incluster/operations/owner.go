package operations

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// Owner makes what is made for an Operation go with it.
func Owner(op *v1alpha1.Operation) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.OperationKind, Name: op.Name, UID: op.UID}
}

// HandOver puts what an Operation's steps need into a Secret of that name, which goes with the
// Operation. One that is there was put there by an earlier attempt, and stays. what says in an error what
// it is.
func HandOver(ctx context.Context, kube kubernetes.Interface, op *v1alpha1.Operation, name, what string, data map[string][]byte) error {
	_, err := kube.CoreV1().Secrets(v1alpha1.SystemNamespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{Owner(op)}}, Data: data,
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("hand %s over to the cluster: %w", what, err)
	}
	return nil
}
