// Package operations finds the Operation that a person means, shows what it does, and has it
// pause, go on or end.
package operations

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Options say which Operation is told what to do.
type Options struct {
	Config *rest.Config
	// Name is the Operation's.
	Name string
	// Source has this program's agent; nil is one of its own.
	Source *agents.Source
}

// Pause stops an Operation before its next step. Running steps finish.
func Pause(ctx context.Context, o Options) error {
	ops, err := incluster.NewOperations(o.Config, nil)
	if err != nil {
		return err
	}
	return action.OfCluster(ops.Pause(ctx, o.Name))
}

// Resume carries a paused or failed Operation on. One that has failed may be waiting for a
// mended agent, and is given this program's; one in progress has the nodes for itself, and keeps
// the agents that it has.
func Resume(ctx context.Context, o Options, sink report.Sink) error {
	source, err := agents.Or(o.Source)
	if err != nil {
		return err
	}
	ops, err := usual(ctx, o.Config, source)
	if err != nil {
		return err
	}
	op, err := ops.Get(ctx, o.Name)
	if err != nil {
		return action.OfCluster(err)
	}
	if takesOwnAgent(*op) {
		own, err := source.Ensure(ctx, o.Config, sink)
		if err != nil {
			return err
		}
		ops = ops.WithAgents(own)
	}
	return action.OfCluster(ops.Resume(ctx, o.Name))
}

// takesOwnAgent tells whether an Operation that is resumed is given this program's agent. One
// that is refused anyway needs none. It is pure.
func takesOwnAgent(op v1alpha1.Operation) bool {
	return op.Status.Phase == v1alpha1.OperationFailed && !op.Spec.Aborted
}

// Abort ends an Operation for good: running steps finish, the clean-up runs.
func Abort(ctx context.Context, o Options) error {
	source, err := agents.Or(o.Source)
	if err != nil {
		return err
	}
	ops, err := usual(ctx, o.Config, source)
	if err != nil {
		return err
	}
	return action.OfCluster(ops.Abort(ctx, o.Name))
}

// usual are the verbs with the agents that most nodes have: a coordinator may have to be started.
func usual(ctx context.Context, config *rest.Config, source *agents.Source) (*incluster.Operations, error) {
	all, err := source.Usual(ctx, config)
	if err != nil {
		return nil, err
	}
	return incluster.NewOperations(config, all)
}

// Find finds the Operation of that name; without a name the one that runs, else the latest.
// That there is none is an action.Invalid.
func Find(ctx context.Context, ops *incluster.Operations, name string) (*v1alpha1.Operation, error) {
	if name != "" {
		op, err := ops.Get(ctx, name)
		return op, action.OfCluster(err)
	}
	all, err := ops.List(ctx)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	return meant(all)
}

// meant is the Operation that a person means who gives no name. All are the oldest first. It is pure.
func meant(all []v1alpha1.Operation) (*v1alpha1.Operation, error) {
	if len(all) == 0 {
		return nil, action.Invalidf("no Operations found in this cluster")
	}
	for i := len(all) - 1; i >= 0; i-- {
		if operations.Unfinished(all[i]) {
			return &all[i], nil
		}
	}
	return &all[len(all)-1], nil
}

// Verbs are those of incluster.Operations that Watch needs.
type Verbs interface {
	Get(ctx context.Context, name string) (*v1alpha1.Operation, error)
	Watch(ctx context.Context, name string, sink report.Sink) error
}

// Watch shows an Operation until it ends; nil is that it succeeded. The error of one that has
// failed says what can be put back. When the context ends the Operation goes on without being
// watched.
func Watch(ctx context.Context, ops Verbs, name string, sink report.Sink) error {
	err := ops.Watch(ctx, name, sink)
	var failed *incluster.FailedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failed) && failed.Phase == v1alpha1.OperationFailed:
		op, unread := ops.Get(ctx, name)
		if unread != nil {
			return err // It only is one hint less.
		}
		if node := toPutBack(*op); node != "" {
			err = fmt.Errorf("%w\nor abort it, and roll the node back with %s upgrade rollback-node %s", err, program.Name, node)
		}
		return err
	case failed != nil || ctx.Err() != nil:
		return err
	}
	return action.OfCluster(err)
}

// toPutBack is the node whose upgrade has failed; empty when none has. It is pure.
func toPutBack(op v1alpha1.Operation) string {
	if op.Spec.Upgrade == nil {
		return ""
	}
	for _, s := range op.Status.Steps {
		if node, touched := upgrade.Touched(s); touched && s.State == v1alpha1.StepFailed {
			return node
		}
	}
	return ""
}
