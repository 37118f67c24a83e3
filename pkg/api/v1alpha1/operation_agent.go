package v1alpha1

import (
	"encoding/json"
	"fmt"
)

const (
	// AnnotationAgentImage is on an Operation: the agent image that carries it out. It
	// is that of the program which created the Operation, and so knows all that is in it.
	// On the nodes of other architectures it is another, see AnnotationAgents.
	AnnotationAgentImage = Group + "/agent-image"
	// AnnotationAgents is on an Operation: Agents as JSON. Versions that named their
	// agent's image by its tag wrote AnnotationAgentImage alone.
	AnnotationAgents = Group + "/agents"
)

// +kubebuilder:object:generate=false

// Agent is the program that carries an Operation out, as pods name it.
type Agent struct {
	// Arch is the architecture of its nodes, as kubelets report it. Empty: not known.
	Arch string `json:"arch,omitempty"`
	// Image is REPOSITORY:TAG@DIGEST. The digest is of one architecture's image.
	Image string `json:"image"`
	// SHA256 is the program's, in hex. Empty: not known.
	SHA256 string `json:"sha256,omitempty"`
}

// +kubebuilder:object:generate=false

// Agents are one version's, each for an architecture. The first is the coordinators'.
type Agents []Agent

// Image is that of the coordinators, empty when there is none.
func (a Agents) Image() string {
	if len(a) == 0 {
		return ""
	}
	return a[0].Image
}

// For is the agent of nodes of an architecture. One of which it is not known for which it
// is goes for all.
func (a Agents) For(arch string) (Agent, error) {
	for _, one := range a {
		if one.Arch == arch || one.Arch == "" {
			return one, nil
		}
	}
	return Agent{}, &NoAgentError{Arch: arch, Others: len(a)}
}

// +kubebuilder:object:generate=false

// NoAgentError says that none of the Agents is for an architecture, and how many are for others.
type NoAgentError struct {
	Arch   string
	Others int
}

// Error says what to do.
func (e *NoAgentError) Error() string {
	return fmt.Sprintf("there is no agent for %s nodes, only %d for others: begin anew, with a kubectl ha that has one beside it", e.Arch, e.Others)
}

// Matching are the agents when their first has an image, and else an agent with that image
// alone: an older program that took an Operation over has changed AnnotationAgentImage only.
func (a Agents) Matching(image string) Agents {
	switch {
	case image == "":
		return nil
	case a.Image() == image:
		return a
	}
	return Agents{{Image: image}}
}

// Agents are those that carry the Operation out; none when it does not say.
func (op *Operation) Agents() (Agents, error) {
	var all Agents
	if text := op.Annotations[AnnotationAgents]; text != "" {
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			return nil, fmt.Errorf("operation %s: its annotation %s can't be read: %w\nnext: kubectl annotate operation %s %s- removes it, and %s is what counts", op.Name, AnnotationAgents, err, op.Name, AnnotationAgents, AnnotationAgentImage)
		}
	}
	return all.Matching(op.Annotations[AnnotationAgentImage]), nil
}

// SetAgents notes who carries the Operation out.
func (op *Operation) SetAgents(a Agents) error {
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("operation %s: note its agents: %w", op.Name, err)
	}
	if op.Annotations == nil {
		op.Annotations = map[string]string{}
	}
	op.Annotations[AnnotationAgentImage], op.Annotations[AnnotationAgents] = a.Image(), string(text)
	return nil
}
