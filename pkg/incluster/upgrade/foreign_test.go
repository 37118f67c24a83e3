package upgrade

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// foreignDocument is that of a cluster whose endpoint others keep.
func foreignDocument(virtualIP, address string) *v1alpha1.Cluster {
	c := storedDocument()
	c.Spec.VirtualIP = virtualIP
	c.Spec.Endpoint = v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: address}
	return c
}

// ownSteps are the kinds of steps that are about a virtual IP of kubectl-ha's, or settings that
// name it.
var ownSteps = []string{stepVIPAway, stepHolders, stepVIPBack, stepVIPRestore, "kube-proxy", "cluster-info", "coredns", "coredns-ready"}

func kinds(steps []v1alpha1.StepStatus) []string {
	var out []string
	for _, s := range steps {
		kind, _, _ := strings.Cut(s.ID, "/")
		out = append(out, kind)
	}
	return out
}

// TestForeignEndpoint: nothing of an endpoint that others keep is in the plan, and whoever reads
// it is told what each restart costs there.
func TestForeignEndpoint(t *testing.T) {
	for name, tt := range map[string]struct {
		cluster *v1alpha1.Cluster
		// first and second are told of cp1 and cp2.
		first, second string
	}{
		"keepalived by hand":     {foreignDocument("10.0.0.1", ""), "virtual IP 10.0.0.1:6443 is not kubectl ha's", "while it is on cp2"},
		"a name":                 {foreignDocument("", "api.example:6443"), "api.example:6443 is not kubectl ha's", "it notices by itself"},
		"a load balancer":        {foreignDocument("", "198.51.100.1:443"), "198.51.100.1:443", "can fail until it does"},
		"the own address of cp1": {foreignDocument("", "10.0.0.10:6443"), "all requests fail until its apiserver is back", "own address of cp1, where requests go on"},
		"localhost":              {foreignDocument("", "localhost:6443"), "requests from cp1 fail", "requests from cp2 fail"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := v1alpha1.UpgradeSpec{Version: "v1.36.3"}
			steps := planOf(t, tt.cluster, spec, well("v1.35.4"))
			for _, kind := range kinds(steps) {
				if slices.Contains(ownSteps, kind) {
					t.Errorf("the plan has a step %s", kind)
				}
			}
			var ids []string
			for _, s := range steps {
				for _, after := range s.After {
					if !slices.Contains(ids, after) {
						t.Errorf("%s comes after %s, which is not before it", s.ID, after)
					}
				}
				ids = append(ids, s.ID)
			}
			nodes, err := Nodes(tt.cluster, &spec, well("v1.35.4"))
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range map[int]string{0: tt.first, 1: tt.second} {
				if !strings.Contains(nodes[i].Disruption, want) || !strings.Contains(nodes[i].Disruption, "its pods keep running") {
					t.Errorf("%s: %q does not tell %q", nodes[i].Node, nodes[i].Disruption, want)
				}
			}
			for id, want := range map[string]string{"apply/cp1": tt.first, "control-plane/cp2": tt.second} {
				at := slices.IndexFunc(steps, func(s v1alpha1.StepStatus) bool { return s.ID == id })
				if at < 0 || !strings.Contains(steps[at].Title, want) {
					t.Errorf("%s does not tell %q in %+v", id, want, steps)
				}
			}
			back, err := RollbackPlan(&v1alpha1.Operation{Spec: v1alpha1.OperationSpec{RollbackNode: &v1alpha1.RollbackNodeSpec{Node: "cp1", Version: "v1.35.4"}}}, tt.cluster)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range back {
				if kind, _, _ := strings.Cut(s.ID, "/"); slices.Contains(ownSteps, kind) {
					t.Errorf("the way back has a step %s", s.ID)
				}
				if strings.HasPrefix(s.ID, stepRollback) && !strings.Contains(s.Title, tt.first) {
					t.Errorf("%s: %q does not tell %q", s.ID, s.Title, tt.first)
				}
			}
		})
	}
	// The same steps are there where the endpoint is ours.
	ours := kinds(planOf(t, storedDocument(), v1alpha1.UpgradeSpec{}, well("v1.35.4")))
	for _, kind := range ownSteps {
		if !slices.Contains(ours, kind) {
			t.Errorf("with a virtual IP of kubectl-ha's there is no step %s in %v", kind, ours)
		}
	}
}
