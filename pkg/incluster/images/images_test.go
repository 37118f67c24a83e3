package images

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

const (
	d1 = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	d2 = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

// testNode makes a node that is well; images are names, those of one image
// separated by blanks.
func testNode(name string, controlPlane bool, images ...string) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	if controlPlane {
		n.Labels["node-role.kubernetes.io/control-plane"] = ""
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	n.Status.NodeInfo.ContainerRuntimeVersion = "containerd://2.4.2"
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}}
	for _, i := range images {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: strings.Fields(i), SizeBytes: 7})
	}
	return n
}

func TestPlan(t *testing.T) {
	op := &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "op"}}
	if _, err := Plan(op); err == nil {
		t.Error("an Operation without nodes has a plan")
	}
	if _, err := PrunePlan(op); err == nil {
		t.Error("an Operation without nodes has a plan")
	}
	op.Spec.Images = &v1alpha1.ImagesSpec{Nodes: []string{"cp1", "w1"}}
	steps, err := Plan(op)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range steps {
		got = append(got, s.ID+"<"+strings.Join(s.After, ","))
		if Definition().Steps[kindOf(s.ID)] == nil {
			t.Errorf("nothing carries out %s", s.ID)
		}
	}
	if want := "credentials< images/cp1<credentials images/w1<credentials clean-up<"; strings.Join(got, " ") != want {
		t.Errorf("the plan is %v", got)
	}
	op.Spec.PruneImages = &v1alpha1.PruneImagesSpec{Nodes: []v1alpha1.NodeImages{{Name: "w1", Refs: []string{"a"}}}}
	steps, err = PrunePlan(op)
	if err != nil || len(steps) != 1 || steps[0].ID != "prune/w1" || PruneDefinition().Steps["prune"] == nil {
		t.Errorf("the plan is %v, %v", steps, err)
	}
}

func TestUnfit(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*corev1.Node)
		want   string
	}{
		"well":           {func(*corev1.Node) {}, ""},
		"no network yet": {func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionFalse }, ""},
		"silent":         {func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }, "not ready"},
		"new":            {func(n *corev1.Node) { n.Status.Conditions = nil }, "never been heard of"},
		"other runtime":  {func(n *corev1.Node) { n.Status.NodeInfo.ContainerRuntimeVersion = "cri-o://1.34" }, "cri-o://1.34"},
		"no address":     {func(n *corev1.Node) { n.Status.Addresses = nil }, "no internal address"},
	} {
		n := testNode("n", false)
		c.change(&n)
		if got := unfit(n); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestCompare(t *testing.T) {
	both := []v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleWorker}
	many := make([]string, reportedImages)
	for i := range many {
		many[i] = "example.com/other@" + d2
	}
	wanted := []v1alpha1.PushedImage{
		{Ref: "r/api:1", Digest: d1, Size: 5, For: both[:1]}, {Ref: "r/app:1", Digest: d1, Size: 5, For: both}, {Ref: "r/any:1", Digest: d1, Size: 5},
	}
	nodes := []corev1.Node{
		testNode("cp", true, "r/api@"+d1+" r/api:1", "r/app:1 r/app@"+d2, "r/any:1"),
		testNode("w", false, "r/app:1 r/app@"+d1, "r/any@"+d1+" r/any:1"),
		testNode("x", false, many...),
	}
	m := Compare(nodes, wanted, false)
	want := map[string][]State{
		"cp": {Present, OtherDigest, Unknown}, "w": {NotNeeded, Present, Present}, "x": {NotNeeded, Unknown, Unknown},
	}
	check := func(m Matrix, want map[string][]State) {
		t.Helper()
		for n, states := range want {
			for i, s := range states {
				if got := m.Images[i].States[n]; got != s {
					t.Errorf("%s on %s is %s, want %s", m.Images[i].Ref, n, got, s)
				}
			}
		}
	}
	check(m, want)
	if got := m.Targets(); !slices.Equal(got, []string{"cp", "w", "x"}) {
		t.Errorf("targets are %v; w is a source for r/app", got)
	}
	check(Compare(nodes, wanted, true), map[string][]State{"w": {Missing, Present, Present}})
	if got := Compare(nodes[1:2], wanted, false).Targets(); got != nil {
		t.Errorf("targets are %v, although nothing is lacking", got)
	}
	m = Compare(nodes[1:2], wanted, false)
	began := metav1.Now()
	prune := v1alpha1.Operation{Spec: v1alpha1.OperationSpec{PruneImages: &v1alpha1.PruneImagesSpec{Nodes: []v1alpha1.NodeImages{{Name: "w", Refs: []string{"r/any:1"}}}}}}
	prune.Status.FinishedAt = &began
	m.Doubt([]v1alpha1.Operation{prune}, began.Add(time.Second))
	check(m, map[string][]State{"w": {NotNeeded, Present, Present}})
	m.Doubt([]v1alpha1.Operation{prune}, began.Add(-time.Second))
	check(m, map[string][]State{"w": {NotNeeded, Present, Unknown}})
}

// TestCompareArchs: each node is compared with the image of its own architecture.
func TestCompareArchs(t *testing.T) {
	nodes := []corev1.Node{testNode("amd", false, "r/a:1 r/a@"+d1), testNode("arm", false, "r/a:1 r/a@"+d2), testNode("wrong", false, "r/a:1 r/a@"+d1), testNode("ppc", false)}
	arch := func(n corev1.Node) string {
		return map[string]string{"amd": "amd64", "arm": "arm64", "wrong": "arm64", "ppc": "ppc64le"}[n.Name]
	}
	wanted := map[string][]v1alpha1.PushedImage{"amd64": {{Ref: "r/a:1", Digest: d1}}, "arm64": {{Ref: "r/a:1", Digest: d2}}}
	m := CompareArchs(nodes, arch, wanted, false)
	if !slices.Equal(m.Nodes, []string{"amd", "arm", "wrong", "ppc"}) || len(m.Images) != 2 {
		t.Fatalf("got %+v", m)
	}
	for i, want := range []map[string]State{
		{"amd": Present, "arm": NotNeeded, "wrong": NotNeeded, "ppc": NotNeeded},
		{"amd": NotNeeded, "arm": Present, "wrong": OtherDigest, "ppc": NotNeeded},
	} {
		if row := m.Images[i]; !maps.Equal(row.States, want) || row.Arch != []string{"amd64", "arm64"}[i] {
			t.Errorf("row %d is %+v, want %v", i, row, want)
		}
	}
	delete(wanted, "arm64")
	if m := CompareArchs(nodes, arch, wanted, false); len(m.Images) != 1 || m.Images[0].Arch != "" || m.Images[0].States["arm"] != NotNeeded {
		t.Errorf("of one architecture: %+v", m.Images)
	}
}

func TestTargetsSources(t *testing.T) {
	wanted := []v1alpha1.PushedImage{{Ref: "r/a:1", Digest: d1, Size: 5}, {Ref: "r/b:1", Digest: d1, Size: 9}}
	a, b := "r/a:1 r/a@"+d1, "r/b:1 r/b@"+d1
	nodes := []corev1.Node{testNode("n1", false, a, b), testNode("n2", false, a, b), testNode("n3", false, a, b), testNode("n4", false, a)}
	if got := Compare(nodes, wanted, false).Targets(); !slices.Equal(got, []string{"n1", "n2", "n4"}) {
		t.Errorf("targets are %v: the one that lacks, and two that give", got)
	}
	for _, i := range []int{1, 3} {
		nodes[i].Status.Conditions[0].Status = corev1.ConditionUnknown
	}
	if got := Compare(nodes, wanted, false).Targets(); !slices.Equal(got, []string{"n1", "n3", "n4"}) {
		t.Errorf("targets are %v: one that is away gives nothing, but is named when it lacks something", got)
	}
}

func TestSurvey(t *testing.T) {
	m := Survey([]corev1.Node{
		testNode("a", false, "r/x:1 r/x@"+d1), testNode("b", false, "r/x:1 r/x@"+d1, "r/y:1"), testNode("c", false, "r/x:1 r/x@"+d2),
	})
	if len(m.Images) != 2 || m.Images[0].Ref != "r/x:1" || m.Images[0].Digest != d1 || m.Images[0].Size != 7 {
		t.Fatalf("rows are %+v", m.Images)
	}
	got := m.Images[0].States
	if got["a"] != Present || got["b"] != Present || got["c"] != OtherDigest || m.Images[1].States["a"] != Missing || m.Images[1].States["b"] != Present {
		t.Errorf("states are %+v", m.Images)
	}
}

func TestPrunable(t *testing.T) {
	node := testNode("n", true,
		"registry.k8s.io/kube-proxy:v1.36.3 registry.k8s.io/kube-proxy@"+d1, // kept version
		"registry.k8s.io/kube-proxy:v1.35.4 registry.k8s.io/kube-proxy@"+d2, // old
		"registry.k8s.io/kube-scheduler:v1.35.4",                            // old, but in use
		"registry.k8s.io/kube-scheduler@"+d2,                                // old, without a tag
		"docker.io/library/nginx:1 docker.io/library/nginx@"+d1,             // in use by its short name
		"docker.io/library/redis:1",                                         // unused
		"docker.io/library/init:1",                                          // used by an init container
		"example.com/volume:1",                                              // used as a volume
		"example.com/moved:1 example.com/moved@"+d2,                         // in use by its digest alone
		"agent.kubectl-ha.invalid/agent:dev-1", "kubectl-ha.dev/agent:v1",
	)
	pods := []corev1.Pod{
		{Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Image: "init:1"}}, Containers: []corev1.Container{{Image: "nginx:1"}},
			Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "example.com/volume:1"}}}}}},
		{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: "registry.k8s.io/kube-scheduler:v1.35.4"}}},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{ImageID: "example.com/moved@" + d2}}}},
	}
	keep := []string{"registry.k8s.io/kube-proxy:v1.36.3", "registry.k8s.io/kube-scheduler:v1.36.3"}
	o := PruneOptions{Keep: keep, Never: []string{"agent.kubectl-ha.invalid/agent", "kubectl-ha.dev/agent"}}
	check := func(want ...string) {
		t.Helper()
		slices.Sort(want)
		got := Prunable([]corev1.Node{node}, pods, o)
		if len(got) != 1 || got[0].Name != "n" || !slices.Equal(got[0].Refs, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	check("registry.k8s.io/kube-proxy:v1.35.4", "registry.k8s.io/kube-scheduler@"+d2)
	o.Unused = true
	check("registry.k8s.io/kube-proxy:v1.35.4", "registry.k8s.io/kube-scheduler@"+d2, "docker.io/library/redis:1")
	if got := Prunable([]corev1.Node{testNode("m", false)}, pods, o); got != nil {
		t.Errorf("of a node without images: %v", got)
	}
}

func TestCut(t *testing.T) {
	many := make([]string, reportedImages)
	for i := range many {
		many[i] = "example.com/other@" + d2
	}
	if got := Cut([]corev1.Node{testNode("few", false, many[1:]...), testNode("many", false, many...)}); !slices.Equal(got, []string{"many"}) {
		t.Errorf("got %v", got)
	}
}

// TestRecheck: what pods name by now stays, by whichever of its names they know it.
func TestRecheck(t *testing.T) {
	nodes := []corev1.Node{testNode("n", false, "docker.io/library/nginx:1 docker.io/library/nginx@"+d1, "example.com/old:1")}
	chosen := []v1alpha1.NodeImages{
		{Name: "n", Refs: []string{"docker.io/library/nginx:1", "example.com/old:1", "example.com/small:1"}},
		{Name: "gone", Refs: []string{"example.com/small:1"}},
	}
	pod := func(image string) corev1.Pod {
		return corev1.Pod{Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Image: image}}}}
	}
	for name, c := range map[string]struct {
		pods []corev1.Pod
		left []string
		used string
	}{
		"no pods":                    {nil, []string{"n docker.io/library/nginx:1 example.com/old:1 example.com/small:1", "gone example.com/small:1"}, ""},
		"a short name":               {[]corev1.Pod{pod("nginx:1")}, []string{"n example.com/old:1 example.com/small:1", "gone example.com/small:1"}, "docker.io/library/nginx:1"},
		"by its digest":              {[]corev1.Pod{pod("nginx@" + d1)}, []string{"n example.com/old:1 example.com/small:1", "gone example.com/small:1"}, "docker.io/library/nginx:1"},
		"one that no node reports":   {[]corev1.Pod{pod("example.com/small:1")}, []string{"n docker.io/library/nginx:1 example.com/old:1"}, "example.com/small:1"},
		"all of them":                {[]corev1.Pod{pod("nginx:1"), pod("example.com/small:1"), pod("example.com/old:1")}, nil, "docker.io/library/nginx:1 example.com/old:1 example.com/small:1"},
		"another image, another tag": {[]corev1.Pod{pod("example.com/old:2")}, []string{"n docker.io/library/nginx:1 example.com/old:1 example.com/small:1", "gone example.com/small:1"}, ""},
	} {
		left, used := Recheck(chosen, nodes, c.pods)
		var got []string
		for _, l := range left {
			got = append(got, l.Name+" "+strings.Join(l.Refs, " "))
		}
		if !slices.Equal(got, c.left) || strings.Join(used, " ") != c.used {
			t.Errorf("%s: left %v, in use %v", name, got, used)
		}
	}
}

func TestChooseSeed(t *testing.T) {
	step := func(node string, state v1alpha1.StepState) v1alpha1.StepStatus {
		return v1alpha1.StepStatus{ID: "images/" + node, Node: node, State: state, Job: "job-" + node}
	}
	pod := func(node string, running bool) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod-" + node, Labels: map[string]string{batchv1.JobNameLabel: "job-" + node}}}
		if running {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
		}
		return p
	}
	const r, ok = v1alpha1.StepRunning, v1alpha1.StepSucceeded
	for name, c := range map[string]struct {
		steps    []v1alpha1.StepStatus
		pods     []corev1.Pod
		failures map[string]int
		want     string
	}{
		"nothing runs":       {steps: []v1alpha1.StepStatus{step("cp", r)}, pods: []corev1.Pod{pod("cp", false)}},
		"a control plane":    {steps: []v1alpha1.StepStatus{step("w", r), step("cp", r)}, pods: []corev1.Pod{pod("w", true), pod("cp", true)}, want: "pod-cp"},
		"the one that runs":  {steps: []v1alpha1.StepStatus{step("w", r), step("cp", r)}, pods: []corev1.Pod{pod("w", true), pod("cp", false)}, want: "pod-w"},
		"one that is done":   {steps: []v1alpha1.StepStatus{step("w", r), step("cp", ok)}, pods: []corev1.Pod{pod("w", true), pod("cp", true)}, want: "pod-w"},
		"one that failed":    {steps: []v1alpha1.StepStatus{step("w", r), step("cp", r)}, pods: []corev1.Pod{pod("w", true), pod("cp", true)}, failures: map[string]int{"pod-cp": 1}, want: "pod-w"},
		"a node that's gone": {steps: []v1alpha1.StepStatus{step("gone", r), step("w", r)}, pods: []corev1.Pod{pod("gone", true), pod("w", true)}, want: "pod-w"},
	} {
		op := &v1alpha1.Operation{}
		op.Status.Steps = c.steps
		gone := testNode("gone", true)
		gone.Status.Conditions[0].Status = corev1.ConditionUnknown
		got := chooseSeed(op, c.pods, []corev1.Node{testNode("cp", true), testNode("w", false), gone}, c.failures)
		if (got == nil) != (c.want == "") || got != nil && got.pod != c.want {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
}
