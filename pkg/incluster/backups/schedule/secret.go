package schedule

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
)

// WriteTarget says where scheduled backups are sent. Without credentials those count that are in
// the target's own Secret when a backup is sent. It tells whether that changed anything.
func WriteTarget(ctx context.Context, clients *client.Clients, to string, credentials map[string]string) (bool, error) {
	s := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: TargetSecret, Namespace: v1alpha1.SystemNamespace, Labels: map[string]string{"app.kubernetes.io/name": "kubectl-ha", "app.kubernetes.io/component": Name}},
		Type:       corev1.SecretTypeOpaque, Data: map[string][]byte{backups.KeyTo: []byte(to)},
	}
	for k, v := range credentials {
		s.Data[k] = []byte(v)
	}
	u, err := apply.Untyped(s)
	if err != nil {
		return false, err
	}
	changed, err := apply.Apply(ctx, clients, []*unstructured.Unstructured{u}, apply.Options{Force: true})
	if err != nil {
		return false, fmt.Errorf("write where backups are sent: %w", err)
	}
	return len(changed) > 0, nil
}

// RemoveTarget takes it away, with the credentials. It tells whether there was one.
func RemoveTarget(ctx context.Context, kube kubernetes.Interface) (bool, error) {
	err := kube.CoreV1().Secrets(v1alpha1.SystemNamespace).Delete(ctx, TargetSecret, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove where backups are sent: %w", err)
	}
	return true, nil
}
