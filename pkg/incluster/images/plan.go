package images

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// The kinds of steps: the part of a step's ID before the slash.
const (
	stepCredentials = "credentials"
	stepImages      = "images"
	stepPrune       = "prune"
	stepCleanUp     = "clean-up"
)

// Plan is an Images Operation's steps. It is pure.
func Plan(op *v1alpha1.Operation) ([]v1alpha1.StepStatus, error) {
	spec := op.Spec.Images
	if spec == nil || len(spec.Nodes) == 0 {
		return nil, fmt.Errorf("operation %s has no nodes in spec.images", op.Name)
	}
	steps := []v1alpha1.StepStatus{{
		ID: stepCredentials, Title: "make the credentials by which the nodes know each other",
		State: v1alpha1.StepPending, UndoneBy: stepCleanUp,
	}}
	for _, name := range spec.Nodes {
		steps = append(steps, v1alpha1.StepStatus{
			ID: stepImages + "/" + name, Title: "put the images into " + name, Node: name,
			After: []string{stepCredentials}, State: v1alpha1.StepPending,
		})
	}
	return append(steps, v1alpha1.StepStatus{
		ID: stepCleanUp, Title: "remove the credentials", Cleanup: true, State: v1alpha1.StepPending,
	}), nil
}

// PrunePlan is a PruneImages Operation's steps. It is pure.
func PrunePlan(op *v1alpha1.Operation) ([]v1alpha1.StepStatus, error) {
	spec := op.Spec.PruneImages
	if spec == nil || len(spec.Nodes) == 0 {
		return nil, fmt.Errorf("operation %s has no nodes in spec.pruneImages", op.Name)
	}
	var steps []v1alpha1.StepStatus
	for _, n := range spec.Nodes {
		steps = append(steps, v1alpha1.StepStatus{
			ID: stepPrune + "/" + n.Name, Title: fmt.Sprintf("remove %d images from %s", len(n.Refs), n.Name), Node: n.Name,
			State: v1alpha1.StepPending,
		})
	}
	return steps, nil
}

// RolesOf are a node's roles, by its labels. Any node runs workloads' images.
func RolesOf(n corev1.Node) []v1alpha1.Role {
	if _, ok := n.Labels["node-role.kubernetes.io/control-plane"]; ok {
		return []v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleWorker}
	}
	return []v1alpha1.Role{v1alpha1.RoleWorker}
}

// Fit tells whether a node can take part in an Operation on images now.
func Fit(n corev1.Node) bool { return unfit(n) == "" }

// unfit says why a node can't take part; empty when it can. A node that is not
// ready takes part as long as its kubelet posts its status: it may be the very
// images that it waits for.
func unfit(n corev1.Node) string {
	heard := ready.NodeCondition(&n)
	runtime := n.Status.NodeInfo.ContainerRuntimeVersion
	switch {
	case heard == nil:
		return "its kubelet has never been heard of"
	case heard.Status == corev1.ConditionUnknown:
		return "it is not ready: " + heard.Message
	case runtime != "" && !strings.HasPrefix(runtime, "containerd://"):
		return fmt.Sprintf("its container runtime is %s, and only containerd is known how to put images into", runtime)
	case address(n) == "":
		return "it reports no internal address"
	}
	return ""
}

// address is a node's own, in the cluster's network.
func address(n corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}
