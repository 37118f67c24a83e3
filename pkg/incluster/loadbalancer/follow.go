package loadbalancer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// followTimeout bounds the wait for the pods of control planes that came or went.
const followTimeout = 3 * time.Minute

// Follow is the gate for whoever adds, removes or replaces a control plane: it waits
// until a load balancer's pod is ready on every control plane of the document c, and
// on no other node. It changes nothing, since the pods follow the nodes by
// themselves: a new control plane only has to be a node with kubeadm's control-plane
// label, a removed one to be no node any more. A new control plane's node needs the
// load balancer's image before (Image). In a cluster without a load balancer it
// returns at once, with an outcome that says so.
//
// c is the document as it is to be, which may be newer than t.Cluster. Use it as a
// step: engine.Func{Gate: true, Do: func(ctx, t) { return loadbalancer.Follow(ctx, t, c) }}.
func Follow(ctx context.Context, t engine.Turn, c *v1alpha1.Cluster) (engine.Outcome, error) {
	if !c.Spec.LoadBalancer.Enabled {
		return engine.Outcome{Message: "there is no load balancer"}, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, followTimeout, fmt.Errorf("not within %s", followTimeout))
	defer cancel()
	var names []string
	for _, h := range c.ControlPlanes() {
		names = append(names, h.Name)
	}
	err := engine.Until(ctx, t, "the load balancer to follow the control planes", func(ctx context.Context) (string, error) {
		pods, err := listPods(ctx, t.Clients.Kube)
		if err != nil {
			return "", err
		}
		return uncovered(pods, names), nil
	})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("%w\nnext: kubectl ha loadbalancer status shows each of its pods", err)
	}
	return engine.Outcome{Message: fmt.Sprintf("on %d control planes", len(names))}, nil
}

// uncovered says which control planes lack a ready pod, and which other nodes have
// one; empty when all is as it should be.
func uncovered(pods []corev1.Pod, controlPlanes []string) string {
	var waits []string
	for _, name := range controlPlanes {
		if why := podOn(pods, name); why != "" {
			waits = append(waits, name+": "+why)
		}
	}
	for _, p := range pods {
		if !slices.Contains(controlPlanes, p.Spec.NodeName) && p.DeletionTimestamp == nil {
			waits = append(waits, p.Spec.NodeName+": it still has one")
		}
	}
	return strings.Join(waits, "; ")
}

// podOn says why a node has no ready pod; empty when it has one.
func podOn(pods []corev1.Pod, node string) string {
	why := "there is no pod yet"
	for i := range pods {
		p := &pods[i]
		if p.Spec.NodeName != node || p.DeletionTimestamp != nil {
			continue
		}
		if why = podWaits(p); why == "" {
			return ""
		}
	}
	return why
}

// podWaits says why a pod is not ready, in its container's own words where it has
// any; empty when it is.
func podWaits(p *corev1.Pod) string {
	if ready.Pod(p) {
		return ""
	}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		for _, t := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
			if t != nil && t.ExitCode != 0 && strings.TrimSpace(t.Message) != "" {
				return strings.TrimSpace(t.Message)
			}
		}
		if w := s.State.Waiting; w != nil && w.Reason != "" {
			return strings.TrimSuffix(w.Reason+": "+w.Message, ": ")
		}
	}
	return "its pod is " + strings.ToLower(string(p.Status.Phase)) + ", not ready"
}

// listPods are the load balancer's pods.
func listPods(ctx context.Context, kube kubernetes.Interface) ([]corev1.Pod, error) {
	list, err := kube.CoreV1().Pods(v1alpha1.SystemNamespace).List(ctx, metav1.ListOptions{LabelSelector: podSelector})
	if err != nil {
		return nil, fmt.Errorf("list the load balancer's pods: %w", err)
	}
	return list.Items, nil
}
