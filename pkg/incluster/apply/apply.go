package apply

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
)

// FieldManager owns the fields that kubectl-ha applies.
const FieldManager = "kubectl-ha"

// establishTimeout bounds the wait for a new CRD to be served.
const establishTimeout = 30 * time.Second

// Options say how to apply.
type Options struct {
	// Force takes over fields that somebody else has changed. Only for objects
	// that are kubectl-ha's alone.
	Force bool
	// Manager owns the fields. Default FieldManager.
	Manager string
}

func (o Options) apply() metav1.ApplyOptions {
	manager := o.Manager
	if manager == "" {
		manager = FieldManager
	}
	return metav1.ApplyOptions{FieldManager: manager, Force: o.Force}
}

// Changed is an object that was written, or in Pending would be.
type Changed struct {
	Kind, Namespace, Name string
}

// String is Kind namespace/name.
func (c Changed) String() string {
	if c.Namespace == "" {
		return c.Kind + " " + c.Name
	}
	return c.Kind + " " + c.Namespace + "/" + c.Name
}

// Apply applies the objects in their order and returns those that changed. It
// waits for each CRD among them to be served before it goes on. A conflict
// with somebody else's fields is an error that names object, field and owner.
func Apply(ctx context.Context, c *client.Clients, objects []*unstructured.Unstructured, o Options) ([]Changed, error) {
	var changed []Changed
	for _, u := range objects {
		before, after, err := one(ctx, c, u, o.apply())
		if err != nil {
			return changed, err
		}
		if before == nil || before.GetResourceVersion() != after.GetResourceVersion() {
			changed = append(changed, ref(u))
		}
		if u.GroupVersionKind().GroupKind() != crdKind {
			continue
		}
		if err := established(ctx, c, u.GetName()); err != nil {
			return changed, err
		}
		c.Mapper.Reset()
	}
	return changed, nil
}

// Pending returns the objects that Apply would change, by a dry run on the
// server. An object whose namespace or kind isn't there yet would be changed.
func Pending(ctx context.Context, c *client.Clients, objects []*unstructured.Unstructured, o Options) ([]Changed, error) {
	var pending []Changed
	for _, u := range objects {
		dry := o.apply()
		dry.DryRun = []string{metav1.DryRunAll}
		before, after, err := one(ctx, c, u, dry)
		switch {
		case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
			pending = append(pending, ref(u))
		case apierrors.IsConflict(err):
			// Somebody else's change, which Apply would leave alone too.
		case err != nil:
			return nil, err
		case before == nil || !same(before, after):
			pending = append(pending, ref(u))
		}
	}
	return pending, nil
}

// one applies one object; before is nil when it was not there.
func one(ctx context.Context, c *client.Clients, u *unstructured.Unstructured, o metav1.ApplyOptions) (before, after *unstructured.Unstructured, err error) {
	ri, err := Resource(c, u)
	if err != nil {
		return nil, nil, err
	}
	before, err = ri.Get(ctx, u.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		before = nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", ref(u), err)
	}
	after, err = ri.Apply(ctx, u.GetName(), u, o)
	if apierrors.IsConflict(err) {
		return nil, nil, fmt.Errorf("%s was changed by somebody else, kubectl-ha leaves it alone; take the change back or delete the object, and run again: %w", ref(u), err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("apply %s: %w", ref(u), err)
	}
	return before, after, nil
}

// Resource finds where objects such as this one are read and written. The error of
// a kind that the cluster does not have is a meta.NoMatchError.
func Resource(c *client.Clients, u *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := u.GroupVersionKind()
	mapping, err := c.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("%s: the cluster has no resource of %s: %w", ref(u), gvk, err)
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return c.Dynamic.Resource(mapping.Resource), nil
	}
	ns := u.GetNamespace()
	if ns == "" {
		ns = metav1.NamespaceDefault
	}
	return c.Dynamic.Resource(mapping.Resource).Namespace(ns), nil
}

// same compares what people and programs see of an object: all but the record
// of who owns which field, and since when.
func same(a, b *unstructured.Unstructured) bool {
	a, b = a.DeepCopy(), b.DeepCopy()
	for _, u := range []*unstructured.Unstructured{a, b} {
		u.SetManagedFields(nil)
		u.SetResourceVersion("")
		u.SetGeneration(0)
	}
	return equality.Semantic.DeepEqual(a.Object, b.Object)
}

// crdKind is a constant in all but syntax.
var crdKind = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}

func established(ctx context.Context, c *client.Clients, name string) error {
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind(crdKind.Kind)
	crd.SetName(name)
	ri, err := Resource(c, crd)
	if err != nil {
		return err
	}
	seen := "nothing yet"
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, establishTimeout, true, func(ctx context.Context) (bool, error) {
		u, err := ri.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			seen = err.Error()
			return false, nil // Reads are retried until the deadline.
		}
		ok, what := condition(u, "Established")
		seen = what
		return ok, nil
	})
	if err != nil {
		return fmt.Errorf("the resource definition %s was not served within %s, last seen: %s: %w", name, establishTimeout, seen, err)
	}
	return nil
}

// condition tells whether an object's condition of that type is True, and what it says.
func condition(u *unstructured.Unstructured, kind string) (bool, string) {
	list, _, err := unstructured.NestedSlice(u.Object, "status", "conditions")
	if err != nil {
		return false, err.Error()
	}
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok || m["type"] != kind {
			continue
		}
		return m["status"] == "True", fmt.Sprintf("%s is %v: %v", kind, m["status"], m["message"])
	}
	return false, "no condition " + kind
}

func ref(u *unstructured.Unstructured) Changed {
	return Changed{Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()}
}
