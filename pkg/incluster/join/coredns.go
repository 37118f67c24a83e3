package join

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

const (
	coreDNS = "coredns"
	// annotationSpread rolls the pods out once when they are not where they should be.
	annotationSpread = v1alpha1.Group + "/spread-by"
)

// coreDNSPatch is the part of CoreDNS's Deployment that kubectl-ha sets, for
// that number of control planes: a strategic merge patch, JSON.
func coreDNSPatch(controlPlanes int) ([]byte, error) {
	objects, err := apply.Load(manifests.FS, manifests.CoreDNS)
	if err != nil {
		return nil, err
	}
	d := &appsv1.Deployment{}
	if err := apply.Typed(objects[0], d); err != nil {
		return nil, err
	}
	n := int32(controlPlanes)
	d.Spec.Replicas = &n
	d.Spec.Template.Spec.TopologySpreadConstraints[0].MinDomains = &n
	// Only what the manifest names is in the patch, none of the type's empty fields.
	typed, err := apply.Untyped(d)
	if err != nil {
		return nil, err
	}
	u := objects[0]
	for _, path := range [][]string{
		{"spec", "replicas"},
		{"spec", "template", "spec", "topologySpreadConstraints"},
	} {
		value, _, err := unstructured.NestedFieldCopy(typed.Object, path...)
		if err == nil {
			err = unstructured.SetNestedField(u.Object, value, path...)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", manifests.CoreDNS, err)
		}
	}
	return json.Marshal(u.Object)
}

// patchCoreDNS applies the patch, or tries it; it returns the Deployment before
// and after, both nil when there is no CoreDNS in this cluster.
func patchCoreDNS(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster, dryRun bool) (before, after *appsv1.Deployment, err error) {
	patch, err := coreDNSPatch(len(c.ControlPlanes()))
	if err != nil {
		return nil, nil, err
	}
	deployments := kube.AppsV1().Deployments(metav1.NamespaceSystem)
	before, err = deployments.Get(ctx, coreDNS, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the CoreDNS deployment: %w", err)
	}
	o := metav1.PatchOptions{FieldManager: apply.FieldManager}
	if dryRun {
		o.DryRun = []string{metav1.DryRunAll}
	}
	after, err = deployments.Patch(ctx, coreDNS, types.StrategicMergePatchType, patch, o)
	if err != nil {
		return nil, nil, fmt.Errorf("patch the CoreDNS deployment: %w", err)
	}
	return before, after, nil
}

func observeCoreDNS(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster) (string, error) {
	before, after, err := patchCoreDNS(ctx, kube, c, true)
	if err != nil || before == nil || equality.Semantic.DeepEqual(before.Spec, after.Spec) {
		return "", err
	}
	return "CoreDNS is not set to one replica on each control plane", nil
}

// setCoreDNS patches early, so that replicas that wait for nodes already wait
// for the right ones.
func setCoreDNS(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	before, after, err := patchCoreDNS(ctx, t.Clients.Kube, t.Cluster, false)
	switch {
	case err != nil:
		return engine.Outcome{}, err
	case before == nil:
		return engine.Outcome{Message: "there is no CoreDNS"}, nil
	case before.Generation == after.Generation:
		return engine.Outcome{}, nil
	}
	return engine.Outcome{Message: fmt.Sprintf("%d replicas", len(t.Cluster.ControlPlanes()))}, nil
}

func observeCoreDNSReady(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster) (string, error) {
	d, err := kube.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, coreDNS, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if waits := ready.Deployment(d); waits != "" {
		return "CoreDNS: " + waits, nil
	}
	pods, err := coreDNSPods(ctx, kube, d)
	if err != nil {
		return "", err
	}
	return crowded(pods, len(c.ControlPlanes())), nil
}

// coreDNSReady waits for the roll-out. When the pods are not one to a control
// plane after that, which is so when they were there before the constraint, it
// restarts them once.
func coreDNSReady(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	look := func(ctx context.Context) (string, error) {
		return observeCoreDNSReady(ctx, t.Clients.Kube, t.Cluster)
	}
	deployments := t.Clients.Kube.AppsV1().Deployments(metav1.NamespaceSystem)
	err := until(ctx, t, "CoreDNS", func(ctx context.Context) (string, error) {
		waits, err := look(ctx)
		if err != nil || !strings.HasPrefix(waits, crowdedMark) {
			return waits, err
		}
		patch, err := podAnnotation(annotationSpread, t.Operation.Name)
		if err != nil {
			return "", err
		}
		// The same annotation a second time changes nothing.
		_, err = deployments.Patch(ctx, coreDNS, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: apply.FieldManager})
		return waits, err
	})
	if err != nil {
		return engine.Outcome{}, err
	}
	return engine.Outcome{Message: "available on every control plane"}, nil
}

func coreDNSPods(ctx context.Context, kube kubernetes.Interface, d *appsv1.Deployment) ([]corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("the CoreDNS deployment's selector: %w", err)
	}
	list, err := kube.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, fmt.Errorf("list the CoreDNS pods: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil }), nil
}

const crowdedMark = "CoreDNS runs on "

// crowded says that the pods are on fewer nodes than they should be.
func crowded(pods []corev1.Pod, controlPlanes int) string {
	nodes := map[string]bool{}
	for _, p := range pods {
		nodes[p.Spec.NodeName] = true
	}
	if want := min(len(pods), controlPlanes); len(nodes) < want {
		return fmt.Sprintf("%s%d nodes instead of %d", crowdedMark, len(nodes), want)
	}
	return ""
}
