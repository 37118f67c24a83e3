package incluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
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
	alive := &liveness{o: o, sink: sink, since: time.Now()}
	var patience operations.Patience
	// heard is when the API has answered last, silent why it does not, as far as it was told.
	heard, silent := time.Now(), ""
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("operation %s goes on in the cluster; kubectl ha operation watch %s shows it: %w", name, name, context.Cause(ctx))
		case <-tick.C:
			if err := alive.check(ctx, op); err != nil {
				return err
			}
		case look := <-looks:
			switch {
			case look.Deleted:
				return fmt.Errorf("operation %s was removed while it was not finished", name)
			case look.Operation == nil && ctx.Err() == nil && refused(look.Err) && (op == nil || !patience.Bears(look.Err, time.Now())):
				return look.Err
			case look.Operation == nil:
				// The API does not answer; following goes on.
				if why := fmt.Sprint(look.Err); why != silent && time.Since(heard) > quiet {
					silent = why
					sink.Emit(report.Event{Time: time.Now(), Kind: report.Warning, Message: "the API does not answer, asking on: " + why})
				}
				continue
			}
			op, patience, heard, silent = look.Operation, operations.Patience{}, time.Now(), ""
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

// refused tells whether the API knows the caller and does not let it, or does not know it
// any more, as when a login has ended: asking on is of no use.
func refused(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || operations.Incomplete(err)
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
