package incluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// startTimeout is how long an Operation may be without a coordinator at work
	// before watching gives up: a lost node's coordinator is replaced in about a minute.
	startTimeout = 4 * time.Minute
	// lookInterval is the time between two looks at a coordinator that should start.
	lookInterval = 3 * time.Second
)

// FailedError is an Operation that did not end well.
type FailedError struct {
	Name  string
	Phase v1alpha1.OperationPhase
	// Reasons are the failed steps' messages, or the Operation's own.
	Reasons []string
}

// Error has the reasons and the ways on.
func (e *FailedError) Error() string {
	text := fmt.Sprintf("operation %s: %s: %s", e.Name, e.Phase, strings.Join(e.Reasons, "; "))
	if e.Phase == v1alpha1.OperationFailed {
		text += fmt.Sprintf("; once the cause is gone kubectl ha operation resume %s goes on, kubectl ha operation abort %s gives it up", e.Name, e.Name)
	}
	return text
}

// Look is one state of a watched Operation; see Follow.
type Look = operations.Look

// Follow sends each new state of an Operation, through lost connections, until
// the context ends or the Operation is gone.
func (o *Operations) Follow(ctx context.Context, name string) <-chan Look {
	return o.ops.Follow(ctx, name)
}

// Watch sends what happens with an Operation to the sink, beginning with what
// has happened so far, and returns when it has ended: nil when it succeeded,
// else a FailedError. An Operation that is paused goes on being watched. When
// the context ends the Operation goes on without being watched.
func (o *Operations) Watch(ctx context.Context, name string, sink report.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	looks := o.Follow(ctx, name)
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	var last v1alpha1.OperationStatus
	var op *v1alpha1.Operation
	start := &starting{o: o, sink: sink, since: time.Now()}
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("operation %s goes on in the cluster; kubectl ha operation watch %s shows it: %w", name, name, context.Cause(ctx))
		case <-tick.C:
			if err := start.check(ctx, op); err != nil {
				return err
			}
		case look := <-looks:
			switch {
			case look.Deleted:
				return fmt.Errorf("operation %s was removed while it was not finished", name)
			case look.Operation == nil && ctx.Err() == nil && apierrors.IsForbidden(look.Err):
				return look.Err
			case look.Operation == nil:
				continue // The API does not answer; following goes on.
			}
			op = look.Operation
			for _, e := range operations.Diff(last, op.Status) {
				sink.Emit(e)
			}
			last = op.Status
			if op.Status.Phase.Final() {
				return outcome(op)
			}
		}
	}
}

// outcome is how a final Operation ended.
func outcome(op *v1alpha1.Operation) error {
	if op.Status.Phase == v1alpha1.OperationSucceeded {
		return nil
	}
	reasons := operations.Failures(op.Status)
	if len(reasons) == 0 {
		reasons = []string{op.Status.Message}
	}
	return &FailedError{Name: op.Name, Phase: op.Status.Phase, Reasons: reasons}
}

// starting watches over the start of a coordinator: until it has written for
// the first time, only its Job and pod tell why it does not.
type starting struct {
	o     *Operations
	sink  report.Sink
	since time.Time
	said  string
}

func (s *starting) check(ctx context.Context, op *v1alpha1.Operation) error {
	if op == nil || (op.Status.Phase != "" && op.Status.Phase != v1alpha1.OperationPending) {
		s.since = time.Now()
		return nil
	}
	seen, err := s.o.coordinatorState(ctx, op.Name)
	if err != nil {
		return nil //nolint:nilerr // The API does not answer; following goes on.
	}
	if seen != s.said && seen != "" {
		s.said = seen
		s.sink.Emit(report.Event{Time: time.Now(), Kind: report.Info, Message: "waiting for the coordinator: " + seen})
	}
	if time.Since(s.since) > startTimeout {
		return fmt.Errorf("the coordinator of operation %s did not start within %s, last seen: %s; kubectl ha operation resume %s starts another", op.Name, startTimeout, s.said, op.Name)
	}
	return nil
}

// coordinatorState says in one line where the coordinator's pod is.
func (o *Operations) coordinatorState(ctx context.Context, operation string) (string, error) {
	pods, err := o.clients.Kube.CoreV1().Pods(v1alpha1.SystemNamespace).List(ctx, metav1.ListOptions{
		LabelSelector: batchv1.JobNameLabel + "=" + coordinatorJobName(operation),
	})
	if err != nil {
		return "", err
	}
	if len(pods.Items) == 0 {
		return "its job has no pod", nil
	}
	return podState(pods.Items[len(pods.Items)-1]), nil
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
			return "the agent image is not in the image store of " + where + "; kubectl ha bootstrap puts it there"
		case c.State.Waiting != nil:
			return "on " + where + ": " + c.State.Waiting.Reason
		case c.State.Terminated != nil:
			return fmt.Sprintf("on %s: it ended with %d", where, c.State.Terminated.ExitCode)
		}
	}
	return "on " + where + ": " + string(p.Status.Phase)
}
