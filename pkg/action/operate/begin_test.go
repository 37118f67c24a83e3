package operate

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

func document() *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "test"}, Spec: v1alpha1.ClusterSpec{KubernetesVersion: "v1.36.3", VirtualIP: "10.0.0.100",
		Hosts: []v1alpha1.Host{{Name: "cp1", Address: "10.0.0.11", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}, {Name: "w1", Address: "10.0.0.21"}}}}
	c.SetDefaults()
	return c
}

func adding(names ...string) v1alpha1.OperationSpec {
	return v1alpha1.OperationSpec{Type: v1alpha1.OperationAddNode, AddNode: &v1alpha1.AddNodeSpec{Nodes: names}}
}

func removing(name string, force bool) v1alpha1.OperationSpec {
	return v1alpha1.OperationSpec{Type: v1alpha1.OperationRemoveNode, RemoveNode: &v1alpha1.RemoveNodeSpec{Node: name, ForceDrain: force}}
}

// TestBegin is about a cluster of a real API server, in which nobody carries Operations out.
func TestBegin(t *testing.T) {
	s := kubetest.Start(t)
	ctx, sink := t.Context(), report.Discard()
	if _, err := Connect(ctx, s.Config); action.KindOf(err) != action.Invalid {
		t.Errorf("a cluster without a document: %v of kind %q", err, action.KindOf(err))
	}
	if _, err := incluster.Install(ctx, s.Config, document()); err != nil {
		t.Fatal(err)
	}
	c, err := Connect(ctx, s.Config)
	if err != nil {
		t.Fatal(err)
	}
	if c.Stored.Metadata.Name != "test" || len(c.Stored.Spec.Hosts) != 2 {
		t.Errorf("the document is %+v", c.Stored)
	}
	if err := c.RefuseOther(ctx, adding("w2")); err != nil {
		t.Errorf("refused where there is no Operation: %v", err)
	}
	grown := document()
	grown.Spec.Hosts = append(grown.Spec.Hosts, v1alpha1.Host{Name: "w2", Address: "10.0.0.22", Roles: []v1alpha1.Role{v1alpha1.RoleWorker}})
	first, err := c.Begin(ctx, grown, adding("w2"), sink)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Connect(ctx, s.Config)
	if err != nil {
		t.Fatal(err)
	}
	if _, stored := again.Stored.Host("w2"); !stored {
		t.Error("the Operation is begun, and its document is not stored")
	}
	// The document of what is taken up is the one with which it was created.
	same, err := again.Begin(ctx, document(), adding("w2"), sink)
	if err != nil || same.Name != first.Name {
		t.Errorf("the same again: %+v, %v, want %s", same, err, first.Name)
	}
	if now, err := incluster.StoredCluster(ctx, c.Clients.Kube); err != nil || len(now.Spec.Hosts) != 3 {
		t.Errorf("taking up has stored another document: %+v, %v", now, err)
	}
	for name, tc := range map[string]struct {
		specs   []v1alpha1.OperationSpec
		refused bool
	}{
		"the same":           {[]v1alpha1.OperationSpec{adding("w2")}, false},
		"one of two":         {[]v1alpha1.OperationSpec{removing("w1", false), adding("w2")}, false},
		"other hosts":        {[]v1alpha1.OperationSpec{adding("w2", "w3")}, true},
		"another type":       {[]v1alpha1.OperationSpec{removing("w2", false)}, true},
		"none that is named": {nil, true},
	} {
		err := c.RefuseOther(ctx, tc.specs...)
		var busy *operations.BusyError
		if errors.As(err, &busy) != tc.refused || tc.refused && busy.Name != first.Name {
			t.Errorf("%s: %v", name, err)
		}
	}
	var busy *operations.BusyError
	if _, err := c.Begin(ctx, nil, removing("w1", false), sink); !errors.As(err, &busy) || busy.Name != first.Name {
		t.Errorf("another one beside it: %v", err)
	}
	// One that is being aborted is not taken up: it only ends.
	if err := first.Operations.Abort(ctx, first.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Begin(ctx, nil, adding("w2"), sink); !errors.As(err, &busy) {
		t.Errorf("beside one that is being aborted: %v", err)
	}
	all, err := first.Operations.List(ctx)
	if err != nil || len(all) != 1 {
		t.Errorf("there are %d Operations, %v", len(all), err)
	}
}

// TestManifests prints what can be applied, and creates nothing.
func TestManifests(t *testing.T) {
	s := kubetest.Start(t)
	if _, err := incluster.Install(t.Context(), s.Config, document()); err != nil {
		t.Fatal(err)
	}
	c, err := Connect(t.Context(), s.Config)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := c.Manifests(t.Context(), removing("w1.example", true), "w1.example")
	if err != nil || len(objects) != 2 || objects[0].GetName() != "removenode-w1-example" || !strings.HasSuffix(objects[1].GetName(), "-coordinator") {
		t.Fatalf("%v, %v", objects, err)
	}
	if err := c.RefuseOther(t.Context()); err != nil {
		t.Errorf("there is an Operation: %v", err)
	}
}

// TestUnreachable: no answer of the API has its kind, from the first request on.
func TestUnreachable(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	_, err := Connect(t.Context(), &rest.Config{Host: gone.URL})
	if action.KindOf(err) != action.Unreachable {
		t.Errorf("%v of kind %q", err, action.KindOf(err))
	}
}
