package operations

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// Unfinished tells whether an Operation stands in the way of another one: it
// is not final. A failed one does not, it has stopped and cleaned up.
func Unfinished(op v1alpha1.Operation) bool { return !op.Status.Phase.Final() }

// Surplus are the finished Operations but the newest of them, the oldest first.
// All of them are given with the oldest first.
func Surplus(all []v1alpha1.Operation, keep int) []v1alpha1.Operation {
	finished := slices.DeleteFunc(slices.Clone(all), Unfinished)
	return finished[:max(0, len(finished)-keep)]
}

// Retry makes a failed Operation's status one that can be carried on: failed
// steps are pending again, the clean-up steps too when they ran, and so is each
// step whose effect the clean-up took back and which one that is left comes
// after. What comes after all turns of nodes comes after those that are begun anew as well. It is
// pure; the status given is not changed.
func Retry(s v1alpha1.OperationStatus) v1alpha1.OperationStatus {
	s.Steps = slices.Clone(s.Steps)
	cleaned := map[string]bool{}
	for i := range s.Steps {
		step := &s.Steps[i]
		ran := step.State == v1alpha1.StepSucceeded || step.State == v1alpha1.StepFailed
		if step.Cleanup && ran {
			cleaned[step.ID] = true
			reset(step)
		}
		interrupted := step.State == v1alpha1.StepSkipped && step.Attempt > 0
		if step.State == v1alpha1.StepFailed || interrupted {
			reset(step)
		}
	}
	again := false
	for i := range s.Steps {
		step := &s.Steps[i]
		if again && step.State == v1alpha1.StepSucceeded && slices.Contains(step.After, v1alpha1.AfterTurns) {
			reset(step)
		}
		again = again || step.State == v1alpha1.StepPending && !step.Cleanup
	}
	needed := map[string]bool{}
	// Backwards, since a step only comes after earlier ones.
	for i := len(s.Steps) - 1; i >= 0; i-- {
		step := &s.Steps[i]
		if needed[step.ID] && step.State == v1alpha1.StepSucceeded && cleaned[step.UndoneBy] {
			reset(step)
		}
		if step.State == v1alpha1.StepPending && !step.Cleanup {
			for _, a := range step.After {
				needed[a] = true
			}
		}
	}
	s.Phase, s.FinishedAt, s.Message = v1alpha1.OperationPending, nil, "resumed, waiting for its coordinator"
	s.Progress = Progress(s.Steps)
	return s
}

// CleanAgain makes the clean-up steps of a failed Operation pending again that have run: it is
// given up now, and they may have left what was of use only as long as it could be gone on with.
// Until they have ended it is in the way of others again. It is pure; the status given is not changed.
func CleanAgain(s v1alpha1.OperationStatus) v1alpha1.OperationStatus {
	s.Steps = slices.Clone(s.Steps)
	for i := range s.Steps {
		if step := &s.Steps[i]; step.Cleanup && (step.State == v1alpha1.StepSucceeded || step.State == v1alpha1.StepFailed) {
			reset(step)
		}
	}
	s.Phase, s.FinishedAt, s.Message = v1alpha1.OperationPending, nil, "aborted, waiting for its coordinator"
	s.Progress = Progress(s.Steps)
	return s
}

func reset(s *v1alpha1.StepStatus) {
	s.State, s.Message, s.FinishedAt, s.StartedAt, s.Job = v1alpha1.StepPending, "", nil, nil, ""
}

// Progress is "done/all".
func Progress(steps []v1alpha1.StepStatus) string {
	if len(steps) == 0 {
		return ""
	}
	done := 0
	for _, s := range steps {
		if s.State == v1alpha1.StepSucceeded || s.State == v1alpha1.StepSkipped {
			done++
		}
	}
	return Done(done, len(steps))
}

// Done is Progress of steps that were counted.
func Done(done, all int) string {
	if all == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", done, all)
}

// Failures are the first lines of the failed steps' messages, each with its
// step's ID.
func Failures(s v1alpha1.OperationStatus) []string {
	var out []string
	for _, step := range s.Steps {
		if step.State == v1alpha1.StepFailed {
			head, _, _ := strings.Cut(step.Message, "\n")
			out = append(out, step.ID+": "+head)
		}
	}
	return out
}

// Phase is where an Operation stands, in a word, with what it is told to do meanwhile.
func Phase(op v1alpha1.Operation) string {
	phase := op.Status.Phase
	if phase == "" {
		phase = v1alpha1.OperationPending
	}
	switch {
	case phase.Final():
	case op.Spec.Aborted:
		return string(phase) + " (aborting)"
	case op.Spec.Paused && phase != v1alpha1.OperationPaused:
		return string(phase) + " (pausing)"
	}
	return string(phase)
}
