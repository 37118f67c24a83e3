package upgrade

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// AnnotationPrevious stands on a node that was upgraded: the version before, which
// is the one that is kept on it.
const AnnotationPrevious = v1alpha1.Group + "/previous-version"

// notePrevious notes on a node what it is upgraded from.
func notePrevious(ctx context.Context, t engine.Turn, n *corev1.Node, target string) error {
	from := n.Status.NodeInfo.KubeletVersion
	if from == target || n.Annotations[AnnotationPrevious] == from {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{AnnotationPrevious: from}}})
	if err != nil {
		return err
	}
	_, err = t.Clients.Kube.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: apply.FieldManager})
	if err != nil {
		return fmt.Errorf("note the version of node %s: %w", n.Name, err)
	}
	return nil
}
