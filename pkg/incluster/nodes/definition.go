package nodes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/drain"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/join"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/loadbalancer"
)

// AddDefinition is the AddNode Operation. The stored Cluster document has the new hosts
// when it is created.
func AddDefinition() engine.Definition {
	return engine.Definition{
		Plan: func(ctx context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			if env.Operation.Spec.AddNode == nil {
				return nil, fmt.Errorf("operation %s has no spec.addNode", env.Operation.Name)
			}
			o, err := Observe(ctx, env.Clients, env.Cluster, "")
			if err != nil {
				return nil, err
			}
			return PlanAdd(env.Operation.Spec.AddNode, env.Cluster, o)
		},
		Steps: steps(),
	}
}

// RemoveDefinition is the RemoveNode Operation.
func RemoveDefinition() engine.Definition {
	return engine.Definition{
		Plan: func(ctx context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			spec := env.Operation.Spec.RemoveNode
			if spec == nil {
				return nil, fmt.Errorf("operation %s has no spec.removeNode", env.Operation.Name)
			}
			o, err := Observe(ctx, env.Clients, env.Cluster, spec.Node)
			if err != nil {
				return nil, err
			}
			return PlanRemove(spec, env.Cluster, o)
		},
		Steps: steps(),
	}
}

// steps carry out both.
func steps() map[string]engine.Step {
	joining := join.Definition().Steps
	return map[string]engine.Step{
		stepCheck:         engine.Func{Do: check, Timeout: time.Minute},
		stepMayLeave:      task(mayLeave, answered),
		stepCordon:        engine.Func{Do: drain.Cordon, Timeout: time.Minute},
		stepDrain:         drainHost{drain.Step{Of: drainOf}},
		stepVIPAway:       unlessLost{task(moveVIP(true), saying("it is elsewhere"))},
		stepEndpoints:     task(endpoints, restarted),
		stepKubeletAway:   unlessLost{task(kubeletAway, nil)},
		stepLeave:         task(leave, answered),
		stepDrop:          task(dropMember, dropped),
		stepRetire:        unlessLost{task(retire, retired)},
		stepPeers:         task(peers, nil),
		stepKubeadmConfig: engine.Func{Do: fixKubeadmConfig, Timeout: time.Minute},
		stepDelete:        engine.Func{Do: deleteNode, Timeout: time.Minute},
		stepDocument:      engine.Func{Do: forget, Timeout: time.Minute},
		stepSilenced:      engine.Func{Do: silenced, Timeout: time.Minute},
		stepBalancer:      engine.Func{Do: balancer, Timeout: 5 * time.Minute, Gate: true},
		stepUncordoned:    engine.Func{Do: drain.UncordonAll, Timeout: time.Minute},
		stepVIPRestore:    restore{},

		stepUploadCerts:  joining[stepUploadCerts],
		stepPromote:      joining[stepPromote],
		stepLabels:       about{joining[stepLabels], fresh},
		stepReady:        about{joining[stepReady], fresh},
		stepCoreDNS:      about{joining[stepCoreDNS], result},
		stepCoreDNSReady: about{joining[stepCoreDNSReady], result},
		stepCleanUp:      joining[stepCleanUp],
	}
}

// result is the Cluster as it will be.
func result(t engine.Turn) *v1alpha1.Cluster {
	if spec := t.Operation.Spec.RemoveNode; spec != nil {
		return Without(t.Cluster, spec.Node)
	}
	return t.Cluster
}

// fresh is the Cluster as if it had the new hosts alone: for what is done to each host
// of it.
func fresh(t engine.Turn) *v1alpha1.Cluster {
	out := *t.Cluster
	out.Spec.Hosts = nil
	for _, name := range t.Operation.Spec.AddNode.Nodes {
		if h, ok := t.Cluster.Host(name); ok {
			out.Spec.Hosts = append(out.Spec.Hosts, h)
		}
	}
	return &out
}

// about is a Step of another Operation that is about another Cluster than the stored
// one. It has the powers that the Step has.
type about struct {
	engine.Step
	cluster func(engine.Turn) *v1alpha1.Cluster
}

// Run runs the Step.
func (a about) Run(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	t.Cluster = a.cluster(t)
	return a.Step.Run(ctx, t)
}

// Interruptible is the Step's.
func (a about) Interruptible() bool {
	i, ok := a.Step.(engine.Interruptible)
	return ok && i.Interruptible()
}

// check looks once more before anything is done: the plan may have been paused.
func check(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	spec := t.Operation.Spec.RemoveNode
	o, err := Observe(ctx, t.Clients, t.Cluster, spec.Node)
	if err != nil {
		return engine.Outcome{}, err
	}
	if found := Blocking(CheckRemove(t.Cluster, spec, o)); len(found) > 0 {
		return engine.Outcome{}, refusal(found)
	}
	return engine.Outcome{Message: "it can"}, nil
}

func balancer(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	return loadbalancer.Follow(ctx, t, result(t))
}

// drainOf is the drain of the host that leaves.
func drainOf(t engine.Turn) drain.Drain {
	spec := t.Operation.Spec.RemoveNode
	return drain.Drain{Node: spec.Node, Time: spec.DrainTime(), Force: spec.ForceDrain, DeleteEmptyDirData: spec.DeleteEmptyDirData}
}

// drainHost is a drain that a host may be lost in.
type drainHost struct{ drain.Step }

// Run drains the host that leaves.
func (d drainHost) Run(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	out, err := d.Step.Run(ctx, t)
	if err != nil {
		// A host that is lost meanwhile does not end its pods any more.
		if lost := gone(ctx, t); lost != "" {
			return engine.Outcome{Message: "given up: " + lost}, nil
		}
	}
	return out, err
}

// unlessLost is a task on the host that leaves. When the host is lost meanwhile there
// is nobody to do it, and no need to.
type unlessLost struct{ engine.NodeTask }

// Run runs the task, or says that the host is gone.
func (u unlessLost) Run(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	if lost := gone(ctx, t); lost != "" {
		return engine.Outcome{Message: "left out: " + lost}, nil
	}
	out, err := u.NodeTask.Run(ctx, t)
	var lost engine.Lost
	if errors.As(err, &lost) && lost.Lost() {
		if why := gone(ctx, t); why != "" {
			return engine.Outcome{Message: "given up: " + why}, nil
		}
	}
	return out, err
}

// Retries is none: it is the next attempt's part to find the host lost.
func (u unlessLost) Retries() int { return lostRetries }

// restore lets the host have the virtual IP again when it stays after all.
type restore struct{}

// Run runs the task, or says that nothing is to be done.
func (restore) Run(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	state := map[string]v1alpha1.StepStatus{}
	for _, s := range t.Operation.Status.Steps {
		state[s.ID] = s
	}
	away, retire := state[stepVIPAway+"/"+t.Step.Node], state[stepRetire+"/"+t.Step.Node]
	if away.Attempt == 0 || retire.Attempt > 0 {
		return engine.Outcome{Message: "nothing to take back"}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return unlessLost{task(moveVIP(false), saying("it may again"))}.Run(ctx, t)
}
