package incluster

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// Coordinators are on control planes, whatever the Operation, and there rather not on the
// node that it works on.
func TestCoordinatorJob(t *testing.T) {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{VirtualIP: "10.0.0.100", Hosts: []v1alpha1.Host{
		{Name: "cp1", Address: "10.0.0.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}, {Name: "w1", Address: "10.0.0.2"},
	}}}
	c.SetDefaults()
	for name, tt := range map[string]struct {
		spec v1alpha1.OperationSpec
		away []string
	}{
		"upgrade":                     {v1alpha1.OperationSpec{Upgrade: &v1alpha1.UpgradeSpec{}}, nil},
		"join":                        {v1alpha1.OperationSpec{Join: &v1alpha1.JoinSpec{ControlPlanes: []string{"cp2", "cp3"}}}, []string{"cp2", "cp3"}},
		"removal":                     {v1alpha1.OperationSpec{RemoveNode: &v1alpha1.RemoveNodeSpec{Node: "cp1"}}, []string{"cp1"}},
		"removal of a member of etcd": {v1alpha1.OperationSpec{RemoveNode: &v1alpha1.RemoveNodeSpec{EtcdMember: "https://10.0.0.4:2380"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			job, err := coordinatorJob(&v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "op"}, Spec: tt.spec}, c, v1alpha1.Agents{{Image: "agent:v1"}})
			if err != nil {
				t.Fatal(err)
			}
			affinity := job.Spec.Template.Spec.Affinity
			want := []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "node-role.kubernetes.io/control-plane", Operator: corev1.NodeSelectorOpExists}}}}
			if diff := cmp.Diff(want, affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms); diff != "" {
				t.Errorf("required (-want +got):\n%s", diff)
			}
			var away []string
			for _, p := range affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
				for _, e := range p.Preference.MatchFields {
					if e.Key != "metadata.name" || len(e.Values) != 1 || e.Operator != corev1.NodeSelectorOpNotIn {
						t.Errorf("preferred: %+v", e)
					}
					away = append(away, e.Values...)
				}
			}
			if diff := cmp.Diff(tt.away, away); diff != "" {
				t.Errorf("rather not on (-want +got):\n%s", diff)
			}
			if affinity.PodAntiAffinity == nil {
				t.Error("both may be on one node")
			}
		})
	}
}

// An image by its digest is of one architecture: coordinators are where theirs runs.
func TestCoordinatorJobOfSeveralArchitectures(t *testing.T) {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{VirtualIP: "10.0.0.100", Hosts: []v1alpha1.Host{{Name: "cp1", Address: "10.0.0.1"}}}}
	c.SetDefaults()
	arm, amd := v1alpha1.Agent{Arch: "arm64", Image: "agent@sha256:a"}, v1alpha1.Agent{Arch: "amd64", Image: "agent@sha256:b"}
	for name, tt := range map[string]struct {
		agents v1alpha1.Agents
		arch   string
	}{
		"one":         {v1alpha1.Agents{amd}, ""},
		"two":         {v1alpha1.Agents{arm, amd}, "arm64"},
		"not known":   {v1alpha1.Agents{{Image: "agent:v1"}}, ""},
		"other order": {v1alpha1.Agents{amd, arm}, "amd64"},
	} {
		job, err := coordinatorJob(&v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "op"}}, c, tt.agents)
		if err != nil {
			t.Fatal(err)
		}
		pod := job.Spec.Template.Spec
		if got := pod.Containers[0]; got.Image != tt.agents[0].Image || got.ImagePullPolicy != corev1.PullNever {
			t.Errorf("%s: the image is %s, pulled %s", name, got.Image, got.ImagePullPolicy)
		}
		var arch string
		for _, e := range pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchExpressions {
			if e.Key == "kubernetes.io/arch" && e.Operator == corev1.NodeSelectorOpIn && len(e.Values) == 1 {
				arch = e.Values[0]
			}
		}
		if arch != tt.arch {
			t.Errorf("%s: on %q, want %q", name, arch, tt.arch)
		}
	}
}

// The last control plane of an architecture leaves: the coordinators are on another's, which is
// there to the end.
func TestCoordinatorsStay(t *testing.T) {
	arm, amd := v1alpha1.Agent{Arch: "arm64", Image: "agent@sha256:a"}, v1alpha1.Agent{Arch: "amd64", Image: "agent@sha256:b"}
	plane := func(name, arch string) corev1.Node {
		n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		n.Status.NodeInfo.Architecture = arch
		return n
	}
	both := []corev1.Node{plane("cp1", "amd64"), plane("cp2", "arm64")}
	for name, tt := range map[string]struct {
		planes  []corev1.Node
		leaving string
		want    v1alpha1.Agents
	}{
		"the last of the first":  {both, "cp1", v1alpha1.Agents{arm, amd}},
		"the last of the second": {both, "cp2", v1alpha1.Agents{amd, arm}},
		"a worker":               {both, "w1", v1alpha1.Agents{amd, arm}},
		"one of two":             {append(both, plane("cp3", "amd64")), "cp1", v1alpha1.Agents{amd, arm}},
		"nobody is left":         {both[:1], "cp1", v1alpha1.Agents{amd, arm}},
	} {
		given := v1alpha1.Agents{amd, arm}
		if got := staying(given, tt.planes, tt.leaving); !slices.Equal(got, tt.want) || given[0] != amd {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// A coordinator that is not the program which its Operation names takes nothing up.
func TestCoordinatorChecksItself(t *testing.T) {
	own, err := host.FileSum(host.SelfPath)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		agents  v1alpha1.Agents
		refused bool
	}{
		"this one":             {v1alpha1.Agents{{Image: "a", SHA256: own}}, false},
		"an earlier version's": {v1alpha1.Agents{{Image: "a"}}, false},
		"another":              {v1alpha1.Agents{{Image: "a", SHA256: strings.Repeat("0", 64)}}, true},
		"of another arch":      {v1alpha1.Agents{{Arch: "a", Image: "a", SHA256: own}, {Arch: "b", Image: "b", SHA256: "x"}}, false},
	} {
		err := checkSelf(tt.agents)
		if (err != nil) != tt.refused || err != nil && !strings.Contains(err.Error(), "nothing was done\nnext: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What took an Operation over says whose it is; an older program changes the image alone.
func TestAgentsCarryOn(t *testing.T) {
	mine, theirs := v1alpha1.Agents{{Arch: "amd64", Image: "mine@sha256:a", SHA256: "aa"}}, v1alpha1.Agents{{Arch: "amd64", Image: "theirs@sha256:b", SHA256: "bb"}}
	ops := (&Operations{}).WithAgents(mine)
	operation := func(phase v1alpha1.OperationPhase, kind v1alpha1.OperationType) *v1alpha1.Operation {
		op := &v1alpha1.Operation{Spec: v1alpha1.OperationSpec{Type: kind}, Status: v1alpha1.OperationStatus{Phase: phase}}
		if err := op.SetAgents(theirs); err != nil {
			t.Fatal(err)
		}
		return op
	}
	older := operation(v1alpha1.OperationRunning, v1alpha1.OperationUpgrade)
	older.Annotations[v1alpha1.AnnotationAgentImage] = "old:v1"
	for name, tt := range map[string]struct {
		op   *v1alpha1.Operation
		want v1alpha1.Agents
	}{
		"in progress":         {operation(v1alpha1.OperationRunning, v1alpha1.OperationUpgrade), theirs},
		"failed":              {operation(v1alpha1.OperationFailed, v1alpha1.OperationUpgrade), mine},
		"failed, not known":   {operation(v1alpha1.OperationFailed, "Brew"), theirs},
		"of an older program": {older, v1alpha1.Agents{{Image: "old:v1"}}},
		"does not say":        {&v1alpha1.Operation{}, mine},
	} {
		if err := ops.handOver(tt.op); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := ops.agentsOf(tt.op); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, tt.want)
		}
	}
}

// TestCoordinatorOfAConversion: whoever carries one out reaches the API by an endpoint that is there
// to the end, also when a coordinator takes over after the document was written.
func TestCoordinatorOfAConversion(t *testing.T) {
	with := func(e v1alpha1.Endpoint, virtualIP string) *v1alpha1.Cluster {
		c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{VirtualIP: virtualIP, Endpoint: e, Hosts: []v1alpha1.Host{{Name: "cp1", Address: "10.0.0.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}}}}
		c.SetDefaults()
		return c
	}
	others := with(v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: "10.0.0.1:6443"}, "")
	converted := with(v1alpha1.Endpoint{Former: []v1alpha1.FormerEndpoint{{Address: "10.0.0.1:6443"}}}, "10.0.0.100")
	local := with(v1alpha1.Endpoint{Former: []v1alpha1.FormerEndpoint{{Address: "localhost:6443"}}}, "10.0.0.100")
	for name, tt := range map[string]struct {
		c    *v1alpha1.Cluster
		back bool
		want string
	}{
		"there": {others, false, "10.0.0.1"}, "there, written": {converted, false, "10.0.0.100"},
		"back": {converted, true, "10.0.0.1"}, "back, written": {others, true, "10.0.0.1"}, "back to localhost": {local, true, ""},
	} {
		op := &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "op"}, Spec: v1alpha1.OperationSpec{Convert: &v1alpha1.ConvertSpec{VirtualIP: "10.0.0.100", Back: tt.back}}}
		job, err := coordinatorJob(op, tt.c, v1alpha1.Agents{{Image: "agent:v1"}})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, e := range job.Spec.Template.Spec.Containers[0].Env {
			if e.Name == "KUBERNETES_SERVICE_HOST" {
				got = e.Value
			}
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
