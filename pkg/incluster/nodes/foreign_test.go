package nodes

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestForeignEndpoint: what others keep is neither moved nor told of who its peers are.
func TestForeignEndpoint(t *testing.T) {
	foreign := func(controlPlanes, workers int) *v1alpha1.Cluster {
		c := testCluster(controlPlanes, workers)
		c.Spec.Endpoint.ManagedBy, c.Spec.Keepalived = v1alpha1.EndpointOthers, v1alpha1.Keepalived{}
		return c
	}
	check := func(name string, steps []v1alpha1.StepStatus, err error, tells string) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		told := false
		for _, s := range steps {
			switch kind, _, _ := strings.Cut(s.ID, "/"); kind {
			case stepVIPAway, stepVIPRestore, stepPeers, stepCoreDNS, stepCoreDNSReady:
				t.Errorf("%s: the plan has a step %s", name, s.ID)
			}
			if strings.Contains(s.Title, "keepalived") || strings.Contains(s.Title, "with the virtual IP elsewhere") {
				t.Errorf("%s: %s is %q", name, s.ID, s.Title)
			}
			told = told || strings.Contains(s.Title, tells)
		}
		if !told {
			t.Errorf("%s: no step tells %q in %+v", name, tells, steps)
		}
	}
	c := foreign(4, 1)
	steps, err := PlanRemove(&v1alpha1.RemoveNodeSpec{Node: "cp4"}, c, lose(well(c), "cp4"))
	check("a control plane is lost", steps, err, "it restarts (the virtual IP 10.0.0.100:6443 is not kubectl ha's")
	steps, err = PlanRemove(&v1alpha1.RemoveNodeSpec{Node: "w1"}, c, well(c))
	check("a worker leaves", steps, err, "move the pods away from w1")
	// kubeadm's static pods would run on where nobody knows of them.
	if _, err := PlanRemove(&v1alpha1.RemoveNodeSpec{Node: "cp4"}, c, well(c)); err == nil || !strings.Contains(err.Error(), "kubeadm reset") {
		t.Errorf("a control plane that others made leaves: %v", err)
	}
	steps, err = PlanAdd(&v1alpha1.AddNodeSpec{Nodes: []string{"cp4"}}, c, change(well(c), "cp4"))
	check("a control plane comes", steps, err, "make it a control plane")
	for _, keeps := range []bool{true, false} {
		c := testCluster(3, 0)
		if !keeps {
			c = foreign(3, 0)
		}
		if c.MovesVirtualIP() != keeps {
			t.Errorf("the virtual IP moves: %v, want %v", c.MovesVirtualIP(), keeps)
		}
	}
}

// change has a node be a worker that is yet to be made a control plane.
func change(o Observation, name string) Observation {
	n := o.Nodes[name]
	n.ControlPlane = false
	o.Nodes[name] = n
	return o
}

// TestConvertedControlPlanes: of a cluster that was converted nobody takes a control plane away, whose
// static pods others may have made; a worker leaves.
func TestConvertedControlPlanes(t *testing.T) {
	c := testCluster(3, 1)
	c.Spec.Endpoint.Former = []v1alpha1.FormerEndpoint{{Address: "10.0.0.1:6443"}}
	found := Blocking(CheckRemove(c, &v1alpha1.RemoveNodeSpec{Node: "cp1"}, well(c)))
	if len(found) != 1 || found[0].Check != "adopted" || !strings.Contains(found[0].Hint, "kubeadm reset") {
		t.Errorf("%+v", found)
	}
	if found := Blocking(CheckRemove(c, &v1alpha1.RemoveNodeSpec{Node: "w1"}, well(c))); len(found) > 0 {
		t.Errorf("%+v", found)
	}
}
