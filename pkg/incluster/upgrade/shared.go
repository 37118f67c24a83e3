package upgrade

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// What other Operations that take a node away use as well.

// Cordon keeps new pods from the node that the step's ID names, and notes by whom.
func Cordon(ctx context.Context, t engine.Turn) (engine.Outcome, error) { return cordon(ctx, t) }

// UncordonAll lets pods onto all nodes again that this Operation has cordoned.
func UncordonAll(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	return uncordonAll(ctx, t)
}

// Drain is a drain of one node.
type Drain struct {
	Node string
	// Time is what its pods have to leave it. Force deletes what has not left then,
	// and evicts what nothing makes again.
	Time  time.Duration
	Force bool
}

// Run drains the node, and keeps its deadline over a change of coordinators.
func (d Drain) Run(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	return engine.Func{Timeout: d.Time + forceTime + time.Minute, Do: func(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
		until := drainUntil(t.Step.StartedAt, time.Now(), d.Time)
		n, err := draining{kube: t.Clients.Kube, node: d.Node, force: d.Force, progress: t.Progress}.run(ctx, until)
		return engine.Outcome{Message: evicted(n)}, err
	}}.Run(ctx, t)
}

// Leaves tells whether a drain is about a pod: it is not the node's own, and has not
// ended.
func Leaves(p corev1.Pod) bool { return fateOf(p) != leave }
