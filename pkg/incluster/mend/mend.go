// Package mend is the Mend Operation: it sets right what `kubectl ha doctor` found
// and is safe to, each by a step that looks first.
package mend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/join"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
)

const stepUncordon = "uncordon"

// titles of the steps of each fix, in order.
func stepsOf(fix v1alpha1.MendFix) [][2]string {
	switch fix {
	case v1alpha1.MendKubeProxy:
		return [][2]string{{join.SettingKubeProxy, "point kube-proxy at the stable endpoint"}}
	case v1alpha1.MendClusterInfo:
		return [][2]string{{join.SettingClusterInfo, "point joining nodes at the stable endpoint"}}
	case v1alpha1.MendCoreDNS:
		return [][2]string{{join.SettingCoreDNS, "spread CoreDNS"}, {join.SettingCoreDNSReady, "wait until CoreDNS is spread"}}
	case v1alpha1.MendUncordon:
		return [][2]string{{stepUncordon, "uncordon what an Operation left cordoned"}}
	}
	return nil
}

// Definition is the Mend Operation.
func Definition() engine.Definition {
	steps := join.Settings()
	steps[stepUncordon] = engine.Func{Do: uncordon, Timeout: time.Minute}
	return engine.Definition{
		Plan: func(_ context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			return Plan(env.Operation.Spec.Mend)
		},
		Steps: steps,
	}
}

// Plan is a step or two for each fix, one after the other. It is pure.
func Plan(spec *v1alpha1.MendSpec) ([]v1alpha1.StepStatus, error) {
	if spec == nil || len(spec.Fixes) == 0 {
		return nil, errors.New("the Mend names nothing to set right")
	}
	var out []v1alpha1.StepStatus
	for _, fix := range spec.Fixes {
		steps := stepsOf(fix)
		if steps == nil {
			return nil, fmt.Errorf("the fix %q is not known", fix)
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
	nodes, err := t.Clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("list nodes: %w", err)
	}
	var done []string
	for _, n := range nodes.Items {
		by := n.Annotations[upgrade.AnnotationCordonedBy]
		atWork := slices.ContainsFunc(all, func(op v1alpha1.Operation) bool { return op.Name == by && operations.Unfinished(op) })
		if by == "" || !n.Spec.Unschedulable || atWork {
			continue
		}
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"resourceVersion": n.ResourceVersion, "annotations": map[string]any{upgrade.AnnotationCordonedBy: nil}},
			"spec":     map[string]any{"unschedulable": false},
		})
		if err != nil {
			return engine.Outcome{}, err
		}
		if _, err := t.Clients.Kube.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: apply.FieldManager}); err != nil {
			return engine.Outcome{}, fmt.Errorf("uncordon %s: %w", n.Name, err)
		}
		done = append(done, n.Name)
	}
	if len(done) == 0 {
		return engine.Outcome{Message: "none is left"}, nil
	}
	return engine.Outcome{Message: strings.Join(done, ", ")}, nil
}
