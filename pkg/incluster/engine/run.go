package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// progressInterval is how often at most the progress of running steps is written.
const progressInterval = 2 * time.Second

// errInterrupted ends a step that nobody needs any more.
var errInterrupted = errors.New("not waited for any longer")

// errNoPlan is where nothing is known of what was done: it is not over for that.
var errNoPlan = errors.New("the operation has lost its plan: an earlier version of its resource is installed; install this one's with kubectl ha bootstrap or kubectl ha adopt, delete the operation, and begin it anew")

// run is one coordinator's work on one Operation, while it has the lease. Its
// loop alone reads and writes the fields; the steps' goroutines send to ended.
type run struct {
	Config
	ops *operations.Client
	// running are the steps that have a goroutine here.
	running map[string]context.CancelFunc
	// lost are a step's attempts that were lost. A set, since one ending may be
	// recorded more than once when a write has to be repeated.
	lost  map[string][]int32
	ended chan ending
	// unwritten are endings that are not in the status yet.
	unwritten []ending
	// noted is the status of which all Events are made; unsent are those that are not recorded
	// yet, stepEvents counts the failed steps.
	noted      v1alpha1.OperationStatus
	unsent     []*eventsv1.Event
	stepEvents int
	wait       sync.WaitGroup

	mu       sync.Mutex
	progress map[string]string
}

// ending is how one attempt of a step ended.
type ending struct {
	id          string
	attempt     int32
	outcome     Outcome
	err         error
	interrupted bool
}

func newRun(c Config, ops *operations.Client) *run {
	return &run{
		Config: c, ops: ops.Coordinators(c.Limits),
		running: map[string]context.CancelFunc{}, lost: map[string][]int32{},
		ended: make(chan ending), progress: map[string]string{},
	}
}

// carryOut takes the Operation up where it stands and carries it to its end.
func (r *run) carryOut(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	// The steps end before the lease is given back.
	defer r.wait.Wait()
	defer cancel(errors.New("the coordinator stops"))
	op, err := r.ops.Get(ctx, r.Operation)
	if err == nil && over(op) {
		return r.release(ctx, op)
	}
	if err == nil {
		r.noted = op.Status
		err = r.takeOver(ctx)
	}
	looks := r.ops.FollowHead(ctx, r.Operation)
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for err == nil {
		if op, err = r.advance(ctx); err != nil {
			break
		}
		if op.Status.Phase.Final() {
			r.Sink.Emit(report.Event{Kind: report.Info, Message: fmt.Sprintf("%s: %s", op.Status.Phase, op.Status.Message)})
			err = r.release(ctx, op)
			r.sendEvents(ctx)
			return err
		}
		err = r.sleep(ctx, looks, tick.C, op)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errGone) || apierrors.IsNotFound(err): // not of its parts, see there
		r.Sink.Emit(report.Event{Kind: report.Warning, Message: "operation " + r.Operation + " was removed, nothing more is started for it"})
		return nil
	}
	return err
}

// over tells whether nothing is left to be done with an Operation: an earlier
// coordinator has brought it to its end. A failed one can still be aborted.
func over(op *v1alpha1.Operation) bool {
	if op.Status.Phase == v1alpha1.OperationFailed {
		return !unwanted(op)
	}
	return op.Status.Phase.Final()
}

// sleep returns when there is something to do: a step ended, the Operation
// changed, or there is progress to be written.
func (r *run) sleep(ctx context.Context, looks <-chan operations.Look, tick <-chan time.Time, last *v1alpha1.Operation) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e := <-r.ended:
			delete(r.running, e.id)
			r.unwritten = append(r.unwritten, e)
			return nil
		case look := <-looks:
			if look.Deleted {
				return errGone
			}
			if look.Operation != nil && look.Operation.ResourceVersion != last.ResourceVersion {
				return nil
			}
		case <-tick:
			if r.hasProgress(last) {
				return nil
			}
		}
	}
}

// advance writes what happened and what is to happen next, in one write, and
// then starts it: the intent is in the status before anything is done.
func (r *run) advance(ctx context.Context) (*v1alpha1.Operation, error) {
	var d decision
	lost := false
	op, err := r.writeStatus(ctx, func(op *v1alpha1.Operation) {
		if op.Status.Phase == v1alpha1.OperationFailed && len(op.Status.Steps) == 0 {
			return // There was no plan; it has ended.
		}
		if lost = len(op.Status.Steps) == 0 && !unwanted(op); lost {
			return
		}
		for _, e := range r.unwritten {
			r.record(op, e)
		}
		r.recordProgress(op)
		d = decide(op)
		r.intend(op, d)
	})
	if err == nil && lost {
		err = errNoPlan
	}
	if err != nil {
		return nil, err
	}
	r.unwritten = nil
	for _, id := range d.interrupt {
		if r.running[id] != nil && interruptible(r.step(op, id), op) {
			r.running[id]()
		}
	}
	for _, s := range op.Status.Steps {
		if s.State == v1alpha1.StepRunning && r.running[s.ID] == nil {
			r.start(ctx, op, s)
		}
	}
	return op, nil
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
	for i := range op.Status.Steps {
		s := &op.Status.Steps[i]
		if slices.Contains(d.start, s.ID) {
			begin(op.Name, s)
			s.Message = ""
		}
	}
	op.Status.Phase, op.Status.Message = d.phase, d.message
	op.Status.Progress = operations.Progress(op.Status.Steps)
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
	i := slices.IndexFunc(op.Status.Steps, func(s v1alpha1.StepStatus) bool { return s.ID == e.id })
	if i < 0 || op.Status.Steps[i].State != v1alpha1.StepRunning || op.Status.Steps[i].Attempt != e.attempt {
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
}

// retry tells whether an attempt was lost and the step is to be tried again.
func (r *run) retry(op *v1alpha1.Operation, e ending) bool {
	var lost Lost
	retrier, ok := r.step(op, e.id).(Retrier)
	if !ok || !errors.As(e.err, &lost) || !lost.Lost() {
		return false
	}
	if !slices.Contains(r.lost[e.id], e.attempt) {
		r.lost[e.id] = append(r.lost[e.id], e.attempt)
	}
	return len(r.lost[e.id]) <= retrier.Retries()
}

func (r *run) step(op *v1alpha1.Operation, id string) Step {
	return r.Definitions[op.Spec.Type].Steps[kind(id)]
}

// start runs an attempt in a goroutine of its own.
func (r *run) start(ctx context.Context, op *v1alpha1.Operation, s v1alpha1.StepStatus) {
	stepContext, cancel := context.WithCancelCause(ctx)
	r.running[s.ID] = func() { cancel(errInterrupted) }
	turn := Turn{
		Env: r.env(op), Step: s, Sink: r.sink(s),
		Progress: func(format string, args ...any) { r.tell(s, fmt.Sprintf(format, args...)) },
	}
	r.Sink.Emit(report.Event{Time: time.Now(), Kind: report.StepStarted, Host: s.Node, Step: s.ID, Title: title(s)})
	step := r.step(op, s.ID)
	r.wait.Go(func() {
		defer cancel(nil)
		e := ending{id: s.ID, attempt: s.Attempt}
		if step == nil {
			e.err = fmt.Errorf("this coordinator does not know the step %s; use the kubectl-ha version that created the operation", s.ID)
		} else {
			e.outcome, e.err = step.Run(stepContext, turn)
		}
		e.interrupted = errors.Is(context.Cause(stepContext), errInterrupted)
		r.emitEnd(s, e)
		select {
		case r.ended <- e:
		case <-ctx.Done():
		}
	})
}

func (r *run) emitEnd(s v1alpha1.StepStatus, e ending) {
	event := report.Event{Time: time.Now(), Kind: report.StepDone, Host: s.Node, Step: s.ID, Title: title(s), Message: e.outcome.Message}
	if e.err != nil {
		event.Kind, event.Error = report.StepFailed, e.err.Error()
	}
	r.Sink.Emit(event)
}
