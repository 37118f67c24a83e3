package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// Definition is one type of Operation. A new type is one more Definition in
// the registry of whoever calls Coordinate.
type Definition struct {
	// Plan observes the cluster and says which steps there are, in an order in
	// which they could run one by one. It is asked once for each Operation and must
	// change nothing. Steps are Pending or, with a message, Skipped.
	Plan func(ctx context.Context, env Env) ([]v1alpha1.StepStatus, error)
	// Steps carry out the plan's steps, by the part of their ID before the slash:
	// promote/cp2 is carried out by Steps["promote"].
	Steps map[string]Step
	// Opens is the kind of steps that open turns of nodes: what comes directly after such a step, and
	// is about a node, is the first step of that node's turn, and what comes after that is of it too.
	// No more turns begin than the step's Turns allow. Empty: there are none.
	Opens string
	// AtOnce bounds the steps of no turn that run at the same time. Zero: no bound.
	AtOnce int
	// End, if set, gives back what was lent for an Operation. It is called in every end, also
	// of one without a plan, before the Operation may go, and may be called again.
	End func(ctx context.Context, env Env) error
}

// Step carries out the steps of one kind. Run returns when the step has ended.
// It must be idempotent: after a coordinator's death the next one runs the same
// attempt again.
//
// A Step may have more powers: Retrier, Interruptible, Abortable and JobKeeper.
type Step interface {
	Run(ctx context.Context, turn Turn) (Outcome, error)
}

// Retrier is a Step that is tried again by itself when an attempt was lost
// together with its node (see Lost). Retries is the number of further attempts.
type Retrier interface{ Retries() int }

// Interruptible is a Step that only waits: when the Operation is aborted or
// another step fails it is ended at once instead of being waited for.
type Interruptible interface{ Interruptible() bool }

// Abortable is a Step that may be ended in its middle when the Operation is
// aborted, instead of being waited for, since nothing is left half done by it.
type Abortable interface{ Abortable() bool }

// JobKeeper is a Step whose Job may be asked again for what its task has answered, after it has ended
// well. Other Jobs go then.
type JobKeeper interface{ KeepsJob() bool }

// Lost is an error of an attempt of which nobody knows how it ended: its node
// or its pod went away. Errors are asked by errors.As.
type Lost interface {
	error
	Lost() bool
}

// Outcome is how a step ended well.
type Outcome struct {
	// Message is one line for people; empty for none.
	Message string
}

// Env is what plans and steps work with.
type Env struct {
	Clients *client.Clients
	// Cluster is the stored Cluster document.
	Cluster *v1alpha1.Cluster
	// Operation is the state when the step began.
	Operation *v1alpha1.Operation
	// Runner gives the way to run a task on a node as this Job.
	Runner func(Job) transport.Runner
	// Unready are the workers that are not ready, with the reason; nil while that is not known. It is
	// set for plans with turns of nodes.
	Unready func() map[string]string
}

// Job is the identity of a node task: whoever asks for the same again gets the
// result of the first.
type Job struct {
	// Name is the Job's name in ha-system.
	Name string
	// Owner is the Operation.
	Owner metav1.OwnerReference
	// LostAfter is for how long its node may not have been heard of before it
	// counts as lost. Zero: until its own deadline.
	LostAfter time.Duration
}

// Turn is one attempt of a step.
type Turn struct {
	Env
	// Step is the step's status when the attempt began.
	Step v1alpha1.StepStatus
	// Progress shows one line for people beside the step.
	Progress func(format string, args ...any)
	// Sink takes the events of a node task.
	Sink report.Sink
}

// About is what the step's ID names after the slash: in steps of the coordinator
// itself that are about one node, its name.
func (t Turn) About() string {
	_, name, _ := strings.Cut(t.Step.ID, "/")
	return name
}

// Func is a Step of the coordinator itself. Do reads what is there before it
// changes anything, since it is done again from its beginning when the API can't
// be reached in the middle, or when somebody else wrote at the same time.
type Func struct {
	// Timeout bounds one attempt. Zero: ten minutes.
	Timeout time.Duration
	// Gate is true when it only waits and reads.
	Gate bool
	Do   func(ctx context.Context, turn Turn) (Outcome, error)
}

// Run calls Do, over again when the API could not be reached.
func (f Func) Run(ctx context.Context, turn Turn) (Outcome, error) {
	timeout := f.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not done within %s", timeout))
	defer cancel()
	return again(ctx, func() (Outcome, error) { return f.Do(ctx, turn) })
}

// Interruptible is true for gates.
func (f Func) Interruptible() bool { return f.Gate }

const (
	defaultTimeout = 10 * time.Minute
	againInterval  = time.Second
)

// again does what begins with a look at the cluster once more when the API
// could not be reached, is about to start, or somebody else was faster, until the
// context ends.
func again[T any](ctx context.Context, do func() (T, error)) (T, error) {
	var patience operations.Patience
	for {
		v, err := do()
		if !operations.Unreachable(err) && !operations.Overtaken(err) && !patience.Bears(err, time.Now()) {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(againInterval):
		}
	}
}

// kind is the part of a step's ID before the slash.
func kind(id string) string {
	k, _, _ := strings.Cut(id, "/")
	return k
}
