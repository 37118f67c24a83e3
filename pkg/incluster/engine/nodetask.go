package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
)

// NodeTask is a Step that runs a task on the step's node.
type NodeTask struct {
	// Request makes the request; its Cluster and Step are filled in. It is called
	// again when a second coordinator takes the step over, or when the API could
	// not be reached.
	Request func(ctx context.Context, turn Turn) (node.Request, error)
	// LostRetries is how often the task is begun anew after an attempt that was
	// lost with its node. Zero for a task that a person should look at first.
	LostRetries int
	// LostAfter is for how long the node may not have been heard of before the
	// attempt counts as lost: for tasks that take longer than anybody would wait
	// for a dead node. Zero: until the task's own deadline.
	LostAfter time.Duration
	// MayAbort says that the task may be ended in its middle when the Operation is
	// aborted; its Job is then removed.
	MayAbort bool
	// KeepJob keeps the Job when the task has ended well: other steps ask it for the answer.
	KeepJob bool
	// Message makes a line for people of a task's result. Default: how many
	// changes there were.
	Message func(node.Result) string
	// Judge says what in the result of a task that only looks is not as it has to be, with what to
	// do about it: that fails the step. nil: whatever is seen is right.
	Judge func(context.Context, Turn, node.Result) error
}

// Retries is LostRetries.
func (n NodeTask) Retries() int { return n.LostRetries }

// Abortable is MayAbort.
func (n NodeTask) Abortable() bool { return n.MayAbort }

// KeepsJob is KeepJob.
func (n NodeTask) KeepsJob() bool { return n.KeepJob }

// Run runs the task as the step's Job, or awaits the Job when it is there
// already. A failed task's error has the short message first, then what to do
// next, then the end of the command's output.
func (n NodeTask) Run(ctx context.Context, turn Turn) (Outcome, error) {
	req, err := again(ctx, func() (node.Request, error) { return n.Request(ctx, turn) })
	if err != nil {
		return Outcome{}, err
	}
	req.Cluster, req.Step = turn.Cluster.Metadata.Name, turn.Step.ID
	runner := turn.Runner(Job{Name: turn.Step.Job, Owner: operations.Owner(turn.Operation), LostAfter: n.LostAfter})
	result, err := runner.Run(ctx, turn.Step.Node, req, turn.Sink)
	if errors.Is(context.Cause(ctx), errInterrupted) {
		return Outcome{}, errors.Join(err, removeJob(context.WithoutCancel(ctx), turn.Clients.Kube, turn.Step))
	}
	if err != nil {
		return Outcome{}, err
	}
	if result.Failure != nil {
		return Outcome{}, &TaskError{Node: turn.Step.Node, Failure: *result.Failure}
	}
	if n.Judge != nil {
		if err := n.Judge(ctx, turn, result); err != nil {
			return Outcome{}, err
		}
	}
	if n.Message != nil {
		return Outcome{Message: n.Message(result)}, nil
	}
	switch len(result.Changes) {
	case 0:
		return Outcome{Message: "nothing to change"}, nil
	case 1:
		return Outcome{Message: "1 change"}, nil
	}
	return Outcome{Message: fmt.Sprintf("%d changes", len(result.Changes))}, nil
}

// TaskError is a task that ran and failed.
type TaskError struct {
	Node    string
	Failure node.Failure
}

// Error is the text kept in the step's status.
func (e *TaskError) Error() string { return operations.FailureText(e.Node, e.Failure) }
