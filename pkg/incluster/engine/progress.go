package engine

import (
	"maps"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// tell remembers a running step's newest line; the loop writes it.
func (r *run) tell(s v1alpha1.StepStatus, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress[s.ID] = line(message)
}

// sink takes the events of a node task: all go to the log, progress and
// warnings beside the step as well.
func (r *run) sink(s v1alpha1.StepStatus) report.Sink {
	return report.SinkFunc(func(e report.Event) {
		if e.Host == "" {
			e.Host = s.Node
		}
		if e.Step == "" {
			e.Step = s.ID
		}
		if e.Kind != report.StepDone && e.Kind != report.StepFailed && e.Message != "" {
			r.tell(s, e.Message)
		}
		r.Sink.Emit(e)
	})
}

// hasProgress tells whether there is a line that the status doesn't have.
func (r *run) hasProgress(op *v1alpha1.Operation) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.board == nil {
		return false
	}
	for id, m := range r.progress {
		if s := r.stepOf(op, id); s != nil && s.State == v1alpha1.StepRunning && s.Message != m {
			return true
		}
	}
	return false
}

// recordProgress puts the newest lines of running steps into the status and
// forgets those of steps that have ended.
func (r *run) recordProgress(op *v1alpha1.Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, m := range r.progress {
		if s := r.stepOf(op, id); s != nil && s.State == v1alpha1.StepRunning {
			s.Message = m
		}
	}
	maps.DeleteFunc(r.progress, func(id string, _ string) bool { return r.running[id] == nil })
}

// stepOf is a step of the Operation that the board is of; nil when there is none.
func (r *run) stepOf(op *v1alpha1.Operation, id string) *v1alpha1.StepStatus {
	i, ok := r.board.index[id]
	if !ok || i >= len(op.Status.Steps) {
		return nil
	}
	return &op.Status.Steps[i]
}
