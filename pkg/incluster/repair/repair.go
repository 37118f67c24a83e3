// Package repair is the Repair Operation: it sets right what `kubectl ha doctor` found
// and is safe to, each by a step that looks first.
package repair

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/drain"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/join"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

const stepUncordon = "uncordon"

// titles of the steps of each fix, in order.
func stepsOf(fix v1alpha1.RepairFix) [][2]string {
	switch fix {
	case v1alpha1.RepairKubeProxy:
		return [][2]string{{join.SettingKubeProxy, "point kube-proxy at the stable endpoint"}}
	case v1alpha1.RepairClusterInfo:
		return [][2]string{{join.SettingClusterInfo, "point joining nodes at the stable endpoint"}}
	case v1alpha1.RepairCoreDNS:
		return [][2]string{{join.SettingCoreDNS, "spread CoreDNS"}, {join.SettingCoreDNSReady, "wait until CoreDNS is spread"}}
	case v1alpha1.RepairUncordon:
		return [][2]string{{stepUncordon, "uncordon what an Operation left cordoned"}}
	}
	return nil
}

// Definition is the Repair Operation.
func Definition() engine.Definition {
	steps := join.Settings()
	steps[stepUncordon] = engine.Func{Do: uncordon, Timeout: time.Minute}
	return engine.Definition{
		Plan: func(_ context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			return Plan(env.Operation.Spec.Repair, env.Cluster)
		},
		Steps: steps,
	}
}

// Plan is a step or two for each fix, one after the other. What others keep is refused. It is pure.
func Plan(spec *v1alpha1.RepairSpec, c *v1alpha1.Cluster) ([]v1alpha1.StepStatus, error) {
	if spec == nil || len(spec.Fixes) == 0 {
		return nil, errors.New("the Repair names nothing to set right")
	}
	var out []v1alpha1.StepStatus
	for _, fix := range spec.Fixes {
		steps := stepsOf(fix)
		if steps == nil {
			return nil, fmt.Errorf("the fix %q is not known", fix)
		}
		if !c.KeepsVirtualIP() && fix != v1alpha1.RepairUncordon {
			return nil, fmt.Errorf("the fix %s would change what others keep in this cluster (spec.endpoint.managedBy)\nnext: see to it by what set the cluster up", fix)
		}
		for _, s := range steps {
			step := v1alpha1.StepStatus{ID: s[0], Title: s[1], State: v1alpha1.StepPending}
			if len(out) > 0 {
				step.After = []string{out[len(out)-1].ID}
			}
			out = append(out, step)
		}
	}
	return out, nil
}

// uncordon lets pods onto nodes again that an Operation has cordoned which is over.
func uncordon(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	all, err := operations.New(t.Clients.Dynamic).List(ctx)
	if err != nil {
		return engine.Outcome{}, err
	}
	return drain.LiftAll(ctx, t.Clients.Kube, func(by string) bool {
		return !slices.ContainsFunc(all, func(op v1alpha1.Operation) bool { return op.Name == by && operations.Unfinished(op) })
	})
}
