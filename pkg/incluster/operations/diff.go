package operations

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Diff says what happened between two looks at an Operation's status, in the
// plan's order; old may be the zero status. Applied to the same status twice it
// is empty. A step that began and ended between the looks gives both events.
func Diff(old, new v1alpha1.OperationStatus) []report.Event {
	var out []report.Event
	for at, s := range new.Steps {
		before := v1alpha1.StepStatus{State: v1alpha1.StepPending}
		if at < len(old.Steps) && old.Steps[at].ID == s.ID {
			before = old.Steps[at] // A plan keeps its order.
		} else if i := slices.IndexFunc(old.Steps, func(o v1alpha1.StepStatus) bool { return o.ID == s.ID }); i >= 0 {
			before = old.Steps[i]
		}
		out = append(out, diffStep(before, s)...)
	}
	if e := diffPhase(old, new); e != nil {
		out = append(out, *e)
	}
	return out
}

func diffStep(old, new v1alpha1.StepStatus) []report.Event {
	base := report.Event{Host: new.Node, Step: new.ID, Title: new.Title}
	began := base
	began.Kind, began.Time = report.StepStarted, at(new.StartedAt)
	again := new.Attempt > old.Attempt && old.Attempt > 0
	if again {
		began.Message = new.Message
	}
	starts := new.Attempt > old.Attempt
	ended := base
	ended.Time, ended.Elapsed = at(new.FinishedAt), elapsed(new)
	same := old.State == new.State && !starts
	switch new.State {
	case v1alpha1.StepPending:
		return nil
	case v1alpha1.StepRunning:
		switch {
		case starts:
			return []report.Event{began}
		case old.Message != new.Message && new.Message != "":
			ended.Kind, ended.Message, ended.Time, ended.Elapsed = report.StepProgress, new.Message, time.Time{}, 0
			return []report.Event{ended}
		}
		return nil
	case v1alpha1.StepSkipped:
		ended.Kind, ended.Message = report.StepSkipped, new.Message
	case v1alpha1.StepSucceeded:
		ended.Kind, ended.Message, ended.Changed = report.StepDone, new.Message, true
	case v1alpha1.StepFailed:
		ended = failureEvent(ended, new.Message)
	}
	switch {
	case same:
		return nil
	case starts:
		return []report.Event{began, ended}
	default:
		return []report.Event{ended}
	}
}

func diffPhase(old, new v1alpha1.OperationStatus) *report.Event {
	if old.Phase == new.Phase {
		return nil
	}
	e := report.Event{Kind: report.Info, Message: new.Message}
	switch new.Phase {
	case v1alpha1.OperationPaused, v1alpha1.OperationSucceeded:
	case v1alpha1.OperationRunning:
		if old.Phase != v1alpha1.OperationPaused && old.Phase != v1alpha1.OperationFailed {
			return nil
		}
		e.Message = "goes on"
	case v1alpha1.OperationFailed, v1alpha1.OperationAborted:
		e.Kind, e.Time = report.Warning, at(new.FinishedAt)
	default:
		return nil
	}
	return &e
}

func at(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

func elapsed(s v1alpha1.StepStatus) time.Duration {
	if s.StartedAt == nil || s.FinishedAt == nil {
		return 0
	}
	return s.FinishedAt.Sub(s.StartedAt.Time)
}
