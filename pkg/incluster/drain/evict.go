package drain

import (
	"context"
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	policyclient "k8s.io/client-go/kubernetes/typed/policy/v1"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/drain"
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

// Try asks for every pod to leave, as a dry run, and returns those that would not.
func Try(ctx context.Context, kube kubernetes.Interface, pods []Pod) ([]Blocked, error) {
	var out []Blocked
	for _, p := range pods {
		if p.Leaving() {
			continue
		}
		b := Blocked{Pod: p.Key(), Unmanaged: p.Unmanaged, Reason: "nothing would make it again elsewhere"}
		if !p.Unmanaged {
			err := evict(ctx, kube, p, cmdutil.DryRunServer)
			switch {
			case err == nil:
				continue
			case ctx.Err() != nil:
				return nil, context.Cause(ctx)
			}
			b.Reason = held(err)
		}
		out = append(out, b)
	}
	return out, nil
}

// evict asks for a pod to leave, as its budgets allow. A pod that has gone, or is
// another one by now, is no error.
func evict(ctx context.Context, kube kubernetes.Interface, p Pod, dryRun cmdutil.DryRunStrategy) error {
	h := drain.Helper{Ctx: ctx, Client: bound{kube, p.UID}, GracePeriodSeconds: -1, DryRunStrategy: dryRun}
	err := h.EvictPod(p.Pod, policyv1.SchemeGroupVersion)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// deletePod deletes a pod, whatever budget it has, with its own grace.
func deletePod(ctx context.Context, kube kubernetes.Interface, p Pod) error {
	err := kube.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// held says by what an eviction is held up: the budget and its numbers, as the API
// server tells them.
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

// forbidden tells whether an eviction never will be allowed. In a namespace that ends
// it is refused until the pod is asked to end with all else.
func forbidden(err error) bool {
	return apierrors.IsForbidden(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// bound is the client through which kubectl evicts: the pod that was looked at alone,
// and not one of the same name that a stateful set has made since on another node.
// kubectl names no UID.
type bound struct {
	kubernetes.Interface
	uid types.UID
}

// PolicyV1 is the client's, but for evictions.
func (b bound) PolicyV1() policyclient.PolicyV1Interface {
	return boundPolicy{b.Interface.PolicyV1(), b.uid}
}

type boundPolicy struct {
	policyclient.PolicyV1Interface
	uid types.UID
}

// Evictions is the client's, with the UID.
func (b boundPolicy) Evictions(namespace string) policyclient.EvictionInterface {
	return boundEvictions{b.PolicyV1Interface.Evictions(namespace), b.uid}
}

type boundEvictions struct {
	policyclient.EvictionInterface
	uid types.UID
}

// Evict evicts the pod if it still is the same one.
func (b boundEvictions) Evict(ctx context.Context, eviction *policyv1.Eviction) error {
	e := eviction.DeepCopy()
	if e.DeleteOptions == nil {
		e.DeleteOptions = &metav1.DeleteOptions{}
	}
	e.DeleteOptions.Preconditions = &metav1.Preconditions{UID: &b.uid}
	return b.EvictionInterface.Evict(ctx, e)
}
