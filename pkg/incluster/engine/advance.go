package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// advance writes what happened and what is to happen next, in one write, and
// then starts it: the intent is in the status before anything is done.
func (r *run) advance(ctx context.Context) (*v1alpha1.Operation, decision, error) {
	var d decision
	lost := false
	op, err := r.writeStatus(ctx, func(op *v1alpha1.Operation) {
		if op.Status.Phase == v1alpha1.OperationFailed && len(op.Status.Steps) == 0 {
			return // There was no plan; it has ended.
		}
		if lost = len(op.Status.Steps) == 0 && !unwanted(op); lost {
			return
		}
		r.boardOf(op)
		for _, e := range r.unwritten {
			r.record(op, e)
		}
		if r.tells {
			r.recordProgress(op)
		}
		if r.board.retries(op) {
			op.Status = operations.Retry(op.Status)
			r.board = newBoard(op.Status.Steps, r.opens(op))
			clear(r.lost) // Whoever resumes has repaired what made attempts be lost.
		}
		d = r.board.decide(op, surroundings{unready: r.lookAround(ctx), atOnce: r.Definitions[op.Spec.Type].AtOnce})
		r.intend(op, d)
	})
	if err == nil && lost {
		err = errNoPlan
	}
	if err != nil || r.board == nil {
		return op, d, err
	}
	r.kept, r.tells = true, false
	r.dropJobs(ctx, op, r.unwritten)
	r.unwritten = nil
	for _, id := range d.interrupt {
		if r.running[id] != nil && interruptible(r.step(op, id), op) {
			r.running[id]()
		}
	}
	for _, i := range r.board.running {
		if s := op.Status.Steps[i]; r.running[s.ID] == nil {
			r.start(ctx, op, s)
		}
	}
	r.bear(&d, time.Now())
	return op, d, nil
}

// boardOf has the board be that of the Operation as it was read. That of an Operation in parts is
// kept from one time to the next, since nobody else writes them: it is made anew when something of
// the last time was not written.
func (r *run) boardOf(op *v1alpha1.Operation) {
	if r.board == nil || !r.kept || op.Status.Parts == 0 || len(r.board.places) != len(op.Status.Steps) {
		r.board = newBoard(op.Status.Steps, r.opens(op))
	}
	r.kept = false
}

func (r *run) opens(op *v1alpha1.Operation) string { return r.Definitions[op.Spec.Type].Opens }

// lookAround is which workers are not ready. Nobody watches them for a plan without turns of nodes.
func (r *run) lookAround(ctx context.Context) map[string]string {
	if r.workers == nil && len(r.board.turns) > 0 {
		r.workers = watchWorkers(ctx, r.Clients.Kube, r.Cluster, r.Sink)
	}
	return r.workers.Unready()
}

// bear has what was waited for for too long be a matter for a person.
func (r *run) bear(d *decision, now time.Time) {
	switch {
	case !d.waits:
		r.waiting = time.Time{}
	case r.waiting.IsZero():
		r.waiting = now
	case now.Sub(r.waiting) >= r.Patience:
		d.pause, r.waiting = true, time.Time{}
	}
}

// pause has the Operation paused, as a person would: whoever takes over finds it so, and resume goes on.
func (r *run) pause(ctx context.Context) error {
	_, err := r.ops.Modify(ctx, r.Operation, func(op *v1alpha1.Operation) error {
		op.Spec.Paused = !unwanted(op)
		return nil
	})
	return err
}

// interruptible tells whether a running step is to be ended.
func interruptible(s Step, op *v1alpha1.Operation) bool {
	if i, ok := s.(Interruptible); ok && i.Interruptible() {
		return true
	}
	a, ok := s.(Abortable)
	return ok && a.Abortable() && unwanted(op)
}

// intend puts a decision into the status.
func (r *run) intend(op *v1alpha1.Operation, d decision) {
	for _, id := range d.start {
		i := r.board.index[id]
		s := &op.Status.Steps[i]
		begin(op.Name, s)
		s.Message = ""
		r.board.told(i, s.State)
	}
	op.Status.Phase, op.Status.Message = d.phase, d.message
	op.Status.Progress = operations.Done(r.board.done(), len(op.Status.Steps))
	switch {
	case !d.phase.Final():
		op.Status.FinishedAt = nil
	case op.Status.FinishedAt == nil:
		op.Status.FinishedAt = now()
	}
}

// begin makes a step's next attempt the running one.
func begin(operation string, s *v1alpha1.StepStatus) {
	s.State, s.StartedAt, s.FinishedAt = v1alpha1.StepRunning, now(), nil
	s.Attempt++
	if s.Node != "" {
		s.Job = JobName(operation, s.ID, s.Attempt)
	}
}

// record puts into the status how an attempt ended. An ending of another
// attempt than the status knows is of no interest.
func (r *run) record(op *v1alpha1.Operation, e ending) {
	i, ok := r.board.index[e.id]
	if !ok || op.Status.Steps[i].State != v1alpha1.StepRunning || op.Status.Steps[i].Attempt != e.attempt {
		return
	}
	s := &op.Status.Steps[i]
	switch {
	case e.err == nil:
		s.State, s.FinishedAt, s.Message = v1alpha1.StepSucceeded, now(), e.outcome.Message
	case e.interrupted:
		s.State, s.FinishedAt, s.Message = v1alpha1.StepSkipped, now(), "not waited for any longer"
	case r.retry(op, e):
		begin(op.Name, s)
		s.Message = fmt.Sprintf("attempt %d, since the last one was lost: %v", s.Attempt, e.err)
	default:
		s.State, s.FinishedAt, s.Message = v1alpha1.StepFailed, now(), e.err.Error()
	}
	r.board.told(i, s.State)
}
