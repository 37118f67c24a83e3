package agents

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// Digests of images, and what nodes report them as.
const (
	digestA, digestB, digestC = "@sha256:" + hex64a, "@sha256:" + hex64b, "@sha256:" + hex64c

	hex64a = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	hex64b = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	hex64c = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

	ownAgent   = bundle.AgentRepository + digestA
	olderAgent = bundle.AgentRepository + digestB
	// formerAgent is of a version that named its image otherwise, and by its tag.
	formerAgent = bundle.FormerAgentRepository + ":v1.0.0"
)

// The agents of three versions, as Operations name them.
func agentVersions() (own, older, former v1alpha1.Agents) {
	return v1alpha1.Agents{{Arch: "amd64", Image: bundle.AgentRepository + ":v1.2.0" + digestA}, {Arch: "arm64", Image: bundle.AgentRepository + ":v1.2.0" + digestC}},
		v1alpha1.Agents{{Arch: "amd64", Image: bundle.AgentRepository + ":v1.1.0" + digestB}, {Arch: "arm64", Image: bundle.AgentRepository + ":v1.1.0" + digestC}},
		v1alpha1.Agents{{Image: formerAgent}}
}

// operationOf is an Operation that agents carry out.
func operationOf(t *testing.T, agents v1alpha1.Agents) v1alpha1.Operation {
	t.Helper()
	op := v1alpha1.Operation{}
	if err := op.SetAgents(agents); err != nil {
		t.Fatal(err)
	}
	return op
}

// agentNode is a well node with these images.
func agentNode(name string, images ...string) corev1.Node {
	n := corev1.Node{}
	n.Name = name
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}}
	for _, i := range images {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{i}})
	}
	return n
}

// many fills a node's report up, so that it tells of some of its images only.
func many(n corev1.Node) corev1.Node {
	for i := range 50 {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{fmt.Sprintf("example.com/large-%d:v1", i)}})
	}
	return n
}

func TestWithoutAgent(t *testing.T) {
	now := time.Now()
	own, older, _ := agentVersions()
	// ran is an Operation with a task on w1 that ended that long ago.
	ran := func(agents v1alpha1.Agents, state v1alpha1.StepState, ago time.Duration) v1alpha1.Operation {
		op := operationOf(t, agents)
		at := metav1.NewTime(now.Add(-ago))
		op.Status.Steps = []v1alpha1.StepStatus{{ID: "a/w1", Node: "w1", Job: "j", State: state, FinishedAt: &at}}
		return op
	}
	bringing := func(digest string) v1alpha1.Operation {
		op := ran(older, v1alpha1.StepSucceeded, time.Minute)
		op.Spec.Images = &v1alpha1.ImagesSpec{Images: []v1alpha1.PushedImage{{Ref: bundle.AgentRepository + ":v1.2.0", Digest: digest}}}
		return op
	}
	brought := bringing("sha256:" + hex64a)
	away := agentNode("w1", olderAgent)
	away.Status.Conditions[0].Status = corev1.ConditionUnknown
	replaced := agentNode("w1", olderAgent)
	replaced.CreationTimestamp = metav1.NewTime(now.Add(-time.Second))
	for name, tc := range map[string]struct {
		node          corev1.Node
		ops           []v1alpha1.Operation
		lacking, away bool
	}{
		"has it":                  {node: agentNode("w1", olderAgent, ownAgent)},
		"has an older one":        {node: agentNode("w1", olderAgent), lacking: true},
		"has none":                {node: agentNode("w1"), lacking: true},
		"away":                    {node: away, away: true},
		"just ran it":             {node: agentNode("w1"), ops: []v1alpha1.Operation{ran(own, v1alpha1.StepSucceeded, time.Minute)}},
		"ran it long ago":         {node: agentNode("w1"), ops: []v1alpha1.Operation{ran(own, v1alpha1.StepSucceeded, time.Hour)}, lacking: true},
		"can't tell, ran it":      {node: many(agentNode("w1")), ops: []v1alpha1.Operation{ran(own, v1alpha1.StepSucceeded, time.Hour)}},
		"can't tell":              {node: many(agentNode("w1")), lacking: true},
		"failed to run it":        {node: agentNode("w1"), ops: []v1alpha1.Operation{ran(own, v1alpha1.StepFailed, time.Minute)}, lacking: true},
		"ran another one":         {node: agentNode("w1"), ops: []v1alpha1.Operation{ran(older, v1alpha1.StepSucceeded, time.Minute)}, lacking: true},
		"just got it":             {node: agentNode("w1"), ops: []v1alpha1.Operation{brought}},
		"was replaced":            {node: replaced, ops: []v1alpha1.Operation{brought}, lacking: true},
		"another node ran it":     {node: agentNode("w2"), ops: []v1alpha1.Operation{brought}, lacking: true},
		"got another by that tag": {node: agentNode("w1"), ops: []v1alpha1.Operation{bringing("sha256:" + hex64b)}, lacking: true},
		"has its tag alone":       {node: agentNode("w1", bundle.AgentRepository+":v1.2.0"), lacking: true},
		"has the other arch's":    {node: agentNode("w1", bundle.AgentRepository+digestC), lacking: true},
	} {
		lacking, away := withoutAgent([]corev1.Node{tc.node}, tc.ops, own, now)
		if (len(lacking) == 1) != tc.lacking || (len(away) == 1) != tc.away {
			t.Errorf("%s: lacking %d, away %v", name, len(lacking), away)
		}
	}
}

// Each node gets its agent by one that it has.
func TestPlanAgents(t *testing.T) {
	own, older, former := agentVersions()
	arm := agentNode("a1", bundle.AgentRepository+digestC)
	arm.Status.NodeInfo.Architecture = "arm64"
	known := []v1alpha1.Agents{older, former}
	got := planAgents([]corev1.Node{agentNode("w3", formerAgent), agentNode("w2", olderAgent), agentNode("w1", olderAgent), agentNode("w4"),
		agentNode("w5", bundle.FormerAgentRepository+":v6.6.6"), arm}, []corev1.Node{agentNode("cp1", olderAgent)}, known, own)
	want := []agentPush{
		{"amd64", older, []string{"w1", "w2", "w4", "w5"}}, {"amd64", former, []string{"w3"}}, {"arm64", older, []string{"a1"}},
	}
	if !slices.EqualFunc(got, want, func(a, b agentPush) bool {
		return a.arch == b.arch && slices.Equal(a.carrier, b.carrier) && slices.Equal(a.targets, b.targets)
	}) {
		t.Errorf("got %+v", got)
	}
	// Right after the cluster was made no node has told yet.
	if got := planAgents([]corev1.Node{agentNode("w1")}, []corev1.Node{agentNode("w1")}, nil, own); len(got) != 1 || got[0].carrier.Image() != own.Image() {
		t.Errorf("of nodes that tell nothing: %+v", got)
	}
}

// What carries the first Operation of this version out on a cluster of an earlier one pins
// the former name only.
func TestAgentNames(t *testing.T) {
	own, older, former := agentVersions()
	image := bundle.Image{Ref: bundle.AgentRepository + ":v1.2.0"}
	for name, tc := range map[string]struct {
		carrier v1alpha1.Agents
		want    []string
	}{
		"own":    {own, []string{bundle.AgentRepository + ":v1.2.0"}},
		"older":  {older, []string{bundle.AgentRepository + ":v1.2.0"}},
		"former": {former, []string{bundle.AgentRepository + ":v1.2.0", bundle.FormerAgentRepository + ":v1.2.0"}},
	} {
		var got []string
		for _, i := range agentNames(image, tc.carrier) {
			got = append(got, i.Ref)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// A program that has no agent for the nodes still ends an Operation, and looks at nodes.
func TestLookingWithoutOwnAgents(t *testing.T) {
	own, older, former := agentVersions()
	known := []v1alpha1.Agents{older, former}
	for name, tc := range map[string]struct {
		nodes []corev1.Node
		known []v1alpha1.Agents
		own   v1alpha1.Agents
		want  string
	}{
		"all":                          {[]corev1.Node{agentNode("w1", olderAgent)}, known, own, older.Image()},
		"none, and nodes have one":     {[]corev1.Node{agentNode("w1", formerAgent)}, known, nil, former.Image()},
		"none, and nodes tell nothing": {[]corev1.Node{agentNode("w1")}, known, nil, older.Image()},
		"nobody has any":               {[]corev1.Node{agentNode("w1")}, nil, nil, ""},
	} {
		if got := lookersOf(tc.nodes, tc.known, tc.own); got.Usual.Image() != tc.want || got.Own.Image() != tc.own.Image() {
			t.Errorf("%s: %+v, want %s", name, got, tc.want)
		}
	}
}

// On a cluster that an earlier version has adopted, and which has had no Operation since, nobody
// waits for an agent that is nowhere.
func TestRefuseUnknown(t *testing.T) {
	own, older, _ := agentVersions()
	for name, tc := range map[string]struct {
		nodes   []corev1.Node
		known   []v1alpha1.Agents
		refused bool
	}{
		"an earlier version's":      {[]corev1.Node{agentNode("w1", "registry.k8s.io/pause:3.10"), agentNode("w2", formerAgent)}, nil, true},
		"an older one by digest":    {[]corev1.Node{agentNode("w1", olderAgent)}, nil, true},
		"placed anew on one":        {[]corev1.Node{agentNode("w1", formerAgent, ownAgent), agentNode("w2", formerAgent)}, nil, false},
		"nodes have not told yet":   {[]corev1.Node{agentNode("w1")}, nil, false},
		"an Operation has named it": {[]corev1.Node{agentNode("w1", olderAgent)}, []v1alpha1.Agents{older}, false},
	} {
		err := refuseUnknown(tc.nodes, tc.known, own)
		if (err != nil) != tc.refused || err != nil && !strings.Contains(err.Error(), "adopt --ssh") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Only what Operations of the cluster have been carried out by is chosen, and this
// program's own: nodes report what any pod has brought there.
func TestChooseAgents(t *testing.T) {
	own, older, former := agentVersions()
	known := knownAgents([]v1alpha1.Operation{operationOf(t, former), operationOf(t, older)})
	const planted = bundle.AgentRepository + ":v9.9.9"
	for name, tc := range map[string]struct {
		known []v1alpha1.Agents
		nodes []corev1.Node
		want  v1alpha1.Agents
	}{
		"no node":                {known, nil, own},
		"foreign images":         {known, []corev1.Node{agentNode("w1", "registry.k8s.io/pause:3.10")}, own},
		"an older one":           {known, []corev1.Node{agentNode("w1", olderAgent), agentNode("w2", olderAgent)}, older},
		"the most have":          {known, []corev1.Node{agentNode("w1", formerAgent, olderAgent), agentNode("w2", formerAgent)}, former},
		"own of equals":          {known, []corev1.Node{agentNode("w1", olderAgent, ownAgent)}, own},
		"the last used of two":   {known, []corev1.Node{agentNode("w1", formerAgent, olderAgent)}, older},
		"not what a pod brought": {known, []corev1.Node{agentNode("w1", planted), agentNode("w2", planted), agentNode("w3", olderAgent)}, older},
		"not a moved tag":        {known, []corev1.Node{agentNode("w1", bundle.AgentRepository+":v1.1.0", bundle.AgentRepository+digestC)}, own},
		"no Operation":           {nil, []corev1.Node{agentNode("w1", formerAgent), agentNode("w2", olderAgent)}, own},
	} {
		if got := chooseAgents(tc.nodes, tc.known, own); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestKnownAgents(t *testing.T) {
	own, older, former := agentVersions()
	foreign, spoilt := operationOf(t, v1alpha1.Agents{{Image: "example.com/agent:v1"}}), operationOf(t, own)
	spoilt.Annotations[v1alpha1.AnnotationAgents] = "{"
	got := knownAgents([]v1alpha1.Operation{operationOf(t, former), operationOf(t, older), operationOf(t, former), foreign, spoilt, {}})
	if !slices.EqualFunc(got, []v1alpha1.Agents{former, older}, func(a, b v1alpha1.Agents) bool { return slices.Equal(a, b) }) {
		t.Errorf("got %+v", got)
	}
}

func TestAgentArchs(t *testing.T) {
	node := func(arch string, controlPlane bool) corev1.Node {
		n := agentNode("n")
		n.Status.NodeInfo.Architecture = arch
		if controlPlane {
			n.Labels = map[string]string{"node-role.kubernetes.io/control-plane": ""}
		}
		return n
	}
	for name, tc := range map[string]struct {
		nodes []corev1.Node
		want  []string
	}{
		"no node yet":           {nil, []string{"riscv64"}},
		"one":                   {[]corev1.Node{node("arm64", true), node("arm64", false)}, []string{"arm64"}},
		"workers of another":    {[]corev1.Node{node("amd64", false), node("amd64", false), node("arm64", true)}, []string{"arm64", "amd64"}},
		"control planes of two": {[]corev1.Node{node("amd64", true), node("arm64", true), node("arm64", true)}, []string{"arm64", "amd64"}},
	} {
		if got := archs(tc.nodes, "riscv64"); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
