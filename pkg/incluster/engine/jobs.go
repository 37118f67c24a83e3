package engine

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// removeTimeout bounds the removal of a Job that nobody waits for.
const removeTimeout = 30 * time.Second

// removeJob ends a task that runs, and removes its Job: its kubelet tells it to end, and it has what is
// left of its grace to do so.
func removeJob(ctx context.Context, kube kubernetes.Interface, s v1alpha1.StepStatus) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	background := metav1.DeletePropagationBackground
	err := kube.BatchV1().Jobs(v1alpha1.SystemNamespace).Delete(ctx, s.Job, metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove the job %s on %s: %w", s.Job, s.Node, err)
	}
	return nil
}
