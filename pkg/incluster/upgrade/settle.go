package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/drain"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/upgrade"
)

// settle has each node that a turn was begun on and not brought to its end come to rest: what is
// well at the new version is disarmed, so that no boot takes it back. What is not well waits for
// who goes on with the Operation, and is taken back once it is aborted. It is one step for all
// nodes: a step for each would be for nothing nearly always.
type settle struct{}

// settling finds the nodes whose turn has begun and not ended. It is pure.
func settling(steps []v1alpha1.StepStatus) []string {
	var out []string
	for _, s := range steps {
		kind, _, _ := strings.Cut(s.ID, "/")
		if slices.Contains([]string{stepApply, stepControlPlane, stepKubelet, stepRollback}, kind) &&
			s.Attempt > 0 && s.State != v1alpha1.StepSucceeded && !slices.Contains(out, s.Node) {
			out = append(out, s.Node)
		}
	}
	return out
}

// Run runs the task on all of them at the same time, with one bound. One that can't be reached does not
// keep the others from it: a boot takes back what is on it.
func (settle) Run(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	found := settling(t.Operation.Status.Steps)
	if len(found) == 0 {
		return engine.Outcome{Message: "no node was left in the middle"}, nil
	}
	aborted := givenUp(t.Operation)
	ctx, cancel := context.WithTimeout(ctx, upgrade.SettleTimeout+restoreTime)
	defer cancel()
	said, wrong := make([]string, len(found)), make([]error, len(found))
	var all sync.WaitGroup
	for i, name := range found {
		one := t
		one.Step.Node, one.Step.Job = name, engine.JobName(t.Operation.Name, t.Step.ID+"/"+name, t.Step.Attempt)
		all.Go(func() {
			out, err := task(settleOn(name, aborted), atRest).Run(ctx, one)
			if err != nil {
				wrong[i] = fmt.Errorf("%s: %w", name, err)
				return
			}
			said[i] = name + ": " + out.Message
		})
	}
	all.Wait()
	said = slices.DeleteFunc(said, func(s string) bool { return s == "" })
	return engine.Outcome{Message: strings.Join(said, "; ")}, errors.Join(wrong...)
}

func givenUp(op *v1alpha1.Operation) bool { return op.Spec.Aborted || op.DeletionTimestamp != nil }

// uncordonAll lets pods onto the nodes again that this Operation kept them from. A worker that failed where
// some may stays as it is, for whoever goes on with the Operation: nobody knows how it is (ADR 46).
func uncordonAll(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	var stay []string
	if !givenUp(t.Operation) {
		stay = failedTurns(t.Operation.Status.Steps)
	}
	out, err := drain.UncordonAllBut(ctx, t, stay)
	if len(stay) > 0 && err == nil {
		out.Message += "; cordoned until resume or abort, since they failed: " + strings.Join(stay[:min(len(stay), mostTold)], ", ")
		if n := len(stay) - mostTold; n > 0 {
			out.Message += fmt.Sprintf(" and %d more", n)
		}
	}
	return out, err
}

// failedTurns are the workers that have failed in a plan that lets some fail. It is pure.
func failedTurns(steps []v1alpha1.StepStatus) []string {
	open, worker := map[string]bool{}, map[string]bool{}
	var out []string
	for _, s := range steps {
		_, node, _ := strings.Cut(s.ID, "/")
		switch {
		case s.Turns != nil:
			open[s.ID] = s.Turns.MaxFailures > 0
		case slices.ContainsFunc(s.After, func(a string) bool { return open[a] }):
			worker[node] = true
		}
		if s.State == v1alpha1.StepFailed && s.Turns == nil && !s.Cleanup && worker[node] {
			out = append(out, node)
		}
	}
	return out
}

func settleOn(name string, aborted bool) func(context.Context, engine.Turn) (node.Request, error) {
	return func(_ context.Context, t engine.Turn) (node.Request, error) {
		spec := upgrade.SettleSpec{TakeBack: aborted}
		if h, ok := t.Cluster.Host(name); ok && h.Has(v1alpha1.RoleControlPlane) {
			spec.LocalEndpoint = t.Cluster.APIServerURL(h.Address)
		}
		return request(tasks.UpgradeSettle, upgrade.SettleTimeout, spec)
	}
}

// atRest says what became of a node.
func atRest(r node.Result) string {
	var d upgrade.SettleData
	if json.Unmarshal(r.Data, &d) != nil {
		return "" // Only the data got lost on its way, not the result.
	}
	var said []string
	for _, part := range []struct {
		names []string
		what  string
	}{{d.Standing, "stays at the new version"}, {d.TakenBack, "is what it was before"}, {d.Armed, "is gone on with by resume, or taken back by abort or a boot"}} {
		if len(part.names) > 0 {
			said = append(said, strings.Join(part.names, " and ")+" "+part.what)
		}
	}
	if len(said) == 0 {
		return "nothing was begun"
	}
	return strings.Join(said, ", ")
}
