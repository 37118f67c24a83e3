package incluster

import (
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// WithAgents are the same verbs with other agents, for what is created with them.
func (o *Operations) WithAgents(agents v1alpha1.Agents) *Operations {
	out := *o
	out.agents = agents
	return &out
}

// agentsOf are those that carry an Operation on: those that it was created for, which
// know all that is in it. Another program's may be older.
func (o *Operations) agentsOf(op *v1alpha1.Operation) (v1alpha1.Agents, error) {
	agents, err := op.Agents()
	if err != nil || len(agents) == 0 {
		return o.agents, err
	}
	return agents, nil
}

// handOver has a failed Operation carried on by this program's agents, which may be those
// that were mended since; not when they do not know what it is about.
func (o *Operations) handOver(op *v1alpha1.Operation) error {
	if _, known := definitions()[op.Spec.Type]; !known || op.Status.Phase != v1alpha1.OperationFailed || len(o.agents) == 0 {
		return nil
	}
	return op.SetAgents(o.agents)
}
