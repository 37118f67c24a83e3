package incluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// goneTimeout is how long an Operation may be without a coordinator at work
	// before watching gives up: a standby takes over in 10 to 15 seconds, and where
	// there was none, since a single node was of use, a lost node's coordinator is
	// replaced in one to two minutes.
	goneTimeout = 4 * time.Minute
	// quiet is how long a coordinator may not have renewed its lease before the
	// state of its pod is told.
	quiet = 15 * time.Second
	// lookInterval is the time between two looks at the coordinator.
	lookInterval = 3 * time.Second
	// lookTimeout bounds one look.
	lookTimeout = 10 * time.Second
)

// liveness watches over an Operation's coordinator: while it does not renew its
// lease only its Job and pod tell why.
type liveness struct {
	o    *Operations
	sink report.Sink
	// since is when the lease was last seen to be renewed, by our own clock.
	since   time.Time
	renewed string
	said    string
}

func (l *liveness) check(ctx context.Context, op *v1alpha1.Operation) error {
	if op == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	lease, err := l.o.clients.Kube.CoordinationV1().Leases(v1alpha1.SystemNamespace).Get(ctx, engine.LeaseName(op.Name), metav1.GetOptions{})
	if err == nil && lease.Spec.RenewTime != nil && lease.Spec.RenewTime.String() != l.renewed {
		l.since, l.renewed, l.said = time.Now(), lease.Spec.RenewTime.String(), ""
	}
	// At its beginning any delay is of interest.
	if l.renewed != "" && time.Since(l.since) < quiet {
		return nil
	}
	seen, err := l.o.coordinatorState(ctx, op.Name)
	if err != nil {
		return nil //nolint:nilerr // The API does not answer; following goes on.
	}
	if seen != l.said {
		l.said = seen
		l.sink.Emit(report.Event{Time: time.Now(), Kind: report.Info, Message: "waiting for the coordinator: " + seen})
	}
	if time.Since(l.since) > goneTimeout {
		return fmt.Errorf("operation %s has had no coordinator at work for %s, last seen: %s; kubectl ha operation resume %s sees to it that it has one", op.Name, goneTimeout, seen, op.Name)
	}
	return nil
}

// coordinatorState says in one line where the coordinators' pods are.
func (o *Operations) coordinatorState(ctx context.Context, operation string) (string, error) {
	pods, err := o.clients.Kube.CoreV1().Pods(v1alpha1.SystemNamespace).List(ctx, metav1.ListOptions{
		LabelSelector: batchv1.JobNameLabel + "=" + coordinatorJobName(operation),
	})
	if err != nil {
		return "", err
	}
	return podStates(pods.Items), nil
}

// podStates says in one line where the pods are: those at work, or about to be,
// and only where there are none of them how the others ended. A standby without
// a node is of interest only as long as nobody has one.
func podStates(pods []corev1.Pod) string {
	var placed, waiting, ended []string
	for _, p := range pods {
		state := podState(p)
		switch {
		case p.DeletionTimestamp != nil:
			ended = append(ended, state+", being removed")
		case p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed:
			ended = append(ended, state)
		case p.Spec.NodeName == "":
			waiting = append(waiting, state)
		default:
			placed = append(placed, state)
		}
	}
	for _, states := range [][]string{placed, waiting, ended} {
		if len(states) > 0 {
			slices.Sort(states)
			return strings.Join(slices.Compact(states), "; ")
		}
	}
	return "its job has no pod"
}

func podState(p corev1.Pod) string {
	where := p.Spec.NodeName
	if where == "" {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				return c.Reason + ", " + c.Message
			}
		}
		return "not scheduled yet"
	}
	for _, c := range p.Status.ContainerStatuses {
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason == "ErrImageNeverPull":
			return "the agent image is not in the image store of " + where + "; kubectl ha bootstrap puts it there, or in a cluster that was adopted kubectl ha adopt --ssh"
		case c.State.Waiting != nil:
			return "on " + where + ": " + c.State.Waiting.Reason
		case c.State.Terminated != nil:
			return fmt.Sprintf("on %s: it ended with %d", where, c.State.Terminated.ExitCode)
		}
	}
	return "on " + where + ": " + string(p.Status.Phase)
}
