package agents

import (
	"context"
	"slices"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
)

// Usual are the agents that most nodes of this cluster have, for what only
// looks, and for what goes on with an Operation that has its agents already. What
// creates one calls Ensure.
func (a *Source) Usual(ctx context.Context, config *rest.Config) (v1alpha1.Agents, error) {
	all, err := a.Looking(ctx, config)
	if err != nil {
		return nil, err
	}
	return all.Usual, nil
}

// Lookers are the agents that may look at nodes: this program's own, as far as it has them,
// and those that most nodes have.
type Lookers struct{ Own, Usual v1alpha1.Agents }

// Looking needs no agent of this program's, which may not have those of all nodes, as
// long as the cluster has some: whoever ends an Operation is not to look for a file first.
func (a *Source) Looking(ctx context.Context, config *rest.Config) (Lookers, error) {
	nodes, err := nodesOf(ctx, config)
	if err != nil {
		return Lookers{}, err
	}
	ops, err := incluster.NewOperations(config, nil)
	if err != nil {
		return Lookers{}, err
	}
	all, err := ops.List(ctx)
	// A cluster of another tool knows no Operations.
	if err != nil && !apierrors.IsNotFound(err) {
		return Lookers{}, action.OfCluster(err)
	}
	own, lacking := a.present(ctx, nodes)
	out := lookersOf(nodes, knownAgents(all), own)
	if len(out.Usual) == 0 {
		return Lookers{}, lacking
	}
	return out, nil
}

// lookersOf is pure.
func lookersOf(nodes []corev1.Node, known []v1alpha1.Agents, own v1alpha1.Agents) Lookers {
	otherwise := own
	if len(own) == 0 && len(known) > 0 {
		otherwise = known[0]
	}
	return Lookers{own, chooseAgents(nodes, known, otherwise)}
}

// knownAgents are those that have carried out Operations of this cluster, the last first.
// all are the oldest first. It is pure.
func knownAgents(all []v1alpha1.Operation) (out []v1alpha1.Agents) {
	for _, op := range slices.Backward(all) {
		agents, err := op.Agents()
		// Who has spoilt what an Operation says of its agents has none known by it.
		if err != nil || len(agents) == 0 || slices.ContainsFunc(agents, func(a v1alpha1.Agent) bool { return !bundle.IsAgentImage(a.Image) }) {
			continue
		}
		if !slices.ContainsFunc(out, func(a v1alpha1.Agents) bool { return a.Image() == agents.Image() }) {
			out = append(out, agents)
		}
	}
	return out
}

// chooseAgents picks, of the agents that are known, those that most nodes report; what is
// given otherwise when as many have it. What else nodes report is not chosen, whatever it is
// called: any image in a pod gets a name there, and this is run as root. It is pure.
func chooseAgents(nodes []corev1.Node, known []v1alpha1.Agents, otherwise v1alpha1.Agents) v1alpha1.Agents {
	best, most := otherwise, having(nodes, otherwise)
	for _, agents := range known {
		if n := having(nodes, agents); n > most {
			best, most = agents, n
		}
	}
	return best
}

// having is how many of the nodes report their one of the agents.
func having(nodes []corev1.Node, agents v1alpha1.Agents) (n int) {
	for _, node := range nodes {
		if reportsAgent(node, agents) {
			n++
		}
	}
	return n
}

// reportsAgent tells whether a node reports its one of the agents.
func reportsAgent(n corev1.Node, agents v1alpha1.Agents) bool {
	agent, err := agents.For(ArchOf(n))
	if err != nil {
		return false // There is none for it.
	}
	name := reportedAs(agent.Image)
	return slices.ContainsFunc(n.Status.Images, func(i corev1.ContainerImage) bool { return slices.Contains(i.Names, name) })
}

// reportedAs is the name by which a node reports what pods name so: with a digest there is
// no tag in it.
func reportedAs(image string) string {
	named, err := reference.ParseDockerRef(image)
	if err != nil {
		return image
	}
	return named.String()
}
