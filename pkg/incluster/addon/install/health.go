package install

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
)

// unwell says what an object lacks to be well; empty when nothing. Kinds that
// have no health are well when they are there. A Job is when it is done, and an
// API when it answers, both of which kstatus takes to be ready before.
func unwell(u *unstructured.Unstructured) string {
	switch {
	case u.GetDeletionTimestamp() != nil:
		return "it is being removed"
	case u.GetKind() == "Job":
		return condition(u, "Complete")
	case u.GetKind() == "APIService":
		return condition(u, "Available")
	case slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet", "CustomResourceDefinition"}, u.GetKind()):
		return ready.Object(u)
	}
	return ""
}

// condition says what keeps an object's condition from being True.
func condition(u *unstructured.Unstructured, kind string) string {
	list, _, err := unstructured.NestedSlice(u.Object, "status", "conditions")
	if err != nil {
		return err.Error()
	}
	for _, item := range list {
		if m, ok := item.(map[string]any); ok && m["type"] == kind {
			if m["status"] == "True" {
				return ""
			}
			return fmt.Sprintf("%s is %v: %v", kind, m["status"], m["message"])
		}
	}
	return "there is no condition " + kind + " yet"
}

// Unhealthy says what an addon lacks to be well, a line for each object; none
// when it is.
func Unhealthy(ctx context.Context, c *client.Clients, inv *Inventory) ([]string, error) {
	var out []string
	for _, o := range inv.Objects {
		u, err := get(ctx, c, o)
		switch {
		case err != nil:
			return nil, err
		case u == nil:
			out = append(out, o.String()+" is not there")
			continue
		}
		why := unwell(u)
		if why == "" {
			continue
		}
		pods, err := podTroubles(ctx, c, u)
		if err != nil {
			return nil, err
		}
		out = append(out, strings.Join(append([]string{o.String() + ": " + why}, pods...), "; "))
	}
	for _, want := range inv.Health.Conditions {
		o := Object{APIVersion: want.APIVersion, Kind: want.Kind, Namespace: want.Namespace, Name: want.Name}
		u, err := get(ctx, c, o)
		switch {
		case err != nil:
			return nil, err
		case u == nil:
			out = append(out, o.String()+" is not there")
		default:
			if why := condition(u, want.Type); why != "" {
				out = append(out, o.String()+": "+why)
			}
		}
	}
	return out, nil
}

// get reads an object; nil when it, or its kind, is not there.
func get(ctx context.Context, c *client.Clients, o Object) (*unstructured.Unstructured, error) {
	ri, err := resource(c, o)
	if ri == nil || err != nil {
		return nil, err
	}
	u, err := ri.Get(ctx, o.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", o, err)
	}
	return u, nil
}

// podTroubles says why pods of a set do not start, as their containers tell.
func podTroubles(ctx context.Context, c *client.Clients, u *unstructured.Unstructured) ([]string, error) {
	match, _, err := unstructured.NestedStringMap(u.Object, "spec", "selector", "matchLabels")
	if err != nil || len(match) == 0 {
		return nil, nil //nolint:nilerr // a kind without pods
	}
	pods, err := c.Kube.CoreV1().Pods(u.GetNamespace()).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(match).String()})
	if err != nil {
		return nil, fmt.Errorf("list the pods of %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	var out []string
	for _, p := range pods.Items {
		if why := troubles(p); why != "" && !slices.Contains(out, why) {
			out = append(out, why)
		}
	}
	return out, nil
}

// troubles is why a pod is not running: what the scheduler or its containers say.
func troubles(p corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return "no node for a pod: " + c.Message
		}
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		switch w := c.State.Waiting; {
		case w == nil || w.Reason == "ContainerCreating" || w.Reason == "PodInitializing":
		case strings.Contains(w.Reason, "Image"):
			return fmt.Sprintf("%s of %s on %s; kubectl ha images push brings images from a bundle", w.Reason, c.Image, p.Spec.NodeName)
		case c.LastTerminationState.Terminated != nil:
			return fmt.Sprintf("%s of %s on %s (it ended with %d)", w.Reason, p.Name, p.Spec.NodeName, c.LastTerminationState.Terminated.ExitCode)
		default:
			return fmt.Sprintf("%s of %s on %s", w.Reason, p.Name, p.Spec.NodeName)
		}
	}
	return ""
}
