package loadbalancer

import (
	"context"
	"encoding/json"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/join"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	tasklb "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
)

const (
	taskTimeout = 5 * time.Minute
	// lostRetries is how often a task is begun anew when its node went away: both are
	// idempotent.
	lostRetries = 3
	// readyTimeout bounds the roll-out, one control plane after the other.
	readyTimeout = 10 * time.Minute
)

// Definition is the LoadBalancer Operation.
func Definition() engine.Definition {
	return engine.Definition{
		Plan: func(_ context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			return Plan(env.Operation, env.Cluster)
		},
		Steps: steps(),
	}
}

// RemoveDefinition is the RemoveLoadBalancer Operation.
func RemoveDefinition() engine.Definition {
	return engine.Definition{
		Plan: func(_ context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			return PlanRemove(env.Cluster), nil
		},
		Steps: steps(),
	}
}

func steps() map[string]engine.Step {
	settings := join.Settings()
	return map[string]engine.Step{
		stepNames:       Names(),
		stepAgent:       Agent(),
		stepApply:       engine.Func{Do: applyObjects, Timeout: 2 * time.Minute},
		stepReady:       engine.Func{Do: awaitReady, Timeout: readyTimeout, Gate: true},
		stepNote:        engine.Func{Do: note, Timeout: time.Minute},
		stepRecord:      engine.Func{Do: record, Timeout: time.Minute},
		stepKubeProxy:   toBe{settings[join.SettingKubeProxy]},
		stepClusterInfo: toBe{settings[join.SettingClusterInfo]},
		StepKubelet:     kubelets(),
		stepHeard:       Heard(),
		stepDelete:      engine.Func{Do: remove, Timeout: 3 * time.Minute},
	}
}

// toBe is a Step of another Operation that goes by the Cluster document as it is to be.
type toBe struct{ engine.Step }

// Run runs the Step.
func (s toBe) Run(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	t.Cluster = result(t)
	return s.Step.Run(ctx, t)
}

// result is the Cluster document as the Operation leaves it.
func result(t engine.Turn) *v1alpha1.Cluster {
	if t.Operation.Spec.LoadBalancer == nil {
		return Without(t.Cluster)
	}
	return Wanted(t.Cluster, t.Operation.Spec.LoadBalancer)
}

func installAgent(context.Context, engine.Turn) (node.Request, error) {
	return node.NewRequest(tasks.InstallAgent, taskTimeout, prepare.AgentSpec{})
}

// kubelets points kubelets at the document's endpoint as it is to be.
func kubelets() engine.Step {
	return Kubelets(func(t engine.Turn) (string, []string) {
		to := result(t)
		// Those that kubectl-ha may have given it: of the document before and after.
		return to.URLFor(v1alpha1.UseForKubelets), []string{t.Cluster.EndpointURL(), t.Cluster.BalancedURL(), to.BalancedURL()}
	})
}

// Kubelets is the step that points the kubelet of its node at another URL, away from those that it
// may have by kubectl-ha; it keeps any other.
func Kubelets(urls func(engine.Turn) (to string, from []string)) engine.Step {
	return engine.NodeTask{LostRetries: lostRetries, Message: pointed, Request: func(_ context.Context, t engine.Turn) (node.Request, error) {
		to, from := urls(t)
		return node.NewRequest(tasks.KubeletEndpoint, taskTimeout, tasklb.KubeletSpec{Server: to, From: from})
	}}
}

// Names is the step that sees to it that the certificate of its node's apiserver is for the names
// of the turn's document: no connection ends by that.
func Names() engine.Step { return namesStep{} }

// Agent is the step that brings the agent of its node up to date.
func Agent() engine.Step { return engine.NodeTask{Request: installAgent, LostRetries: lostRetries} }

// Heard is the step that waits until all kubelets that earlier steps of the kind StepKubelet were
// about were heard of since.
func Heard() engine.Step {
	return engine.Func{Do: heard, Timeout: 3 * time.Minute, Gate: true}
}

// pointed says what a kubelet's task has done.
func pointed(r node.Result) string {
	var d tasklb.KubeletData
	if err := json.Unmarshal(r.Data, &d); err == nil && d.Kept != "" {
		return "left at " + d.Kept + ", which somebody else chose"
	}
	if len(r.Changes) == 0 {
		return "already up to date"
	}
	return "restarted"
}
