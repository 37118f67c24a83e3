package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// Finalizer keeps an Operation that is deleted while it runs, until the
// coordinator has let the running steps finish and has cleaned up: kubeadm must
// not be killed half way by the garbage collector.
const Finalizer = v1alpha1.Group + "/coordinator"

// Config is what a coordinator needs.
type Config struct {
	Clients *client.Clients
	// LeaseClient renews the lease; nil: Clients.Kube.
	LeaseClient kubernetes.Interface
	// Operation is its name.
	Operation string
	// Identity names this coordinator, in the lease and the status: its pod's name.
	Identity string
	// Cluster is the stored Cluster document.
	Cluster *v1alpha1.Cluster
	// Definitions are the types that are known.
	Definitions map[v1alpha1.OperationType]Definition
	// Claim makes the Operation the one in progress; its error is an operations.BusyError while
	// another one is. Nil: all may run beside each other, as tests do.
	Claim func(ctx context.Context, operation string) error
	// Runner gives the way to run a task on a node as this Job.
	Runner func(Job) transport.Runner
	// Sink takes what happens, for the pod's log.
	Sink report.Sink
	// Limits say from which size on a plan is kept in parts. Zero: operations.DefaultLimits.
	Limits operations.Limits
	// Lease are the lease's times. Zero: DefaultLeaseTimes.
	Lease LeaseTimes
	// Patience is for how long nothing may be possible, since nodes are not ready that the Operation
	// has nothing to do with, before it is paused. Zero: ten minutes, in which a host restarts.
	Patience time.Duration
}

const defaultPatience = 10 * time.Minute

var (
	// errReplaced ends a coordinator whose place another one has taken.
	errReplaced = errors.New("another coordinator has taken over")
	// errGone ends a coordinator whose Operation is no longer there.
	errGone = errors.New("the operation is gone")
)

// Coordinate carries out an Operation to its end: it waits for the lease, takes
// up the Operation where it stands, and returns when the phase is final or the
// Operation is gone. How the Operation ended is in its status; an error means
// that this coordinator could not go on, and that the next one should.
func Coordinate(ctx context.Context, c Config) error {
	if c.Lease == (LeaseTimes{}) {
		c.Lease = DefaultLeaseTimes()
	}
	if c.Patience == 0 {
		c.Patience = defaultPatience
	}
	if c.LeaseClient == nil {
		c.LeaseClient = c.Clients.Kube
	}
	ops := operations.New(c.Clients.Operations)
	for {
		op, err := ops.Get(ctx, c.Operation)
		switch {
		case apierrors.IsNotFound(err):
			c.Sink.Emit(report.Event{Kind: report.Info, Message: "operation " + c.Operation + " is gone, nothing is left to do"})
			return nil
		case err == nil:
			err = underLease(ctx, c.LeaseClient, op, c.Identity, c.Lease, c.Sink, func(ctx context.Context) error {
				return newRun(c, ops).carryOut(ctx)
			})
		}
		if err == nil || ctx.Err() != nil || (!errors.Is(err, errLeaseLost) && !operations.Transient(err)) {
			return err
		}
		c.Sink.Emit(report.Event{Kind: report.Warning, Message: fmt.Sprintf("starting over: %v", err)})
		if err := pause(ctx, c.Lease.Retry); err != nil {
			return err
		}
	}
}

// takeOver makes this coordinator the one in charge, waits for the Operation's turn, and makes
// the plan when there is none. The plan is written before anything is done.
func (r *run) takeOver(ctx context.Context) error {
	_, err := r.ops.Modify(ctx, r.Operation, func(op *v1alpha1.Operation) error {
		if op.DeletionTimestamp == nil && !slices.Contains(op.Finalizers, Finalizer) {
			op.Finalizers = append(op.Finalizers, Finalizer)
		}
		return nil
	})
	if err != nil {
		return err
	}
	op, err := r.ops.ModifyStatus(ctx, r.Operation, func(op *v1alpha1.Operation) error {
		op.Status.Coordinator = r.Identity
		if op.Status.Phase == "" {
			op.Status.Phase = v1alpha1.OperationPending
		}
		if op.Status.StartedAt == nil {
			op.Status.StartedAt = now()
		}
		return nil
	})
	if err == nil {
		op, err = r.awaitTurn(ctx, op)
	}
	if err != nil || len(op.Status.Steps) > 0 || unwanted(op) {
		return err
	}
	steps, planError := r.plan(ctx, op)
	if planError != nil && ctx.Err() != nil {
		return planError
	}
	write := func(op *v1alpha1.Operation) {
		if planError != nil {
			op.Status.Phase, op.Status.FinishedAt = v1alpha1.OperationFailed, now()
			op.Status.Message = line("no plan could be made: " + planError.Error())
			return
		}
		op.Status.Steps = steps
		op.Status.Progress = operations.Progress(steps)
	}
	if _, err = r.writeStatus(ctx, write); errors.Is(err, operations.ErrNoParts) {
		planError = operations.ErrNoParts
		_, err = r.writeStatus(ctx, write)
	}
	return err
}

// awaitTurn makes the Operation the one in progress. Whoever creates one with kubectl ha has
// done so already; one that was applied as a manifest waits here, as Pending, for the one that
// is in progress: plans of two at the same time would each be made with the other's hosts in
// them. One that has done nothing, and is not wanted any more, does not wait.
func (r *run) awaitTurn(ctx context.Context, op *v1alpha1.Operation) (*v1alpha1.Operation, error) {
	for {
		if r.Claim == nil || unwanted(op) && !begun(op) {
			return op, nil
		}
		var busy *operations.BusyError
		err := r.Claim(ctx, r.Operation)
		switch {
		case err == nil:
			return op, nil
		case errors.As(err, &busy):
			if waits := line("waits for its turn: " + busy.Error()); waits != op.Status.Message {
				_, err := r.writeStatus(ctx, func(op *v1alpha1.Operation) { op.Status.Message = waits })
				if err != nil {
					return nil, err
				}
			}
		case operations.Unreachable(err) && ctx.Err() == nil:
			r.Sink.Emit(report.Event{Kind: report.Warning, Message: err.Error()})
		default:
			return nil, err
		}
		if err := pause(ctx, turnInterval*r.Lease.Retry); err != nil {
			return nil, err
		}
		now, err := r.ops.Get(ctx, r.Operation)
		switch {
		case err == nil:
			op = now
		case !operations.Unreachable(err):
			return nil, err
		}
	}
}

// turnInterval is the time between two tries to be the one in progress, in times of the lease's.
const turnInterval = 3

// pause lets a time pass between two tries; the error is why the context has ended meanwhile.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// unwanted tells whether an Operation is to end without being carried out any further.
func unwanted(op *v1alpha1.Operation) bool { return op.Spec.Aborted || op.DeletionTimestamp != nil }

// begun tells whether anything was done for an Operation.
func begun(op *v1alpha1.Operation) bool {
	return slices.ContainsFunc(op.Status.Steps, func(s v1alpha1.StepStatus) bool { return s.Attempt > 0 })
}

func (r *run) plan(ctx context.Context, op *v1alpha1.Operation) ([]v1alpha1.StepStatus, error) {
	def, ok := r.Definitions[op.Spec.Type]
	if !ok {
		return nil, fmt.Errorf("this coordinator does not know operations of type %s; use the kubectl-ha version that created it", op.Spec.Type)
	}
	for end := time.Now().Add(planWithin); ; {
		steps, err := def.Plan(ctx, r.env(op))
		switch {
		case err == nil:
			return steps, validate(steps, def)
		case !operations.Unreachable(err) || time.Now().After(end):
			return nil, err
		}
		r.Sink.Emit(report.Event{Kind: report.Warning, Message: fmt.Sprintf("planning again: %v", err)})
		if err := pause(ctx, r.Lease.Retry); err != nil {
			return nil, err
		}
	}
}

// planWithin bounds the tries to make a plan while the API does not answer; an API server
// that restarts takes less.
const planWithin = 2 * time.Minute

// validate refuses a plan that could not be carried out.
func validate(steps []v1alpha1.StepStatus, def Definition) error {
	if len(steps) == 0 {
		return errors.New("the plan is empty")
	}
	seen := map[string]bool{}
	for _, s := range steps {
		if s.ID == "" || seen[s.ID] {
			return fmt.Errorf("step id %q is empty or used twice", s.ID)
		}
		if def.Steps[kind(s.ID)] == nil {
			return fmt.Errorf("nothing carries out step %q", s.ID)
		}
		if s.State != v1alpha1.StepPending && s.State != v1alpha1.StepSkipped {
			return fmt.Errorf("step %q begins as %q", s.ID, s.State)
		}
		for _, a := range s.After {
			if v1alpha1.KindAfter(a) == "" && !seen[a] {
				return fmt.Errorf("step %q comes after %q, which is not before it in the plan", s.ID, a)
			}
		}
		seen[s.ID] = true
	}
	return nil
}

// writeStatus changes the status as long as this coordinator is in charge, and records what
// has happened by that.
func (r *run) writeStatus(ctx context.Context, change func(*v1alpha1.Operation)) (*v1alpha1.Operation, error) {
	op, err := r.ops.ModifyStatus(ctx, r.Operation, func(op *v1alpha1.Operation) error {
		if op.Status.Coordinator != r.Identity {
			return fmt.Errorf("%w: %s", errReplaced, op.Status.Coordinator)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		change(op)
		return nil
	})
	if err == nil {
		r.note(ctx, op)
	}
	return op, err
}

// release gives back what was lent for the Operation and takes the finalizer away; with it
// goes an Operation that was deleted. What can't be given back does not hold up what comes
// next: doctor names it.
func (r *run) release(ctx context.Context, op *v1alpha1.Operation) error {
	if end := r.Definitions[op.Spec.Type].End; end != nil {
		if err := end(ctx, r.env(op)); ctx.Err() != nil || operations.Transient(err) {
			return err
		} else if err != nil {
			r.Sink.Emit(report.Event{Kind: report.Warning, Message: err.Error()})
		}
	}
	_, err := r.ops.Modify(ctx, r.Operation, func(op *v1alpha1.Operation) error {
		op.Finalizers = slices.DeleteFunc(op.Finalizers, func(f string) bool { return f == Finalizer })
		return nil
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (r *run) env(op *v1alpha1.Operation) Env {
	return Env{Clients: r.Clients, Cluster: r.Cluster, Operation: op, Runner: r.Config.Runner, Unready: r.workers.Unready}
}

func now() *metav1.Time {
	t := metav1.NewTime(time.Now().UTC().Truncate(time.Second))
	return &t
}

func title(s v1alpha1.StepStatus) string {
	if s.Title != "" {
		return s.Title
	}
	return strings.ReplaceAll(s.ID, "/", " ")
}
