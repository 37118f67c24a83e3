package incluster_test

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
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
