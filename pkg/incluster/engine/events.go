package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// eventController is who reports the Events of Operations.
	eventController = v1alpha1.Group + "/coordinator"
	// eventTimeout bounds one try to record an Event, during which the loop stands still.
	eventTimeout = 3 * time.Second
	// maxStepEvents bounds the Events about failed steps of one coordinator: thousands may fail
	// at the same time, and all are in the status.
	maxStepEvents = 20
	// maxInstance bounds the name of who has recorded an Event.
	// https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/events.go
	maxInstance = 128
	// maxEventName leaves room for what is added to an Operation's name, of the 253 characters
	// that a name has.
	maxEventName = 200

	reasonStepFailed = "StepFailed"
)

// happening is what one Event says.
type happening struct {
	// kind is corev1.EventTypeNormal or corev1.EventTypeWarning.
	kind, action, reason, note string
	// node is where it happened; empty: nowhere in particular.
	node string
}

// happenings are what Events tell of what changed between two looks at an Operation: where the
// Operation stands, and which steps have failed. Steps that begin or end well are not among
// them; there may be thousands. It is pure.
func happenings(old v1alpha1.OperationStatus, op *v1alpha1.Operation) []happening {
	out := failedSteps(old.Steps, op.Status.Steps)
	if old.Phase == op.Status.Phase {
		return out
	}
	h := happening{kind: corev1.EventTypeNormal, note: op.Status.Message}
	switch op.Status.Phase {
	case v1alpha1.OperationRunning:
		before := &v1alpha1.Operation{Status: old}
		switch {
		case unwanted(op):
			h.action, h.reason = "Abort", "Aborting"
		case old.Phase == v1alpha1.OperationPaused || begun(before):
			h.action, h.reason = "Resume", "Resumed"
		default:
			h.action, h.reason = "Start", "Started"
		}
	case v1alpha1.OperationPaused:
		h.action, h.reason = "Pause", "Paused"
		if len(operations.Failures(op.Status)) > 0 {
			h.kind = corev1.EventTypeWarning
		}
	case v1alpha1.OperationSucceeded:
		h.action, h.reason = "Finish", "Completed"
	case v1alpha1.OperationFailed:
		h.kind, h.action, h.reason = corev1.EventTypeWarning, "Finish", "Failed"
	case v1alpha1.OperationAborted:
		h.action, h.reason = "Finish", "Aborted"
	default:
		return out
	}
	return append(out, h)
}

// failedSteps are the steps that had not failed before, or not in this attempt.
func failedSteps(old, steps []v1alpha1.StepStatus) []happening {
	var out []happening
	for i, s := range steps {
		// A plan keeps its order.
		known := i < len(old) && old[i].ID == s.ID
		if s.State != v1alpha1.StepFailed || known && old[i].State == s.State && old[i].Attempt == s.Attempt {
			continue
		}
		out = append(out, happening{kind: corev1.EventTypeWarning, action: "RunStep", reason: reasonStepFailed, note: operations.FailureNote(s), node: s.Node})
	}
	return out
}

// note records what happened since this coordinator last looked. Events are for people who watch:
// what can't be recorded does not hold up the Operation, whose status has it all.
func (r *run) note(ctx context.Context, op *v1alpha1.Operation) {
	at := time.Now()
	for _, h := range happenings(r.noted, op) {
		if h.reason == reasonStepFailed {
			r.stepEvents++
			switch {
			case r.stepEvents > maxStepEvents:
				continue
			case r.stepEvents == maxStepEvents:
				h.note, h.node = "more steps have failed; kubectl ha operation show "+op.Name+" has them all", ""
			}
		}
		r.unsent = append(r.unsent, event(op, r.Identity, h, at.Add(time.Duration(len(r.unsent)))))
	}
	r.noted = op.Status
	r.sendEvents(ctx)
}

// sendEvents records what is not yet. What gets no answer is tried again with what comes next;
// what is refused is not, as in clusters where an earlier version gave the rights.
func (r *run) sendEvents(ctx context.Context) {
	for len(r.unsent) > 0 {
		one, cancel := context.WithTimeout(ctx, eventTimeout)
		e := r.unsent[0]
		_, err := r.Clients.Kube.EventsV1().Events(e.Namespace).Create(one, e, metav1.CreateOptions{})
		cancel()
		if operations.Transient(err) {
			return
		}
		// One that is there was recorded by a try whose answer got lost.
		if err != nil && !apierrors.IsAlreadyExists(err) {
			r.Sink.Emit(report.Event{Time: time.Now(), Kind: report.Warning, Message: fmt.Sprintf("no Event %s: %v", e.Reason, err)})
		}
		r.unsent = r.unsent[1:]
	}
}

// event is what is recorded. Events about what has no namespace are in the namespace default.
func event(op *v1alpha1.Operation, identity string, h happening, at time.Time) *eventsv1.Event {
	e := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Name: strings.TrimRight(op.Name[:min(len(op.Name), maxEventName)], "-.") + fmt.Sprintf(".%x", at.UnixNano()), Namespace: metav1.NamespaceDefault,
		},
		EventTime:           metav1.NewMicroTime(at),
		ReportingController: eventController, ReportingInstance: identity[:min(len(identity), maxInstance)],
		Type: h.kind, Action: h.action, Reason: h.reason, Note: operations.Shorten(h.note),
		Regarding: corev1.ObjectReference{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.OperationKind, Name: op.Name, UID: op.UID, ResourceVersion: op.ResourceVersion},
	}
	if h.node != "" {
		e.Related = &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: h.node}
	}
	return e
}
