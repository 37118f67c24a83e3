package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// maxMessage bounds an Operation's one-line message.
const maxMessage = 200

// decision is what is to happen next.
type decision struct {
	// start are the IDs of the steps to start now, in the plan's order.
	start []string
	// interrupt are running steps that nobody needs any more.
	interrupt []string
	phase     v1alpha1.OperationPhase
	message   string
}

// decide says what is to happen next with a planned Operation. It is pure.
//
// Nothing new starts once a step failed or the Operation is aborted or deleted;
// when what runs has ended the clean-up steps run, and then it has ended.
func decide(op *v1alpha1.Operation) decision {
	var main, cleanup []v1alpha1.StepStatus
	for _, s := range op.Status.Steps {
		if s.Cleanup {
			cleanup = append(cleanup, s)
		} else {
			main = append(main, s)
		}
	}
	aborted := unwanted(op)
	failed := has(main, v1alpha1.StepFailed)
	d := decision{phase: v1alpha1.OperationRunning}
	running := in(op.Status.Steps, v1alpha1.StepRunning)
	switch {
	case aborted || failed:
		d.interrupt = in(main, v1alpha1.StepRunning)
	case op.Spec.Paused && has(main, v1alpha1.StepPending):
		if len(running) == 0 {
			return decision{phase: v1alpha1.OperationPaused, message: "paused; kubectl ha operation resume " + op.Name + " goes on"}
		}
		d.message = "pausing, still running: " + list(running)
		return d
	default:
		d.start = ready(main, main)
	}
	if len(d.start) == 0 && !has(main, v1alpha1.StepRunning) {
		// A stuck plan would be a mistake in it; ending as failed shows it.
		stuck := !aborted && !failed && has(main, v1alpha1.StepPending)
		d.start = ready(cleanup, cleanup)
		if len(d.start) == 0 && !has(cleanup, v1alpha1.StepRunning) {
			return end(op, aborted, stuck)
		}
	}
	d.message = list(append(running, d.start...))
	switch {
	case aborted:
		d.message = "aborting, still running: " + d.message
	case failed:
		d.message = "a step failed, still running: " + d.message
	}
	return d
}

func end(op *v1alpha1.Operation, aborted, stuck bool) decision {
	failures := operations.Failures(op.Status)
	done := operations.Progress(op.Status.Steps)
	if done == "" {
		done = "none"
	}
	switch {
	case aborted:
		return decision{phase: v1alpha1.OperationAborted, message: "aborted, steps done: " + done}
	case len(failures) > 0:
		return decision{phase: v1alpha1.OperationFailed, message: line(failures[0])}
	case stuck:
		return decision{phase: v1alpha1.OperationFailed, message: "the plan has steps that can never start; abort it and report this as a bug"}
	default:
		return decision{phase: v1alpha1.OperationSucceeded, message: fmt.Sprintf("all %d steps done", len(op.Status.Steps))}
	}
}

// ready are the pending steps for which everything they come after has ended well.
func ready(steps, all []v1alpha1.StepStatus) []string {
	ended := map[string]bool{}
	known := map[string]bool{}
	for _, s := range all {
		known[s.ID] = true
		ended[s.ID] = s.State == v1alpha1.StepSucceeded || s.State == v1alpha1.StepSkipped
		if s.Cleanup {
			// A failed clean-up doesn't keep the others from theirs.
			ended[s.ID] = ended[s.ID] || s.State == v1alpha1.StepFailed
		}
	}
	var out []string
	for _, s := range steps {
		waits := slices.ContainsFunc(s.After, func(id string) bool {
			// What a clean-up step comes after among the others has ended by then.
			return !ended[id] && (known[id] || !s.Cleanup)
		})
		if s.State == v1alpha1.StepPending && !waits {
			out = append(out, s.ID)
		}
	}
	return out
}

func has(steps []v1alpha1.StepStatus, state v1alpha1.StepState) bool {
	return len(in(steps, state)) > 0
}

func in(steps []v1alpha1.StepStatus, state v1alpha1.StepState) []string {
	var out []string
	for _, s := range steps {
		if s.State == state {
			out = append(out, s.ID)
		}
	}
	return out
}

func list(ids []string) string { return line(strings.Join(ids, ", ")) }

// line is the first line of a text, bounded.
func line(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if r := []rune(s); len(r) > maxMessage {
		return string(r[:maxMessage-1]) + "…"
	}
	return s
}
