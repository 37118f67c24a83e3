package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
)

// Blocked is a pod that can't be evicted.
type Blocked struct {
	// Pod is namespace/name.
	Pod string
	// Reason names the budget, or says what else is in the way.
	Reason string
	// Unmanaged says that nothing would make the pod again elsewhere.
	Unmanaged bool
}

// fate is what a drain does with a pod.
type fate int

const (
	// leave: it is the node's own, or has ended.
	leave fate = iota
	// evict: something makes it again elsewhere.
	evict
	// refuse: nothing does.
	refuse
)

// fateOf says what a drain does with a pod; the rules are kubectl drain's, but for
// volumes that end with their pod, which are no reason to keep it, and for
// kubectl-ha's own pods: a coordinator tolerates every node, so that it would only
// be made again on the same one, and what it does survives the kubelet's restart.
func fateOf(p corev1.Pod) fate {
	owner := metav1.GetControllerOf(&p)
	_, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]
	switch {
	case mirror,
		p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed,
		owner != nil && owner.Kind == "DaemonSet",
		p.Namespace == v1alpha1.SystemNamespace && p.Labels["app.kubernetes.io/name"] == "kubectl-ha":
		return leave
	case owner == nil && p.DeletionTimestamp == nil:
		return refuse
	}
	return evict
}

// podsOn are the pods of a node that a drain is about.
func podsOn(ctx context.Context, kube kubernetes.Interface, node string) ([]corev1.Pod, error) {
	list, err := kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String()})
	if err != nil {
		return nil, fmt.Errorf("list the pods on %s: %w", node, err)
	}
	var out []corev1.Pod
	for _, p := range list.Items {
		if fateOf(p) != leave {
			out = append(out, p)
		}
	}
	return out, nil
}

// evictPod asks for a pod to leave, as its budgets allow. A pod that has gone, or is
// another one by now, is no error.
func evictPod(ctx context.Context, kube kubernetes.Interface, p corev1.Pod, dryRun ...string) error {
	err := kube.PolicyV1().Evictions(p.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}, DryRun: dryRun},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// held says by what an eviction is held up: the budget and its numbers, as the
// API server tells them.
func held(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Details != nil {
		for _, c := range status.Status().Details.Causes {
			if c.Type == policyv1.DisruptionBudgetCause && c.Message != "" {
				return strings.TrimSuffix(c.Message, ".")
			}
		}
	}
	return err.Error()
}

// tryDrain asks for every pod of a node to leave, as a dry run, and returns those
// that would not.
func tryDrain(ctx context.Context, kube kubernetes.Interface, node string) ([]Blocked, error) {
	pods, err := podsOn(ctx, kube, node)
	if err != nil {
		return nil, err
	}
	var out []Blocked
	for _, p := range pods {
		b := Blocked{Pod: p.Namespace + "/" + p.Name}
		switch {
		case p.DeletionTimestamp != nil:
			continue
		case fateOf(p) == refuse:
			b.Unmanaged, b.Reason = true, "nothing would make it again elsewhere"
		default:
			if err := evictPod(ctx, kube, p, metav1.DryRunAll); err == nil {
				continue
			} else if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			} else {
				b.Reason = held(err)
			}
		}
		out = append(out, b)
	}
	return out, nil
}

// missing are the images that nodes lack for sure; a node that reports too few to
// tell is not named.
func missing(nodes []corev1.Node, wanted []v1alpha1.PushedImage) map[string][]string {
	out := map[string][]string{}
	m := images.Compare(nodes, wanted, false)
	for _, n := range m.Nodes {
		for _, row := range m.Images {
			if row.States[n] == images.Missing || row.States[n] == images.OtherDigest {
				out[n] = append(out[n], row.Ref)
			}
		}
	}
	return out
}
