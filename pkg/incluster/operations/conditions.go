package operations

import (
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// Conditions are an Operation's, by its phase and steps. The time is that of the conditions which
// are another than in the status that is given; the others keep theirs. It is pure; the
// Operation is not changed.
func Conditions(op *v1alpha1.Operation, now metav1.Time) []metav1.Condition {
	holds, reason, message := standing(op)
	out := slices.Clone(op.Status.Conditions)
	set := func(kind string, status metav1.ConditionStatus, message string) {
		meta.SetStatusCondition(&out, metav1.Condition{
			Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: op.Generation, LastTransitionTime: now,
		})
	}
	for _, kind := range []string{v1alpha1.ConditionComplete, v1alpha1.ConditionFailed, v1alpha1.ConditionPaused} {
		if kind == holds {
			set(kind, metav1.ConditionTrue, message)
		} else {
			set(kind, metav1.ConditionFalse, "")
		}
	}
	is := v1alpha1.ConditionReconciling
	switch holds {
	case v1alpha1.ConditionComplete:
		is = ""
	case v1alpha1.ConditionFailed:
		is = v1alpha1.ConditionStalled
	}
	for _, kind := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		if kind == is {
			set(kind, metav1.ConditionTrue, message)
		} else {
			meta.RemoveStatusCondition(&out, kind)
		}
	}
	return out
}

// standing is the one of Complete, Failed and Paused that holds, none while the Operation is on
// its way, and why.
func standing(op *v1alpha1.Operation) (holds, reason, message string) {
	message = Shorten(op.Status.Message)
	switch op.Status.Phase {
	case v1alpha1.OperationSucceeded:
		return v1alpha1.ConditionComplete, v1alpha1.ReasonSucceeded, message
	case v1alpha1.OperationAborted:
		return v1alpha1.ConditionFailed, v1alpha1.ReasonAborted, message
	case v1alpha1.OperationPaused:
		if len(Failures(op.Status)) > 0 {
			return v1alpha1.ConditionPaused, v1alpha1.ReasonStepFailed, message
		}
		return v1alpha1.ConditionPaused, v1alpha1.ReasonPaused, message
	case v1alpha1.OperationFailed:
		failures := Failures(op.Status)
		switch {
		case len(failures) > 0:
			return v1alpha1.ConditionFailed, v1alpha1.ReasonStepFailed, Shorten(strings.Join(failures, "; "))
		case len(op.Status.Steps) == 0:
			return v1alpha1.ConditionFailed, v1alpha1.ReasonPlanFailed, message
		}
		return v1alpha1.ConditionFailed, v1alpha1.ReasonStepsUnreachable, message
	}
	if message == "" {
		message = "waits for its coordinator"
	}
	return "", underWay(op), message
}

// underWay is the reason of an Operation that has not ended and is not paused.
func underWay(op *v1alpha1.Operation) string {
	switch {
	case op.Spec.Aborted || op.DeletionTimestamp != nil:
		return v1alpha1.ReasonAborting
	case op.Status.Phase != v1alpha1.OperationRunning:
		return v1alpha1.ReasonPending
	case len(Failures(op.Status)) > 0:
		return v1alpha1.ReasonFailing
	case op.Spec.Paused:
		return v1alpha1.ReasonPausing
	}
	return v1alpha1.ReasonRunning
}

// Shorten cuts a text to the bound of a condition's message, which is an Event's as well, between
// two characters.
func Shorten(s string) string {
	const more = "…"
	if len(s) <= v1alpha1.MaxConditionMessage {
		return s
	}
	end := v1alpha1.MaxConditionMessage - len(more)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + more
}
