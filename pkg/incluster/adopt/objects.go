package adopt

import (
	"context"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
)

// Rights that no manifest of this version has, as another version may have made them.
var (
	gvrClusterBind = rbacv1.SchemeGroupVersion.WithResource("clusterrolebindings")
	gvrRoleBinding = rbacv1.SchemeGroupVersion.WithResource("rolebindings")
	gvrNamespace   = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
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

// Objects are what a release deletes and is there, in that order; the namespace with all that is
// in it is the last. They are what the manifests have that an adoption applies, and bindings that
// are for accounts of that namespace alone.
func Objects(ctx context.Context, c *client.Clients) ([]Object, error) {
	applied, err := applied()
	if err != nil {
		return nil, err
	}
	bound, err := bindings(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, o := range bound {
		if !slices.Contains(applied, o) {
			applied = append(applied, o)
		}
	}
	var out []Object
	for _, o := range ordered(append(applied, Object{gvrNamespace, "", v1alpha1.SystemNamespace})) {
		there, err := exists(ctx, c.Dynamic, o)
		if err != nil {
			return nil, err
		}
		if there {
			out = append(out, o)
		}
	}
	return out, nil
}

// order is that of the kinds that a release deletes. Rights go first, so that nobody uses them
// without the policy that bounds them, which is the last before the namespace.
var order = []string{"clusterrolebindings", "rolebindings", "clusterroles", "roles", "customresourcedefinitions", "validatingadmissionpolicybindings", "validatingadmissionpolicies", "namespaces"}

// ordered are the objects in that order. It is pure.
func ordered(all []Object) []Object {
	return slices.SortedStableFunc(slices.Values(all), func(a, b Object) int {
		return slices.Index(order, a.resource.Resource) - slices.Index(order, b.resource.Resource)
	})
}

// applied are the objects of the manifests that an adoption applies, without those in our namespace,
// which go with it.
func applied() ([]Object, error) {
	var out []Object
	for _, file := range []string{manifests.OperationCRD, manifests.CoordinatorPolicy, manifests.System, manifests.FlannelRights} {
		objects, err := apply.Load(manifests.FS, file)
		if err != nil {
			return nil, err
		}
		for _, u := range objects {
			resource, _ := meta.UnsafeGuessKindToResource(u.GroupVersionKind())
			if resource != gvrNamespace && u.GetNamespace() != v1alpha1.SystemNamespace {
				out = append(out, Object{resource, u.GetNamespace(), u.GetName()})
			}
		}
	}
	return out, nil
}

// bindings are those that are for accounts of our namespace alone.
func bindings(ctx context.Context, c *client.Clients) ([]Object, error) {
	var out []Object
	everywhere, err := c.Kube.RbacV1().ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the cluster role bindings: %w", err)
	}
	for _, b := range everywhere.Items {
		if forOurs(b.Subjects) {
			out = append(out, Object{gvrClusterBind, "", b.Name})
		}
	}
	list, err := c.Kube.RbacV1().RoleBindings(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the role bindings: %w", err)
	}
	for _, b := range list.Items {
		if forOurs(b.Subjects) && b.Namespace != v1alpha1.SystemNamespace {
			out = append(out, Object{gvrRoleBinding, b.Namespace, b.Name})
		}
	}
	return out, nil
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
