package nodes

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// What is printed for one member is not what is printed for another: an Operation's intent
// can't be changed.
func TestRemoveMemberObject(t *testing.T) {
	for member, want := range map[string]string{
		"https://10.0.0.4:2380": "etcd-member-10-0-0-4-2380", "https://[2001:DB8::4]:2380": "etcd-member-2001-db8--4--2380",
		"8e9e05c52164694d": "etcd-member-8e9e05c52164694d", "CP_4": "etcd-member-cp-4",
	} {
		o := &RemoveOptions{Spec: v1alpha1.RemoveNodeSpec{EtcdMember: member}}
		_, got := o.what()
		if got != want || len(validation.IsDNS1123Subdomain("removenode-"+got)) > 0 {
			t.Errorf("%s: %s, want %s", member, got, want)
		}
	}
}

func TestCompleteRemoval(t *testing.T) {
	other := stored()
	other.Metadata.Name = "other"
	for name, tc := range map[string]struct {
		spec    v1alpha1.RemoveNodeSpec
		given   *v1alpha1.Cluster
		timeout time.Duration
		// address and drain are what is filled in.
		address, drain, want string
	}{
		"a host":                 {spec: v1alpha1.RemoveNodeSpec{Node: "w1"}, timeout: time.Minute, address: "198.51.100.21", drain: "1m0s"},
		"a node of no host":      {spec: v1alpha1.RemoveNodeSpec{Node: "w9"}, timeout: time.Minute, drain: "1m0s"},
		"a member is not filled": {spec: v1alpha1.RemoveNodeSpec{EtcdMember: "cp4"}},
		"nothing":                {want: "specify a node"},
		"both":                   {spec: v1alpha1.RemoveNodeSpec{Node: "w1", EtcdMember: "cp4"}, want: "specify a node"},
		"no time":                {spec: v1alpha1.RemoveNodeSpec{Node: "w1"}, want: "must be greater than 0"},
		"another cluster's file": {spec: v1alpha1.RemoveNodeSpec{Node: "w1"}, timeout: time.Minute, given: other, want: "is for other"},
	} {
		o := RemoveOptions{To: &operate.Connection{Stored: stored()}, Spec: tc.spec, Given: tc.given, DrainTimeout: tc.timeout}
		err := o.complete()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || action.KindOf(err) != action.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
		if tc.want == "" && (o.Spec.Address != tc.address || o.Spec.DrainTimeout != tc.drain) {
			t.Errorf("%s: %+v", name, o.Spec)
		}
	}
}

// remove: what stands in the way is in the plan, and nothing is begun then; otherwise the
// Operation has the host's address, which is in no document any more once it has ended.
func remove(t *testing.T, to *operate.Connection, s *kubetest.Server) {
	planned := func(node string) *Removal {
		t.Helper()
		r, err := PlanRemove(t.Context(), RemoveOptions{To: to, Spec: v1alpha1.RemoveNodeSpec{Node: node}, DrainTimeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, node := range []string{"cp1", "w9"} {
		r := planned(node)
		if len(r.Plan.Steps) > 0 || r.Plan.Refused() == nil {
			t.Errorf("%s: %+v", node, r.Plan)
		}
		if begun, err := r.Begin(t.Context(), noEvents(t)); begun != nil || action.KindOf(err) != action.Findings {
			t.Errorf("%s was begun: %+v, %v", node, begun, err)
		}
	}
	untouched(t, s)
	r := planned("w1")
	if _, stays := r.Plan.Cluster.Host("w1"); stays || len(r.Plan.Steps) == 0 || r.Plan.Refused() != nil {
		t.Errorf("w1: %+v", r.Plan)
	}
	if op := r.operation(); op.RemoveNode.Address != "198.51.100.21" || op.RemoveNode.DrainTimeout != "1m0s" {
		t.Errorf("the Operation is %+v", op.RemoveNode)
	}
	if out, err := r.Clean(t.Context(), noEvents(t)); err != nil || out != (Out{Host: "w1"}) {
		t.Errorf("cleaned without a file: %+v, %v", out, err)
	}
	objects, err := RemoveManifests(t.Context(), RemoveOptions{To: to, Spec: v1alpha1.RemoveNodeSpec{EtcdMember: "https://198.51.100.14:2380"}})
	if err != nil || len(objects) != 2 || objects[0].GetName() != "removenode-etcd-member-198-51-100-14-2380" {
		t.Errorf("manifests: %v, %v", objects, err)
	}
	untouched(t, s)
}

// TestClean: a host that is lost is not logged in to; one that can't be reached is an error that
// says that it is out.
func TestClean(t *testing.T) {
	given := unreachable(t, stored())
	r := &Removal{RemoveOptions: RemoveOptions{To: &operate.Connection{Stored: stored()}, Spec: v1alpha1.RemoveNodeSpec{Node: "w1"},
		Given: given, Login: nobody(t), StateDir: stateDir(t)}, lost: true}
	if out, err := r.Clean(t.Context(), noEvents(t)); err != nil || out != (Out{Host: "w1", Lost: true}) {
		t.Errorf("a lost host: %+v, %v", out, err)
	}
	r.lost = false
	out, err := r.Clean(t.Context(), report.Discard())
	if out.Cleaned || err == nil || !strings.Contains(err.Error(), "w1 was removed from the cluster, but could not be cleaned") || action.KindOf(err) != action.Unreachable {
		t.Errorf("a host out of reach: %+v, %v of kind %q", out, err, action.KindOf(err))
	}
	r.Given, r.To.Stored = clusterOf("cp1"), clusterOf("cp1")
	if _, err := r.Clean(t.Context(), noEvents(t)); err == nil || !strings.Contains(err.Error(), "contains its login") {
		t.Errorf("a host that nobody knows: %v", err)
	}
	// Who has taken the host out of his file already has it cleaned by what the document says.
	r.To.Stored = stored()
	if h, err := r.loginOf(); err != nil || h.Address != "198.51.100.21" {
		t.Errorf("a host that the document has: %+v, %v", h, err)
	}
}
