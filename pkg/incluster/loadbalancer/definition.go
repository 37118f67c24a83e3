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
		stepNames:       namesStep{},
		stepAgent:       engine.NodeTask{Request: installAgent, LostRetries: lostRetries},
		stepApply:       engine.Func{Do: applyObjects, Timeout: 2 * time.Minute},
		stepReady:       engine.Func{Do: awaitReady, Timeout: readyTimeout, Gate: true},
		stepNote:        engine.Func{Do: note, Timeout: time.Minute},
		stepRecord:      engine.Func{Do: record, Timeout: time.Minute},
		stepKubeProxy:   toBe{settings[join.SettingKubeProxy]},
		stepClusterInfo: toBe{settings[join.SettingClusterInfo]},
		stepKubelet:     engine.NodeTask{Request: kubelet, LostRetries: lostRetries, Message: pointed},
		stepHeard:       engine.Func{Do: heard, Timeout: 3 * time.Minute, Gate: true},
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

func kubelet(_ context.Context, t engine.Turn) (node.Request, error) {
	to := result(t)
	return node.NewRequest(tasks.KubeletEndpoint, taskTimeout, tasklb.KubeletSpec{
		Server: to.URLFor(v1alpha1.UseForKubelets),
		// Those that kubectl-ha may have given it: of the document before and after.
		From: []string{t.Cluster.EndpointURL(), t.Cluster.BalancedURL(), to.BalancedURL()},
	})
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
