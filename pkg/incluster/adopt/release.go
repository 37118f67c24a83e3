package adopt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/policy"
)

const (
	// goneTimeout bounds the wait for what was deleted to be gone, goneInterval is between two looks.
	goneTimeout  = 3 * time.Minute
	goneInterval = time.Second
)

// The kinds that a release deletes, in this order: nothing is left that could make another one.
var (
	gvrCRD           = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	gvrPolicy        = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"}
	gvrPolicyBinding = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"}
	gvrClusterRole   = schema.GroupVersionResource{Group: rbacv1.GroupName, Version: "v1", Resource: "clusterroles"}
	gvrClusterBind   = schema.GroupVersionResource{Group: rbacv1.GroupName, Version: "v1", Resource: "clusterrolebindings"}
	gvrRole          = schema.GroupVersionResource{Group: rbacv1.GroupName, Version: "v1", Resource: "roles"}
	gvrRoleBinding   = schema.GroupVersionResource{Group: rbacv1.GroupName, Version: "v1", Resource: "rolebindings"}
	gvrNamespace     = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// Object is one that a release deletes.
type Object struct {
	resource        schema.GroupVersionResource
	Namespace, Name string
}

// String is KIND namespace/name, as kubectl takes it.
func (o Object) String() string {
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + o.Name
	}
	return o.resource.Resource + " " + name
}

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
	if stored.KeepsVirtualIP() {
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

// Objects are what a release deletes, in that order; the namespace with all that is in it is the
// last. Rights are known by whom they are for: accounts of that namespace alone.
func Objects(ctx context.Context, c *client.Clients) ([]Object, error) {
	var out []Object
	add := func(resource schema.GroupVersionResource, namespace, name string) error {
		there, err := exists(ctx, c.Dynamic, Object{resource, namespace, name})
		if there {
			out = append(out, Object{resource, namespace, name})
		}
		return err
	}
	err := errors.Join(add(gvrCRD, "", "operations."+v1alpha1.Group), add(gvrPolicyBinding, "", policy.Name), add(gvrPolicy, "", policy.Name))
	if err != nil {
		return nil, err
	}
	clusterwide, err := c.Kube.RbacV1().ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the cluster role bindings: %w", err)
	}
	for _, b := range clusterwide.Items {
		if !forOurs(b.Subjects) {
			continue
		}
		out = append(out, Object{gvrClusterBind, "", b.Name})
		if strings.HasPrefix(b.RoleRef.Name, "ha-") {
			out = append(out, Object{gvrClusterRole, "", b.RoleRef.Name})
		}
	}
	bindings, err := c.Kube.RbacV1().RoleBindings(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the role bindings: %w", err)
	}
	for _, b := range bindings.Items {
		if !forOurs(b.Subjects) || b.Namespace == v1alpha1.SystemNamespace {
			continue
		}
		out = append(out, Object{gvrRoleBinding, b.Namespace, b.Name})
		if b.RoleRef.Kind == "Role" && strings.HasPrefix(b.RoleRef.Name, "ha-") {
			out = append(out, Object{gvrRole, b.Namespace, b.RoleRef.Name})
		}
	}
	return out, add(gvrNamespace, "", v1alpha1.SystemNamespace)
}

// forOurs tells whether rights are for accounts of our namespace and nobody else.
func forOurs(subjects []rbacv1.Subject) bool {
	return len(subjects) > 0 && !slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
		return s.Kind != rbacv1.ServiceAccountKind || s.Namespace != v1alpha1.SystemNamespace
	})
}

func exists(ctx context.Context, dyn dynamic.Interface, o Object) (bool, error) {
	_, err := at(dyn, o).Get(ctx, o.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", o, err)
	}
	return true, nil
}

func at(dyn dynamic.Interface, o Object) dynamic.ResourceInterface {
	if o.Namespace == "" {
		return dyn.Resource(o.resource)
	}
	return dyn.Resource(o.resource).Namespace(o.Namespace)
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

// Unmark takes kubectl-ha's annotations and labels off the nodes.
func Unmark(ctx context.Context, c *client.Clients) error {
	nodes, err := c.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	for _, n := range nodes.Items {
		patch := marks(n.Annotations, n.Labels)
		if patch == "" {
			continue
		}
		if _, err := c.Kube.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("take kubectl ha's annotations off %s: %w", n.Name, err)
		}
	}
	return nil
}
