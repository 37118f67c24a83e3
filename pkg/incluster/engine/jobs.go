package engine

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// removeTimeout bounds the removal of a Job that nobody waits for.
const removeTimeout = 30 * time.Second

// dropJobs removes the Jobs, with their pods, of steps of which it is written that they have ended well:
// an upgrade of 5,000 nodes has 15,000 of them within hours. Those of failed ones stay for whoever
// reads their logs, until six hours after their end. So does what a coordinator leaves behind that ends
// just then.
func (r *run) dropJobs(ctx context.Context, op *v1alpha1.Operation, ended []ending) {
	for _, e := range ended {
		s := r.stepOf(op, e.id)
		if s == nil || s.Job == "" || s.State != v1alpha1.StepSucceeded || s.Attempt != e.attempt {
			continue
		}
		if k, ok := r.step(op, s.ID).(JobKeeper); ok && k.KeepsJob() {
			continue
		}
		one := *s
		r.wait.Go(func() {
			if err := removeJob(ctx, r.Clients.Kube, one); err != nil {
				r.Sink.Emit(report.Event{Time: time.Now(), Kind: report.Warning, Host: one.Node, Step: one.ID, Message: "its Job stays for now: " + err.Error()})
			}
		})
	}
}

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
