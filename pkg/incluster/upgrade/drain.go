package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

const (
	// drainInterval is the time between two tries to evict what is left.
	drainInterval = time.Second
	// drainLeast is what a drain has at least when a coordinator takes it over late.
	drainLeast = 30 * time.Second
	// forceTime is for the pods' own grace after a drain by force has deleted them.
	forceTime = 5 * time.Minute
)

// drainStep is the Step that moves pods away. It may be ended in its middle: pods
// that have left are elsewhere by then, and the clean-up uncordons the node.
type drainStep struct{}

// Interruptible is true: nobody has to wait for a drain of which the rest is not wanted.
func (drainStep) Interruptible() bool { return true }

// Run drains the step's node.
func (drainStep) Run(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	allowed := t.Operation.Spec.Upgrade.DrainTime()
	return engine.Func{Timeout: allowed + forceTime + time.Minute, Do: func(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
		until := drainUntil(t.Step.StartedAt, time.Now(), allowed)
		d := draining{kube: t.Clients.Kube, node: nodeName(t), force: t.Operation.Spec.Upgrade.ForceDrain, progress: t.Progress}
		n, err := d.run(ctx, until)
		if err != nil {
			return engine.Outcome{}, err
		}
		return engine.Outcome{Message: evicted(n)}, nil
	}}.Run(ctx, t)
}

// drainUntil is when a drain's time is up. A coordinator that takes over does not
// begin it anew, but has a little at least.
func drainUntil(started *metav1.Time, now time.Time, allowed time.Duration) time.Time {
	if started == nil || now.Sub(started.Time) < drainLeast {
		return now.Add(allowed)
	}
	until, least := started.Add(allowed), now.Add(drainLeast)
	if until.Before(least) {
		return least
	}
	return until
}

func evicted(n int) string {
	switch n {
	case 0:
		return "no pod had to leave"
	case 1:
		return "1 pod has left"
	}
	return fmt.Sprintf("%d pods have left", n)
}

// draining is one drain.
type draining struct {
	kube     kubernetes.Interface
	node     string
	force    bool
	progress func(format string, args ...any)
}

// run moves the pods away until none is left, and returns how many there were. When
// the time is up, a drain by force deletes what is left, and any other fails and
// names what holds it up.
func (d draining) run(ctx context.Context, until time.Time) (int, error) {
	seen := map[string]bool{}
	forced := false
	for {
		pods, err := podsOn(ctx, d.kube, d.node)
		if err != nil {
			return 0, err
		}
		if len(pods) == 0 {
			return len(seen), nil
		}
		if stuck := unmanaged(pods); len(stuck) > 0 && !d.force {
			return 0, fmt.Errorf("on %s are pods that nothing would make again elsewhere: %s\nnext: delete or move them, then resume; or begin an upgrade with --force-drain",
				d.node, strings.Join(stuck, ", "))
		}
		for _, p := range pods {
			seen[string(p.UID)] = true
		}
		late := time.Now().After(until)
		switch {
		case !late:
			err = d.evictAll(ctx, pods, until)
		case d.force && !forced:
			err, forced = d.deleteAll(ctx, pods), true
		case !d.force:
			return 0, d.tooLate(ctx, pods)
		}
		if err != nil {
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(drainInterval):
		}
	}
}

func unmanaged(pods []corev1.Pod) []string {
	var out []string
	for _, p := range pods {
		if fateOf(p) == refuse {
			out = append(out, p.Namespace+"/"+p.Name)
		}
	}
	return out
}

// evictAll asks each pod to leave that has not been asked, and shows what is
// waited for.
func (d draining) evictAll(ctx context.Context, pods []corev1.Pod, until time.Time) error {
	leaving, waits := 0, ""
	for _, p := range pods {
		if p.DeletionTimestamp != nil {
			leaving++
			continue
		}
		err := evictPod(ctx, d.kube, p)
		switch {
		case err == nil:
			leaving++
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case apierrors.IsForbidden(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			return fmt.Errorf("evict pod %s/%s: %w", p.Namespace, p.Name, err)
		default:
			waits = fmt.Sprintf("%s/%s stays: %s", p.Namespace, p.Name, held(err))
		}
	}
	switch left := time.Until(until).Round(time.Second); {
	case waits != "":
		d.progress("%s (for %s more)", waits, left)
	case leaving > 0:
		d.progress("waiting for %d pods to leave (for %s more)", leaving, left)
	}
	return nil
}

// deleteAll deletes what is left, whatever budget it has, with its own grace.
func (d draining) deleteAll(ctx context.Context, pods []corev1.Pod) error {
	var failed []error
	for _, p := range pods {
		d.progress("deleting %s/%s, which has not left in time", p.Namespace, p.Name)
		err := d.kube.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			failed = append(failed, fmt.Errorf("delete pod %s/%s: %w", p.Namespace, p.Name, err))
		}
	}
	return errors.Join(failed...)
}

// tooLate says which pods are still there, and why.
func (d draining) tooLate(ctx context.Context, pods []corev1.Pod) error {
	var left []string
	for _, p := range pods {
		why := "it was asked to and has not ended"
		if p.DeletionTimestamp == nil {
			why = "it may go now"
			if err := evictPod(ctx, d.kube, p, metav1.DryRunAll); err != nil {
				why = held(err)
			}
		}
		left = append(left, fmt.Sprintf("%s/%s: %s", p.Namespace, p.Name, why))
	}
	return fmt.Errorf("pods have not left %s in time: %s\nnext: see to the pods or their budgets, then resume; or abort, and begin anew with a longer --drain-timeout or with --force-drain",
		d.node, strings.Join(left, "; "))
}
