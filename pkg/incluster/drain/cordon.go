package drain

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

// AnnotationCordonedBy stands on a node that an Operation has cordoned, and names the
// Operation. A cordon without it is somebody else's and stays.
const AnnotationCordonedBy = v1alpha1.Group + "/cordoned-by"

// Cordon keeps new pods from the node that the step is about, and notes by whom in
// the same write.
func Cordon(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	n, err := nodeOf(ctx, t)
	if err != nil {
		return engine.Outcome{}, err
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

// Uncordon lets pods onto the node again that the step is about, if this Operation
// has cordoned it.
func Uncordon(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	n, err := nodeOf(ctx, t)
	if err != nil {
		return engine.Outcome{}, err
	}
	if n.Annotations[AnnotationCordonedBy] != t.Operation.Name {
		return engine.Outcome{Message: "it was cordoned before, and stays so"}, nil
	}
	return engine.Outcome{}, Lift(ctx, t.Clients.Kube, n)
}

// UncordonAll does so for every node, at an Operation's end.
func UncordonAll(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	return UncordonAllBut(ctx, t, nil)
}

// UncordonAllBut does so for every node but those that are to stay as they are.
func UncordonAllBut(ctx context.Context, t engine.Turn, stay []string) (engine.Outcome, error) {
	return lift(ctx, t.Clients.Kube, func(node, by string) bool {
		return by == t.Operation.Name && !slices.Contains(stay, node)
	})
}

// LiftAll takes back all cordons of Operations that which tells, by the Operations'
// names. The outcome names the nodes.
func LiftAll(ctx context.Context, kube kubernetes.Interface, which func(by string) bool) (engine.Outcome, error) {
	return lift(ctx, kube, func(_, by string) bool { return which(by) })
}

func lift(ctx context.Context, kube kubernetes.Interface, which func(node, by string) bool) (engine.Outcome, error) {
	nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("list nodes: %w", err)
	}
	var done []string
	for i := range nodes.Items {
		n := &nodes.Items[i]
		if by := n.Annotations[AnnotationCordonedBy]; by == "" || !which(n.Name, by) {
			continue
		}
		if err := Lift(ctx, kube, n); err != nil {
			return engine.Outcome{}, err
		}
		// Somebody may have let pods onto it again already: then only the note was left.
		if n.Spec.Unschedulable {
			done = append(done, n.Name)
		}
	}
	if len(done) == 0 {
		return engine.Outcome{Message: "none is left"}, nil
	}
	slices.Sort(done)
	return engine.Outcome{Message: strings.Join(done, ", ")}, nil
}

// Lift lets pods onto a node again, and takes the note of who kept them away with it.
// It fails with a conflict when the node was written to since it was read.
func Lift(ctx context.Context, kube kubernetes.Interface, n *corev1.Node) error {
	return setCordon(ctx, kube, n, false, nil)
}

func nodeOf(ctx context.Context, t engine.Turn) (*corev1.Node, error) {
	n, err := t.Clients.Kube.CoreV1().Nodes().Get(ctx, t.About(), metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read node %s: %w", t.About(), err)
	}
	return n, nil
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
