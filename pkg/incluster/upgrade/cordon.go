package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

const (
	// AnnotationCordonedBy stands on a node that an Operation has cordoned. A cordon
	// without it is somebody else's and stays.
	AnnotationCordonedBy = v1alpha1.Group + "/cordoned-by"
	// AnnotationPrevious stands on a node that was upgraded: the version before, which
	// is the one that is kept on it.
	AnnotationPrevious = v1alpha1.Group + "/previous-version"
)

// node names the node of a step of the coordinator itself: what is after the slash.
func nodeName(t engine.Turn) string {
	_, name, _ := strings.Cut(t.Step.ID, "/")
	return name
}

// cordon keeps new pods from a node, and notes by whom in the same write.
func cordon(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	n, err := t.Clients.Kube.CoreV1().Nodes().Get(ctx, nodeName(t), metav1.GetOptions{})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("read node %s: %w", nodeName(t), err)
	}
	by := n.Annotations[AnnotationCordonedBy]
	switch {
	case n.Spec.Unschedulable && by == "":
		return engine.Outcome{Message: "it was cordoned before, and stays so"}, nil
	case n.Spec.Unschedulable && by == t.Operation.Name:
		return engine.Outcome{}, nil
	}
	// One that another Operation has left behind becomes this one's.
	return engine.Outcome{}, setCordon(ctx, t.Clients.Kube, n, true, t.Operation.Name)
}

// setCordon writes against the version that was read.
func setCordon(ctx context.Context, kube kubernetes.Interface, n *corev1.Node, unschedulable bool, by any) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": n.ResourceVersion, "annotations": map[string]any{AnnotationCordonedBy: by}},
		"spec":     map[string]any{"unschedulable": unschedulable},
	})
	if err != nil {
		return err
	}
	_, err = kube.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: apply.FieldManager})
	if err != nil {
		return fmt.Errorf("set whether node %s takes pods: %w", n.Name, err)
	}
	return nil
}

// uncordon lets pods onto a node again that this Operation has cordoned.
func uncordon(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	n, err := t.Clients.Kube.CoreV1().Nodes().Get(ctx, nodeName(t), metav1.GetOptions{})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("read node %s: %w", nodeName(t), err)
	}
	if n.Annotations[AnnotationCordonedBy] != t.Operation.Name {
		return engine.Outcome{Message: "it was cordoned before, and stays so"}, nil
	}
	return engine.Outcome{}, setCordon(ctx, t.Clients.Kube, n, false, nil)
}

// uncordonAll does so for every node, at an Operation's end.
func uncordonAll(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	nodes, err := t.Clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("list nodes: %w", err)
	}
	var done []string
	for i := range nodes.Items {
		n := &nodes.Items[i]
		if n.Annotations[AnnotationCordonedBy] != t.Operation.Name {
			continue
		}
		if err := setCordon(ctx, t.Clients.Kube, n, false, nil); err != nil {
			return engine.Outcome{}, err
		}
		done = append(done, n.Name)
	}
	if len(done) == 0 {
		return engine.Outcome{Message: "none is left"}, nil
	}
	slices.Sort(done)
	return engine.Outcome{Message: strings.Join(done, ", ")}, nil
}

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
