package incluster

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// WithAgents are the same verbs with other agents, for what is created with them.
func (o *Operations) WithAgents(agents v1alpha1.Agents) *Operations {
	out := *o
	out.agents = agents
	return &out
}

// agentsFor are those that carry an intent out, the coordinators' first: of several architectures
// one that has a control plane left when the Operation's node has gone. Else nobody would bring it
// to its end.
func (o *Operations) agentsFor(ctx context.Context, spec v1alpha1.OperationSpec) (v1alpha1.Agents, error) {
	if len(o.agents) < 2 || spec.RemoveNode == nil || spec.RemoveNode.Node == "" {
		return o.agents, nil
	}
	nodes, err := o.clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: controlPlaneLabel})
	if err != nil {
		return nil, fmt.Errorf("list the control planes: %w", err)
	}
	return staying(o.agents, nodes.Items, spec.RemoveNode.Node), nil
}

// staying puts the first agent that has a control plane besides one that leaves before the
// others. It is pure.
func staying(agents v1alpha1.Agents, controlPlanes []corev1.Node, leaving string) v1alpha1.Agents {
	at := slices.IndexFunc(agents, func(a v1alpha1.Agent) bool {
		return slices.ContainsFunc(controlPlanes, func(n corev1.Node) bool {
			return n.Name != leaving && n.Status.NodeInfo.Architecture == a.Arch
		})
	})
	if at <= 0 {
		return agents
	}
	out := v1alpha1.Agents{agents[at]}
	return append(out, slices.Delete(slices.Clone(agents), at, at+1)...)
}

// agentsOf are those that carry an Operation on: those that it was created for, which
// know all that is in it. Another program's may be older.
func (o *Operations) agentsOf(op *v1alpha1.Operation) (v1alpha1.Agents, error) {
	agents, err := op.Agents()
	if err != nil || len(agents) == 0 {
		return o.agents, err
	}
	return agents, nil
}

// handOver has a failed Operation carried on by this program's agents, which may be those
// that were mended since; not when they do not know what it is about.
func (o *Operations) handOver(op *v1alpha1.Operation) error {
	if _, known := definitions()[op.Spec.Type]; !known || op.Status.Phase != v1alpha1.OperationFailed || len(o.agents) == 0 {
		return nil
	}
	return op.SetAgents(o.agents)
}
