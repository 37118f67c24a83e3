package incluster_test

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// TestCreateWithAnOlderResource: a cluster whose Operation resource an older
// kubectl-ha installed learns of new types with the first Operation that needs
// one; what is invalid stays so.
func TestCreateWithAnOlderResource(t *testing.T) {
	s, f := start(t)
	if _, err := incluster.Install(t.Context(), s.Config, f.c); err != nil {
		t.Fatal(err)
	}
	ops, err := incluster.NewOperations(s.Config, v1alpha1.Agents{{Image: "agent:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ops.Create(t.Context(), v1alpha1.OperationSpec{Type: "Nonsense"}); err == nil || !apierrors.IsInvalid(err) {
		t.Errorf("a type that nobody knows: %v", err)
	}
	older, err := dynamic.NewForConfig(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	crds := older.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	const enum = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/type/enum"
	if _, err := crds.Patch(t.Context(), "operations.kubectl-ha.dev", types.JSONPatchType,
		[]byte(`[{"op":"replace","path":"`+enum+`","value":["Join"]}]`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	op, err := ops.Create(t.Context(), prune())
	if err != nil {
		t.Fatal(err)
	}
	if op.Spec.Type != v1alpha1.OperationPruneImages {
		t.Errorf("it was created as %s", op.Spec.Type)
	}
}

// installOlder has everything in the cluster, but for an Operation resource whose spec change has made
// what an older version knew.
func installOlder(t *testing.T, change func(f *fakeCluster, spec map[string]any)) (*fakeCluster, *client.Clients, *incluster.Operations) {
	t.Helper()
	s, f := start(t)
	_, err := incluster.Install(t.Context(), s.Config, f.c)
	f.must(err)
	clients, err := client.New(s.Config)
	f.must(err)
	objects, err := apply.Load(manifests.FS, manifests.OperationCRD)
	f.must(err)
	versions, _, err := unstructured.NestedSlice(objects[0].Object, "spec", "versions")
	f.must(err)
	version, ok := versions[0].(map[string]any)
	if !ok {
		t.Fatalf("versions are %v", versions)
	}
	at := []string{"schema", "openAPIV3Schema", "properties", "spec"}
	spec, _, err := unstructured.NestedMap(version, at...)
	f.must(err)
	change(f, spec)
	f.must(unstructured.SetNestedMap(version, spec, at...))
	f.must(unstructured.SetNestedSlice(objects[0].Object, versions, "spec", "versions"))
	_, err = apply.Apply(t.Context(), clients, objects, apply.Options{Force: true})
	f.must(err)
	ops, err := incluster.NewOperations(s.Config, v1alpha1.Agents{{Image: "agent:1"}})
	f.must(err)
	return f, clients, ops
}

// TestRemoveMemberWithAnOlderResource: the resource of a version that knew hosts alone drops the
// member from an Operation, and refuses what is left. It is brought up to date, and what it has
// stored stays valid.
func TestRemoveMemberWithAnOlderResource(t *testing.T) {
	f, clients, ops := installOlder(t, func(f *fakeCluster, spec map[string]any) {
		at := []string{"properties", "removeNode"}
		unstructured.RemoveNestedField(spec, append(at, "properties", "etcdMember")...)
		unstructured.RemoveNestedField(spec, append(at, "x-kubernetes-validations")...)
		f.must(unstructured.SetNestedStringSlice(spec, []string{"node"}, append(at, "required")...))
	})
	host, err := ops.Create(t.Context(), v1alpha1.OperationSpec{Type: v1alpha1.OperationRemoveNode, RemoveNode: &v1alpha1.RemoveNodeSpec{Node: "w1"}})
	f.must(err)
	f.must(operations.New(clients.Dynamic).Delete(t.Context(), host.Name))
	const peer = "https://10.77.0.14:2380"
	op, err := ops.Create(t.Context(), v1alpha1.OperationSpec{Type: v1alpha1.OperationRemoveNode, RemoveNode: &v1alpha1.RemoveNodeSpec{EtcdMember: peer}})
	f.must(err)
	if got := op.Spec.RemoveNode; got == nil || got.EtcdMember != peer || got.Node != "" {
		t.Errorf("it was created for %+v", got)
	}
}

// TestUpgradeWithAnOlderResource: the resource of a version that knew neither failures that may be nor
// groups of workers would drop both, and with them what bounds the turns in a plan. It is brought up
// to date first.
func TestUpgradeWithAnOlderResource(t *testing.T) {
	f, _, ops := installOlder(t, func(_ *fakeCluster, spec map[string]any) {
		at := []string{"properties", "upgrade", "properties"}
		unstructured.RemoveNestedField(spec, append(at, "maxFailures")...)
		unstructured.RemoveNestedField(spec, append(at, "by")...)
	})
	op, err := ops.Create(t.Context(), v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: &v1alpha1.UpgradeSpec{Version: "v1.36.3", MaxFailures: v1alpha1.DefaultMaxFailures, By: "zone"}})
	f.must(err)
	if got := op.Spec.Upgrade; got == nil || got.MaxFailures != v1alpha1.DefaultMaxFailures || got.By != "zone" {
		t.Errorf("it was created for %+v", got)
	}
}
