package adopt

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

const (
	// goneTimeout bounds the wait for what was deleted to be gone, goneInterval is between two looks.
	goneTimeout  = 3 * time.Minute
	goneInterval = time.Second
)

// ReleaseError says why a cluster is not released.
type ReleaseError struct{ Reasons []string }

// Error is all of them.
func (e *ReleaseError) Error() string {
	return "the cluster is not released, and nothing was changed: " + strings.Join(e.Reasons, "; ")
}

// Releasable refuses a cluster with something of kubectl-ha's that others would miss, or that is
// in the middle of something: a *ReleaseError.
func Releasable(ctx context.Context, c *client.Clients, stored *v1alpha1.Cluster) error {
	var reasons []string
	switch {
	case !stored.KeepsVirtualIP():
	case stored.Adopted():
		reasons = append(reasons, "it was converted to the virtual IP "+stored.Spec.VirtualIP+" (next: kubectl ha convert --undo has everything use the former endpoint again)")
	default:
		reasons = append(reasons, "kubectl ha keeps its virtual IP, so that without kubectl ha it would have no endpoint (kubectl ha uninstall takes the whole cluster down)")
	}
	if stored.Spec.LoadBalancer.Enabled {
		reasons = append(reasons, "it has a load balancer of kubectl ha (next: kubectl ha loadbalancer remove)")
	}
	all, err := operations.New(c.Dynamic).List(ctx)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	for _, op := range all {
		if operations.Unfinished(op) || len(op.Finalizers) > 0 {
			reasons = append(reasons, fmt.Sprintf("operation %s is not finished (next: kubectl ha operation watch, or operation abort %s)", op.Name, op.Name))
		}
	}
	names, err := addons(ctx, c)
	if err != nil {
		return err
	}
	for _, name := range names {
		reasons = append(reasons, fmt.Sprintf("the addon %s is installed (next: kubectl ha addon uninstall %s)", name, name))
	}
	if len(reasons) > 0 {
		return &ReleaseError{reasons}
	}
	return nil
}

// addons are those of which a workload is there.
func addons(ctx context.Context, c *client.Clients) ([]string, error) {
	var out []string
	note := func(name string) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	deployments, err := c.Kube.AppsV1().Deployments(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: addon.Label})
	if err != nil {
		return nil, fmt.Errorf("look for addons: %w", err)
	}
	for _, d := range deployments.Items {
		note(d.Labels[addon.Label])
	}
	sets, err := c.Kube.AppsV1().DaemonSets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: addon.Label})
	if err != nil {
		return nil, fmt.Errorf("look for addons: %w", err)
	}
	for _, d := range sets.Items {
		note(d.Labels[addon.Label])
	}
	slices.Sort(out)
	return out, nil
}

// Quiet ends what runs in our namespace, so that no container holds the agent's image: schedules,
// Jobs, and the pods of both. It waits until they are gone.
func Quiet(ctx context.Context, c *client.Clients) error {
	background := metav1.DeletePropagationBackground
	jobs := c.Kube.BatchV1()
	for what, do := range map[string]func() error{
		"schedules": func() error {
			return jobs.CronJobs(v1alpha1.SystemNamespace).DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &background}, metav1.ListOptions{})
		},
		"Jobs": func() error {
			return jobs.Jobs(v1alpha1.SystemNamespace).DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &background}, metav1.ListOptions{})
		},
	} {
		if err := do(); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete the %s in %s: %w", what, v1alpha1.SystemNamespace, err)
		}
	}
	last := ""
	err := wait.PollUntilContextTimeout(ctx, goneInterval, goneTimeout, true, func(ctx context.Context) (bool, error) {
		pods, err := c.Kube.CoreV1().Pods(v1alpha1.SystemNamespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			last = err.Error()
			return false, nil
		}
		last = fmt.Sprintf("%d pods", len(pods.Items))
		return len(pods.Items) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("wait until the pods in %s have ended, last seen: %s: %w\nnext: delete what makes them, and run the command again", v1alpha1.SystemNamespace, last, err)
	}
	return nil
}

// Remove deletes an object and waits until it is gone. One that is gone is no error.
func Remove(ctx context.Context, c *client.Clients, o Object) error {
	if err := at(c.Dynamic, o).Delete(ctx, o.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s: %w", o, err)
	}
	var last *unstructured.Unstructured
	err := wait.PollUntilContextTimeout(ctx, goneInterval, goneTimeout, true, func(ctx context.Context) (bool, error) {
		seen, err := at(c.Dynamic, o).Get(ctx, o.Name, metav1.GetOptions{})
		if err == nil {
			last = seen
		}
		return apierrors.IsNotFound(err), nil
	})
	if err != nil {
		why := ""
		if last != nil && len(last.GetFinalizers()) > 0 {
			why = " (finalizers: " + strings.Join(last.GetFinalizers(), ", ") + ")"
		}
		return fmt.Errorf("wait until %s is gone%s: %w\nnext: see kubectl describe %s, and run the command again", o, why, err, o)
	}
	return nil
}
