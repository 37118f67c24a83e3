package install

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// TestManifestsAreValid has a real API server look at every manifest, by a dry run.
func TestManifestsAreValid(t *testing.T) {
	s := kubetest.Start(t)
	c, err := client.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	all, err := addon.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	systemNamespace(t, c.Kube)
	for name, a := range all {
		if len(a.Missing()) > 0 {
			continue // Upstream's file is not here; upstream has it validated.
		}
		var variants []string
		for v := range a.Descriptor.Variants {
			variants = append(variants, v)
		}
		objects, err := a.Render(addon.Facts{Cluster: testCluster(), AgentImage: "agent.kubectl-ha.invalid/agent:v1", AgentArch: "amd64"}, variants)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range objects {
			o := metav1.ApplyOptions{FieldManager: FieldManager, DryRun: []string{metav1.DryRunAll}}
			if u.GetKind() == "Namespace" {
				o.DryRun = nil // The others are looked at in it.
			}
			ri, err := apply.Resource(c, u)
			if err == nil {
				_, err = ri.Apply(t.Context(), u.GetName(), u, o)
			}
			if err != nil {
				t.Errorf("%s: %s: %v", name, objectOf(u), err)
			}
		}
	}
}

const firstVersion = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: stays, namespace: mine}
data: {k: v}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: goes, namespace: mine}
---
apiVersion: v1
kind: Namespace
metadata: {name: mine}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: own, namespace: mine}
`

// operation is one on the addon mine, with that manifest.
func operation(t *testing.T, c *client.Clients, action v1alpha1.AddonAction, name, manifest string, deleteObjects bool) engine.Turn {
	t.Helper()
	a := &addon.Addon{Files: map[string][]byte{"a.yaml": []byte(manifest)}, Descriptor: addon.Descriptor{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: addon.Kind}, Name: "mine", Description: "mine", Release: addon.Release{Version: name}}}
	return operationOn(t, c, action, name, a, deleteObjects)
}

// operationOn is one on that addon, handed over as the workstation does.
func operationOn(t *testing.T, c *client.Clients, action v1alpha1.AddonAction, name string, a *addon.Addon, deleteObjects bool) engine.Turn {
	t.Helper()
	packed, digest, err := a.Pack()
	if err != nil {
		t.Fatal(err)
	}
	op := &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Spec: v1alpha1.OperationSpec{
		Addon: &v1alpha1.AddonSpec{Action: action, DeleteObjects: deleteObjects, Addons: []v1alpha1.AddonItem{{Name: "mine", Digest: digest}}}}}
	if action == v1alpha1.AddonInstall {
		if err := HandOver(t.Context(), c.Kube, op, map[string][]byte{"mine": packed}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return engine.Turn{Env: engine.Env{Clients: c, Cluster: testCluster(), Operation: op}, Step: v1alpha1.StepStatus{ID: stepApply + "/mine"},
		Progress: func(string, ...any) {}}
}

// TestHandedOver: a packed addon may have Secrets in it, so that it is one, until its Operation is done.
func TestHandedOver(t *testing.T) {
	s := kubetest.Start(t)
	c, err := client.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	systemNamespace(t, c.Kube)
	turn := operation(t, c, v1alpha1.AddonInstall, "v1", firstVersion, false)
	there := func() (configMaps, secrets int) {
		t.Helper()
		core := c.Kube.CoreV1()
		// The API server makes one itself, by and by.
		inSight, err := core.ConfigMaps(v1alpha1.SystemNamespace).List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name!=kube-root-ca.crt"})
		if err != nil {
			t.Fatal(err)
		}
		hidden, err := core.Secrets(v1alpha1.SystemNamespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return len(inSight.Items), len(hidden.Items)
	}
	if configMaps, secrets := there(); configMaps != 0 || secrets != 1 {
		t.Errorf("handed over there are %d ConfigMaps, %d Secrets", configMaps, secrets)
	}
	if a, err := unpack(t.Context(), turn.Env, turn.Operation.Spec.Addon.Addons[0]); err != nil || string(a.Files["a.yaml"]) != firstVersion {
		t.Errorf("unpacked: %+v, %v", a, err)
	}
	if _, err := tidy(t.Context(), turn); err != nil {
		t.Fatal(err)
	}
	if configMaps, secrets := there(); configMaps+secrets != 0 {
		t.Errorf("afterwards there are %d ConfigMaps, %d Secrets", configMaps, secrets)
	}
}

// TestLife installs an addon, brings it to another version, and removes it, with
// a real API server.
func TestLife(t *testing.T) {
	s := kubetest.Start(t)
	s.StartControllerManager(t)
	c, err := client.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	systemNamespace(t, c.Kube)
	configMaps := c.Kube.CoreV1().ConfigMaps("mine")
	does := func(turn engine.Turn, do func(context.Context, engine.Turn) (engine.Outcome, error), wrong string) {
		t.Helper()
		_, err := do(t.Context(), turn)
		if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Fatalf("got %v, want %q", err, wrong)
		}
	}
	does(operation(t, c, v1alpha1.AddonInstall, "v1", firstVersion, false), applyAddon, "")
	if inv, err := readInventory(t.Context(), c.Kube, "mine"); err != nil || len(inv.Objects) != 5 || inv.State != Installing {
		t.Errorf("the inventory is %v, %v", inv, err)
	}
	// Somebody changes what is the addon's: it is told, and left alone.
	if _, err := configMaps.Patch(t.Context(), "stays", types.MergePatchType, []byte(`{"data":{"k":"w"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	does(operation(t, c, v1alpha1.AddonInstall, "v2", firstVersion, false), applyAddon, "ConfigMap mine/stays was changed by somebody else")
	if _, err := configMaps.Patch(t.Context(), "stays", types.MergePatchType, []byte(`{"data":null}`), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	// A version that has less.
	second := strings.Replace(firstVersion, "name: goes", "name: new", 1)
	does(operation(t, c, v1alpha1.AddonInstall, "v3", second, false), applyAddon, "")
	if _, err := configMaps.Get(t.Context(), "goes", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what it has no more: %v", err)
	}
	// What others made is not the addon's.
	if _, err := configMaps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "theirs"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	does(operation(t, c, v1alpha1.AddonInstall, "v4", strings.Replace(second, "name: new", "name: theirs", 1), false), applyAddon, "is there already, and no addon made it")
	// A user's object of the addon's kind is in the way of its removal.
	thing := Object{APIVersion: "example.com/v1", Kind: "Thing", Namespace: metav1.NamespaceDefault, Name: "users"}.empty()
	if _, err := apply.Apply(t.Context(), c, []*unstructured.Unstructured{thing}, apply.Options{Manager: "user"}); err != nil {
		t.Fatal(err)
	}
	does(operation(t, c, v1alpha1.AddonUninstall, "v5", second, false), removeAddon, "Thing default/users would go with the addon mine")
	if _, err := configMaps.Get(t.Context(), "stays", metav1.GetOptions{}); err != nil {
		t.Errorf("something was removed: %v", err)
	}
	does(operation(t, c, v1alpha1.AddonUninstall, "v6", second, true), removeAddon, "")
	for _, o := range []Object{{APIVersion: "v1", Kind: "Namespace", Name: "mine"},
		{APIVersion: "apiextensions.k8s.io/v1", Kind: definitionKind, Name: "things.example.com"}} {
		if u, err := get(t.Context(), c, o); err != nil || u != nil {
			t.Errorf("%s is still there, %v", o, err)
		}
	}
	if inv, err := readInventory(t.Context(), c.Kube, "mine"); err != nil || inv != nil {
		t.Errorf("the inventory is %v, %v", inv, err)
	}
	does(operation(t, c, v1alpha1.AddonUninstall, "v7", second, false), removeAddon, "")
}
