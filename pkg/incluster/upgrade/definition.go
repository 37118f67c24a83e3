package upgrade

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/drain"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/join"
)

// Definition is the Upgrade Operation.
func Definition() engine.Definition {
	steps := map[string]engine.Step{
		stepPreflight:    engine.Func{Do: preflight, Timeout: 2 * time.Minute},
		stepContent:      task(checkContent, checked),
		stepBackup:       task(makeBackup, backedUp),
		stepFeatureGates: engine.Func{Do: removeGates, Timeout: time.Minute},
		stepOthers:       engine.Func{Do: others, Timeout: othersTimeout, Gate: true},
		stepVIPAway:      task(drainVIP(true), saying("it is elsewhere")),
		stepCordon:       engine.Func{Do: drain.Cordon, Timeout: time.Minute},
		stepDrain:        drain.Step{Of: drainOf},
		stepApply:        elsewhere{task(upgradeControlPlane(true), upgraded)},
		stepControlPlane: elsewhere{task(upgradeControlPlane(false), upgraded)},
		stepKubelet:      elsewhere{task(upgradeKubelet, upgraded)},
		stepGate:         engine.Func{Do: gate, Timeout: gateTimeout, Gate: true},
		stepHolders:      engine.Func{Do: oneHolder, Timeout: holdersTimeout},
		stepVIPBack:      task(drainVIP(false), saying("it may come back")),
		stepWorkers:      engine.Func{Do: begun, Timeout: othersTimeout, Gate: true},
		stepUncordon:     engine.Func{Do: drain.Uncordon, Timeout: time.Minute},
		stepRecord:       engine.Func{Do: record, Timeout: time.Minute},
		stepReport:       engine.Func{Do: sumUp, Timeout: time.Minute},
		stepUncordoned:   engine.Func{Do: uncordonAll, Timeout: 2 * time.Minute},
		stepSettle:       settle{},
		stepVIPRestore:   restoreVIP{},
	}
	maps.Copy(steps, join.Settings())
	return engine.Definition{
		Plan: func(ctx context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			o, err := Observe(ctx, env.Clients, env.Cluster, Look{Inside: true})
			if err != nil {
				return nil, err
			}
			return Plan(env.Operation, env.Cluster, o)
		},
		Steps:  steps,
		Opens:  stepWorkers,
		AtOnce: looksAtOnce,
	}
}

// looksAtOnce is how many nodes are looked at at the same time before anything is done. Each is a Job,
// and a pod.
const looksAtOnce = 100

// drainOf is the drain of the step's node.
func drainOf(t engine.Turn) drain.Drain {
	spec := t.Operation.Spec.Upgrade
	return drain.Drain{Node: t.About(), Time: spec.DrainTime(), Force: spec.ForceDrain, DeleteEmptyDirData: spec.DeletesEmptyDirData()}
}

// elsewhere is a task that has the virtual IP moved away again when it is begun anew: a
// host that was rebooted in its turn takes part in the virtual IP again, and its
// apiserver must not be restarted while it has it. On control planes it is told as well
// how often the API answered meanwhile.
type elsewhere struct{ engine.NodeTask }

// Run runs both tasks, each as a Job of its own.
func (e elsewhere) Run(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	h, ok := t.Cluster.Host(t.Step.Node)
	if !ok || !h.Has(v1alpha1.RoleControlPlane) {
		return e.NodeTask.Run(ctx, t)
	}
	if t.Step.Attempt > 1 && t.Cluster.MovesVirtualIP() {
		again := t
		again.Step.Job = engine.JobName(t.Operation.Name, t.Step.ID+"/"+stepVIPAway, t.Step.Attempt)
		if _, err := task(drainVIP(true), nil).Run(ctx, again); err != nil {
			return engine.Outcome{}, err
		}
	}
	if t.Cluster.EndpointIsLocal() {
		// It is another one on each host, and says nothing of the cluster.
		return e.NodeTask.Run(ctx, t)
	}
	end, err := probe(ctx, t.Clients.Config, t.Cluster.Endpoint())
	if err != nil {
		return engine.Outcome{}, err
	}
	out, err := e.NodeTask.Run(ctx, t)
	if seen := end(); err == nil {
		out.Message = strings.TrimPrefix(out.Message+"; "+seen.String(), "; ")
	}
	return out, err
}

// restoreVIP lets a control plane have the virtual IP again when a turn has ended
// between the step that moved it away and the one that takes that back. A task on
// every control plane, at the end of each upgrade, would be for nothing.
type restoreVIP struct{}

// restoreTime bounds the wait for a node that may have been lost in its turn; a
// host that boots takes part again by itself.
const restoreTime = 2 * time.Minute

// Run runs the task, or says that nothing is to be done.
func (restoreVIP) Run(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	state := map[string]v1alpha1.StepStatus{}
	for _, s := range t.Operation.Status.Steps {
		state[s.ID] = s
	}
	away, back := state[id(stepVIPAway, t.Step.Node)], state[id(stepVIPBack, t.Step.Node)]
	if away.Attempt == 0 || back.State == v1alpha1.StepSucceeded {
		return engine.Outcome{Message: "it may"}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, restoreTime)
	defer cancel()
	return task(drainVIP(false), saying("it may again")).Run(ctx, t)
}
