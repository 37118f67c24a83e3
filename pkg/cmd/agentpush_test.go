package cmd

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

const (
	ownAgent   = agentRepository + ":v1.2.0"
	olderAgent = agentRepository + ":v1.1.0"
	oldAgent   = agentRepository + ":v1.0.0"
)

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
	// ran is an Operation with a task on w1 that ended that long ago.
	ran := func(agent string, state v1alpha1.StepState, ago time.Duration) v1alpha1.Operation {
		op := v1alpha1.Operation{}
		op.Annotations = map[string]string{v1alpha1.AnnotationAgentImage: agent}
		at := metav1.NewTime(now.Add(-ago))
		op.Status.Steps = []v1alpha1.StepStatus{{ID: "a/w1", Node: "w1", Job: "j", State: state, FinishedAt: &at}}
		return op
	}
	brought := ran(olderAgent, v1alpha1.StepSucceeded, time.Minute)
	brought.Spec.Images = &v1alpha1.ImagesSpec{Images: []v1alpha1.PushedImage{{Ref: ownAgent}}}
	away := agentNode("w1", olderAgent)
	away.Status.Conditions[0].Status = corev1.ConditionUnknown
	replaced := agentNode("w1", olderAgent)
	replaced.CreationTimestamp = metav1.NewTime(now.Add(-time.Second))
	for name, tc := range map[string]struct {
		node          corev1.Node
		ops           []v1alpha1.Operation
		lacking, away bool
	}{
		"has it":               {node: agentNode("w1", olderAgent, ownAgent)},
		"has an older one":     {node: agentNode("w1", olderAgent), lacking: true},
		"has none":             {node: agentNode("w1"), lacking: true},
		"away":                 {node: away, away: true},
		"just ran it":          {node: agentNode("w1"), ops: []v1alpha1.Operation{ran(ownAgent, v1alpha1.StepSucceeded, time.Minute)}},
		"ran it long ago":      {node: agentNode("w1"), ops: []v1alpha1.Operation{ran(ownAgent, v1alpha1.StepSucceeded, time.Hour)}, lacking: true},
		"can't tell, ran it":   {node: many(agentNode("w1")), ops: []v1alpha1.Operation{ran(ownAgent, v1alpha1.StepSucceeded, time.Hour)}},
		"can't tell":           {node: many(agentNode("w1")), lacking: true},
		"failed to run it":     {node: agentNode("w1"), ops: []v1alpha1.Operation{ran(ownAgent, v1alpha1.StepFailed, time.Minute)}, lacking: true},
		"ran another one":      {node: agentNode("w1"), ops: []v1alpha1.Operation{ran(olderAgent, v1alpha1.StepSucceeded, time.Minute)}, lacking: true},
		"just got it":          {node: agentNode("w1"), ops: []v1alpha1.Operation{brought}},
		"was replaced":         {node: replaced, ops: []v1alpha1.Operation{brought}, lacking: true},
		"another node ran it":  {node: agentNode("w2"), ops: []v1alpha1.Operation{brought}, lacking: true},
		"of its own, one more": {node: agentNode("w1", ownAgent+"-1"), lacking: true},
	} {
		lacking, away := withoutAgent([]corev1.Node{tc.node}, tc.ops, ownAgent, now)
		if (len(lacking) == 1) != tc.lacking || (len(away) == 1) != tc.away {
			t.Errorf("%s: lacking %d, away %v", name, len(lacking), away)
		}
	}
}

// Each node gets its agent by one that it has.
func TestPlanAgents(t *testing.T) {
	arm := agentNode("a1", olderAgent)
	arm.Status.NodeInfo.Architecture = "arm64"
	got := planAgents([]corev1.Node{agentNode("w3", oldAgent), agentNode("w2", olderAgent), agentNode("w1", olderAgent), agentNode("w4"), arm},
		[]corev1.Node{agentNode("cp1", olderAgent)}, ownAgent)
	want := []agentPush{
		{"amd64", olderAgent, []string{"w1", "w2", "w4"}}, {"amd64", oldAgent, []string{"w3"}}, {"arm64", olderAgent, []string{"a1"}},
	}
	if !slices.EqualFunc(got, want, func(a, b agentPush) bool {
		return a.arch == b.arch && a.carrier == b.carrier && slices.Equal(a.targets, b.targets)
	}) {
		t.Errorf("got %+v", got)
	}
	// Right after the cluster was made no node has told yet.
	if got := planAgents([]corev1.Node{agentNode("w1")}, []corev1.Node{agentNode("w1")}, ownAgent); len(got) != 1 || got[0].carrier != ownAgent {
		t.Errorf("of nodes that tell nothing: %+v", got)
	}
}
