package v1alpha1

import (
	"slices"
	"strings"
	"testing"
)

func TestOperationAgents(t *testing.T) {
	both := Agents{{Arch: "arm64", Image: "a@sha256:1", SHA256: "11"}, {Arch: "amd64", Image: "a@sha256:2", SHA256: "22"}}
	noted := func(a Agents) map[string]string {
		op := &Operation{}
		if err := op.SetAgents(a); err != nil {
			t.Fatal(err)
		}
		return op.Annotations
	}
	takenOver := noted(both)
	takenOver[AnnotationAgentImage] = "old:v1"
	for name, tc := range map[string]struct {
		annotations map[string]string
		want        Agents
		err         string
	}{
		"none":                    {},
		"an earlier version's":    {annotations: map[string]string{AnnotationAgentImage: "old:v1"}, want: Agents{{Image: "old:v1"}}},
		"noted":                   {annotations: noted(both), want: both},
		"taken over by an older":  {annotations: takenOver, want: Agents{{Image: "old:v1"}}},
		"not of this form":        {annotations: map[string]string{AnnotationAgentImage: "a", AnnotationAgents: "a"}, err: "next: kubectl annotate operation op " + AnnotationAgents + "-"},
		"agents without an image": {annotations: map[string]string{AnnotationAgents: `[{"image":"a"}]`}},
	} {
		op := &Operation{}
		op.Name, op.Annotations = "op", tc.annotations
		got, err := op.Agents()
		if !slices.Equal(got, tc.want) || (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, tc.want)
		}
	}
}

func TestAgentsFor(t *testing.T) {
	both := Agents{{Arch: "arm64", Image: "a"}, {Arch: "amd64", Image: "b"}}
	for _, tc := range []struct {
		agents     Agents
		arch, want string
		fails      bool
	}{
		{both, "arm64", "a", false}, {both, "amd64", "b", false}, {both, "s390x", "", true},
		{Agents{{Image: "old"}}, "s390x", "old", false}, {nil, "amd64", "", true},
	} {
		got, err := tc.agents.For(tc.arch)
		if got.Image != tc.want || (err != nil) != tc.fails {
			t.Errorf("%+v for %s: %+v, %v", tc.agents, tc.arch, got, err)
		}
	}
}
