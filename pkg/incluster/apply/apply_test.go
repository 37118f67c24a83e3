package apply_test

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

const documents = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {size: {type: integer}}}}
---
apiVersion: v1
kind: Namespace
metadata: {name: a, labels: {app: test}}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: t, namespace: a}
size: 1
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: a}
data: {k: v}
`

func TestApply(t *testing.T) {
	s := kubetest.Start(t)
	c, err := client.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := apply.Decode([]byte(documents), "test")
	if err != nil {
		t.Fatal(err)
	}
	// counts says how many objects are pending, and how many an apply changes.
	counts := func(wantPending, wantChanged int) {
		t.Helper()
		pending, err := apply.Pending(t.Context(), c, objects, apply.Options{})
		if err != nil || len(pending) != wantPending {
			t.Errorf("pending are %v, %v", pending, err)
		}
		changed, err := apply.Apply(t.Context(), c, objects, apply.Options{})
		if err != nil || len(changed) != wantChanged {
			t.Errorf("changed were %v, %v", changed, err)
		}
	}
	counts(4, 4)
	counts(0, 0)
	maps := c.Kube.CoreV1().ConfigMaps("a")
	// Somebody adds a field of his own: no concern of ours.
	if _, err := maps.Patch(t.Context(), "c", types.MergePatchType, []byte(`{"data":{"own":"x"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	counts(0, 0)
	// Somebody changes a field of ours.
	if _, err := maps.Patch(t.Context(), "c", types.MergePatchType, []byte(`{"data":{"k":"w"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	if pending, err := apply.Pending(t.Context(), c, objects, apply.Options{}); err != nil || len(pending) > 0 {
		t.Errorf("pending are %v, %v", pending, err)
	}
	_, err = apply.Apply(t.Context(), c, objects, apply.Options{})
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "ConfigMap a/c") || !strings.Contains(err.Error(), "kubectl-edit") {
		t.Errorf("the conflict is %v", err)
	}
	if m, err := maps.Get(t.Context(), "c", metav1.GetOptions{}); err != nil || m.Data["k"] != "w" {
		t.Errorf("it was overwritten: %v, %v", m, err)
	}
	changed, err := apply.Apply(t.Context(), c, objects, apply.Options{Force: true})
	if err != nil || len(changed) != 1 {
		t.Errorf("by force %v changed, %v", changed, err)
	}
	if m, err := maps.Get(t.Context(), "c", metav1.GetOptions{}); err != nil || m.Data["k"] != "v" || m.Data["own"] != "x" {
		t.Errorf("by force: %v, %v", m, err)
	}
	unknown, err := apply.Decode([]byte("apiVersion: example.com/v1\nkind: Nothing\nmetadata: {name: nothing}\n"), "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := apply.Apply(t.Context(), c, unknown, apply.Options{}); err == nil || !strings.Contains(err.Error(), "Nothing nothing") {
		t.Errorf("an unknown kind: %v", err)
	}
}
