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
	// tells says that the next write has the running steps' newest lines in it: with many nodes at work
	// each write would change many parts for nothing else.
	tells bool
	// board is what was last decided on, see boardOf; kept says that all of it was written.
	board *board
	kept  bool
	// workers are watched while a plan has turns of nodes; nil before.
	workers *workers
	// waiting is since when nothing could be done for what may come by itself.
	waiting time.Time
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
		var d decision
		if op, d, err = r.advance(ctx); err != nil {
			break
		}
		if d.pause {
			if err = r.pause(ctx); err == nil {
				continue
			}
			break
		}
		if op.Status.Phase.Final() {
			r.Sink.Emit(report.Event{Kind: report.Info, Message: fmt.Sprintf("%s: %s", op.Status.Phase, op.Status.Message)})
			r.wait.Wait() // for the last Jobs to go
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
// changed, a node is ready or no more, what was waited for has not come, or there is progress to be
// written.
func (r *run) sleep(ctx context.Context, looks <-chan operations.Look, tick <-chan time.Time, last *v1alpha1.Operation) error {
	var changed <-chan struct{}
	if r.workers != nil {
		changed = r.workers.changed
	}
	var late <-chan time.Time
	if !r.waiting.IsZero() {
		timer := time.NewTimer(time.Until(r.waiting.Add(r.Patience)))
		defer timer.Stop()
		late = timer.C
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
			return nil
		case <-late:
			return nil
		case e := <-r.ended:
			r.took(e)
			r.takeWaiting()
			return nil
		case look := <-looks:
			if look.Deleted {
				return errGone
			}
			if look.Operation != nil && look.Operation.ResourceVersion != last.ResourceVersion {
				return nil
			}
		case <-tick:
			if r.tells = r.hasProgress(last); r.tells {
				return nil
			}
		}
	}
}

func (r *run) took(e ending) {
	delete(r.running, e.id)
	r.unwritten = append(r.unwritten, e)
}

// takeWaiting takes the endings that have come already: one write is for all of them.
func (r *run) takeWaiting() {
	for {
		select {
		case e := <-r.ended:
			r.took(e)
		default:
			return
		}
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
