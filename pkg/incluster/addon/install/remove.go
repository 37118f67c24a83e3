package install

import (
	"context"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

const definitionKind = "CustomResourceDefinition"

// removeAddon removes all that an addon made.
func removeAddon(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	name := subject(t)
	inv, err := readInventory(ctx, t.Clients.Kube, name)
	if err != nil {
		return engine.Outcome{}, err
	}
	if inv == nil {
		return engine.Outcome{Message: "it is gone already"}, nil
	}
	if inv.State != Removing {
		inv.State = Removing
		if err := writeInventory(ctx, t.Clients.Kube, inv); err != nil {
			return engine.Outcome{}, err
		}
	}
	if err := remove(ctx, t, name, inv.Objects, t.Operation.Spec.Addon.DeleteObjects); err != nil {
		return engine.Outcome{}, err
	}
	if inv.KubeletCertificates {
		if err := removeRequests(ctx, t.Clients); err != nil {
			return engine.Outcome{}, err
		}
	}
	// Last, since it is what says that there is something to remove.
	return engine.Outcome{Message: fmt.Sprintf("%d objects", len(inv.Objects))}, removeInventory(ctx, t.Clients.Kube, name)
}

// remove removes objects of an addon and waits until they are gone: what is of a
// kind that the addon itself defines first, while its controller still runs, then
// the rest, the last applied first.
func remove(ctx context.Context, t engine.Turn, name string, objects []Object, all bool) error {
	if len(objects) == 0 {
		return nil
	}
	kinds, users, err := Instances(ctx, t.Clients, objects)
	if err != nil {
		return err
	}
	if len(users) > 0 && !all {
		return UsersError(name, users)
	}
	var first, rest []Object
	for _, o := range objects {
		if kinds[o.empty().GroupVersionKind().GroupKind()] {
			first = append(first, o)
		} else {
			rest = append(rest, o)
		}
	}
	slices.Reverse(first)
	slices.Reverse(rest)
	if err := removeAll(ctx, t, name, users, true); err != nil {
		return err
	}
	if err := removeAll(ctx, t, name, first, false); err != nil {
		return err
	}
	return removeAll(ctx, t, name, rest, false)
}

// UsersError refuses to remove resource definitions with objects that the addon did not make.
func UsersError(name string, users []Object) error {
	var names []string
	for _, o := range users[:min(len(users), 5)] {
		names = append(names, o.String())
	}
	more := ""
	if n := len(users) - len(names); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("%s%s would go with the addon %s, which did not make them\nnext: delete them yourself, or let them go with --delete-objects",
		strings.Join(names, ", "), more, name)
}

// Instances finds the kinds that resource definitions among the objects define,
// and what there is of them that is not among the objects.
func Instances(ctx context.Context, c *client.Clients, objects []Object) (kinds map[schema.GroupKind]bool, users []Object, err error) {
	kinds = map[schema.GroupKind]bool{}
	for _, o := range objects {
		if o.Kind != definitionKind {
			continue
		}
		crd, err := get(ctx, c, o)
		if err != nil {
			return nil, nil, err
		}
		if crd == nil {
			continue
		}
		gvr, kind := definedBy(crd)
		kinds[kind] = true
		if gvr.Version == "" {
			continue
		}
		list, err := c.Dynamic.Resource(gvr).List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue // It is not served any more, or not yet.
		}
		if err != nil {
			return nil, nil, fmt.Errorf("list the objects of %s: %w", o.Name, err)
		}
		for i := range list.Items {
			item := objectOf(&list.Items[i])
			if !slices.ContainsFunc(objects, item.same) {
				users = append(users, item)
			}
		}
	}
	return kinds, users, nil
}

// definedBy is the resource, in a version that is served, and the kind of a definition.
func definedBy(crd *unstructured.Unstructured) (schema.GroupVersionResource, schema.GroupKind) {
	text := func(fields ...string) string {
		s, _, _ := unstructured.NestedString(crd.Object, fields...) // The server has validated it.
		return s
	}
	gvr := schema.GroupVersionResource{Group: text("spec", "group"), Resource: text("spec", "names", "plural")}
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions") // As above.
	for _, v := range versions {
		if m, ok := v.(map[string]any); ok && m["served"] == true {
			gvr.Version, _ = m["name"].(string)
			break
		}
	}
	return gvr, schema.GroupKind{Group: gvr.Group, Kind: text("spec", "names", "kind")}
}

// removeAll removes objects and waits until all are gone. An object that is no
// longer the addon's stays, unless any is to go.
func removeAll(ctx context.Context, t engine.Turn, name string, objects []Object, anybodys bool) error {
	foreground := metav1.DeletePropagationForeground
	var going []Object
	for _, o := range objects {
		u, err := get(ctx, t.Clients, o)
		if err != nil {
			return err
		}
		if u == nil || !anybodys && u.GetLabels()[addon.Label] != name {
			continue
		}
		going = append(going, o)
		if u.GetDeletionTimestamp() != nil {
			continue
		}
		ri, err := resource(t.Clients, o)
		if ri == nil || err != nil {
			return err
		}
		uid := u.GetUID()
		// What depends on it goes first, so that nothing is left when it is gone.
		err = ri.Delete(ctx, o.Name, metav1.DeleteOptions{PropagationPolicy: &foreground, Preconditions: &metav1.Preconditions{UID: &uid}})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("remove %s: %w", o, err)
		}
	}
	return engine.Until(ctx, t, "what was removed to be gone", func(ctx context.Context) (string, error) {
		for _, o := range going {
			u, err := get(ctx, t.Clients, o)
			if err != nil {
				return "", err
			}
			if u != nil {
				return left(o, u), nil
			}
		}
		return "", nil
	})
}

// left says of an object that is still there what keeps it.
func left(o Object, u *unstructured.Unstructured) string {
	text := o.String() + " is still there"
	if f := slices.DeleteFunc(u.GetFinalizers(), func(f string) bool { return f == metav1.FinalizerDeleteDependents }); len(f) > 0 {
		text += ", kept by the finalizers " + strings.Join(f, ", ")
	}
	return text
}

// removeRequests removes the kubelets' requests, which nobody approves any more.
func removeRequests(ctx context.Context, c *client.Clients) error {
	err := c.Kube.CertificatesV1().CertificateSigningRequests().DeleteCollection(ctx, metav1.DeleteOptions{},
		metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.signerName", certificatesv1.KubeletServingSignerName).String()})
	if err != nil {
		return fmt.Errorf("remove the kubelets' certificate requests: %w", err)
	}
	return nil
}
