package join

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// The labels that tell a node's role.
const (
	labelControlPlane = "node-role.kubernetes.io/control-plane"
	labelWorker       = "node-role.kubernetes.io/worker"
)

// wantedLabels are the labels a host's node is to have. The control-plane one
// is kubeadm's.
func wantedLabels(h v1alpha1.Host) map[string]string {
	out := maps.Clone(h.Labels)
	if out == nil {
		out = map[string]string{}
	}
	if h.Has(v1alpha1.RoleWorker) || !h.Has(v1alpha1.RoleControlPlane) {
		out[labelWorker] = ""
	}
	return out
}

func missingLabels(h v1alpha1.Host, n Node) []string {
	var out []string
	for k, v := range wantedLabels(h) {
		if have, ok := n.Labels[k]; !ok || have != v {
			out = append(out, k+"="+v)
		}
	}
	slices.Sort(out)
	return out
}

func wantLabels(c *v1alpha1.Cluster, o Observation) bool {
	return slices.ContainsFunc(c.Nodes(), func(h v1alpha1.Host) bool {
		return len(missingLabels(h, o.Nodes[h.Name])) > 0
	})
}

// label labels every node, each as soon as it is there. Other labels stay.
func label(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	nodes := t.Clients.Kube.CoreV1().Nodes()
	var changed []string
	for _, h := range t.Cluster.Nodes() {
		n, err := awaitNode(ctx, t, h.Name)
		if err != nil {
			return engine.Outcome{}, err
		}
		if len(missingLabels(h, Node{Labels: n.Labels})) == 0 {
			continue
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": wantedLabels(h)}})
		if err != nil {
			return engine.Outcome{}, fmt.Errorf("label %s: %w", h.Name, err)
		}
		if _, err := nodes.Patch(ctx, h.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: apply.FieldManager}); err != nil {
			if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
				return engine.Outcome{}, fmt.Errorf("label node %s: %w; check spec.hosts[%s].labels", h.Name, err, h.Name)
			}
			return engine.Outcome{}, fmt.Errorf("label node %s: %w", h.Name, err)
		}
		changed = append(changed, h.Name)
	}
	if len(changed) == 0 {
		return engine.Outcome{}, nil
	}
	return engine.Outcome{Message: "labelled " + strings.Join(changed, ", ")}, nil
}
