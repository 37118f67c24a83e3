package agents

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/feed"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	backups "github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups/schedule"
	renewal "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Ready makes the cluster ready for an Operation that this program creates:
// it stores the document, unless that is nil, and what Operations need, since the
// cluster may have been made by an earlier version that knew no such Operation; then
// it brings this program's agent, of which the Operations are.
func (a *Source) Ready(ctx context.Context, config *rest.Config, c *v1alpha1.Cluster, sink report.Sink) (*incluster.Operations, error) {
	if c != nil {
		if _, err := incluster.Install(ctx, config, c); err != nil {
			return nil, action.OfCluster(err)
		}
	}
	agents, err := a.Ensure(ctx, config, sink)
	if err != nil {
		return nil, err
	}
	return incluster.NewOperations(config, agents)
}

// Ensure makes sure that the nodes have this program's own agent in their image
// stores, and returns what pods call it, for incluster.NewOperations or
// Operations.WithAgents. Whoever creates an Operation calls it after a person was
// asked and before it creates: an older agent knows neither newer types of
// Operations nor newer tasks, and a coordinator may run on any control plane.
//
// It costs one list of nodes, one of Operations, a look at each schedule and, once for each Source, the packing of the
// image, of which the digest is, where nothing is to be done. What is missing is brought by an Images
// Operation of its own, which the older agent carries out; one that is in progress is
// waited for. Nodes that can't take part now are left out, and told of.
func (a *Source) Ensure(ctx context.Context, config *rest.Config, sink report.Sink) (v1alpha1.Agents, error) {
	nodes, err := nodesOf(ctx, config)
	if err != nil {
		return nil, err
	}
	own, err := a.Agents(ctx, nodes)
	if err != nil {
		return nil, err
	}
	ops, err := incluster.NewOperations(config, own)
	if err != nil {
		return nil, err
	}
	all, err := ops.List(ctx)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	known := knownAgents(all)
	if err := refuseUnknown(nodes, known, own); err != nil {
		return nil, err
	}
	lacking, away := withoutAgent(nodes, all, own, time.Now())
	if len(away) > 0 {
		action.Tell(sink, "%s is unavailable and may lack this program's agent; the agent is installed when the node is next used", strings.Join(away, ", "))
	}
	for _, p := range planAgents(lacking, nodes, known, own) {
		if err := push(ctx, config, ops.WithAgents(p.carrier), a, p, sink); err != nil {
			return nil, fmt.Errorf("install this program's agent on %s: %w", strings.Join(p.targets, ", "), err)
		}
	}
	return own, follow(ctx, config, own, sink)
}

// follow has what is done by schedule run by the agent that all nodes have now: an earlier
// one is not on nodes that come later. Who may not write it can do his Operation all the same.
func follow(ctx context.Context, config *rest.Config, own v1alpha1.Agents, sink report.Sink) error {
	clients, err := client.New(config)
	if err != nil {
		return err
	}
	for _, s := range []struct {
		schedule.Kind
		follow func(context.Context, *client.Clients, v1alpha1.Agents) (bool, error)
	}{{renewal.Renewal(), renewal.Follow}, {backups.Backup(), backups.Follow}} {
		changed, err := s.follow(ctx, clients, own)
		switch {
		case apierrors.IsForbidden(err):
			action.Warn(sink, s.SetUp+", run by an administrator", "the %s goes on with another agent: %v", s.What, err)
		case err != nil:
			return action.OfCluster(err)
		case changed:
			action.Tell(sink, "the %s uses this program's agent now", s.What)
		}
	}
	return nil
}

// refuseUnknown refuses a cluster whose nodes have an agent that no Operation names, and not
// this program's: an earlier version's, with which a cluster was adopted and which has carried
// nothing out yet. Nothing that they report can be run, and what this program creates would
// wait for its own agent for ever. It is pure.
func refuseUnknown(nodes []corev1.Node, known []v1alpha1.Agents, own v1alpha1.Agents) error {
	if len(known) > 0 || having(nodes, own) > 0 {
		return nil
	}
	for _, n := range nodes {
		for _, i := range n.Status.Images {
			if at := slices.IndexFunc(i.Names, bundle.IsAgentImage); at >= 0 {
				return fmt.Errorf("%s has an agent (%s) that is unknown to the Operations of this cluster, and not that of this program\nnext: install this program's agent with %s adopt --ssh, or with %s bootstrap -f CLUSTER in a cluster created by it; the nodes report it within five minutes",
					n.Name, i.Names[at], program.Name, program.Name)
			}
		}
	}
	return nil
}

// withoutAgent are the nodes that do not have an agent's image as far as is known, and
// of those the names of them that can't get it now. It is pure.
func withoutAgent(nodes []corev1.Node, all []v1alpha1.Operation, own v1alpha1.Agents, now time.Time) (lacking []corev1.Node, away []string) {
	for _, n := range nodes {
		agent, err := own.For(ArchOf(n))
		if err != nil {
			lacking = append(lacking, n) // Who brings it says that there is none.
			continue
		}
		m := images.Compare([]corev1.Node{n}, []v1alpha1.PushedImage{{Ref: reportedAs(agent.Image)}}, true)
		state := m.Images[0].States[n.Name]
		// A kubelet tells late what has come, and of many images not all.
		since := now.Add(-feed.JustNow)
		if state == images.Unknown {
			since = time.Time{}
		}
		switch {
		case state == images.Present || ranAgent(n, all, agent, since):
		case !images.Fit(n):
			away = append(away, n.Name)
		default:
			lacking = append(lacking, n)
		}
	}
	return lacking, away
}

// ranAgent tells whether since then a task of an Operation has succeeded on the node
// that this agent has carried out, or that has brought it.
func ranAgent(n corev1.Node, all []v1alpha1.Operation, agent v1alpha1.Agent, since time.Time) bool {
	for _, op := range all {
		if !carriedOutBy(op, agent) && !brought(op, agent) {
			continue
		}
		for _, s := range op.Status.Steps {
			if s.Node == n.Name && s.Job != "" && s.State == v1alpha1.StepSucceeded && s.FinishedAt != nil &&
				s.FinishedAt.After(since) && s.FinishedAt.After(n.CreationTimestamp.Time) {
				return true
			}
		}
	}
	return false
}

// carriedOutBy tells whether an Operation names this agent.
func carriedOutBy(op v1alpha1.Operation, agent v1alpha1.Agent) bool {
	agents, err := op.Agents()
	return err == nil && slices.ContainsFunc(agents, func(a v1alpha1.Agent) bool { return a.Image == agent.Image })
}

// brought tells whether an Operation is to bring this agent.
func brought(op v1alpha1.Operation, agent v1alpha1.Agent) bool {
	return op.Spec.Images != nil && slices.ContainsFunc(op.Spec.Images.Images, func(i v1alpha1.PushedImage) bool {
		return i.Ref+"@"+i.Digest == agent.Image
	})
}

// agentPush is what one Operation brings, and the agents that carry it out.
type agentPush struct {
	arch    string
	carrier v1alpha1.Agents
	targets []string
}

// planAgents groups the nodes that lack an agent by their architecture and by the
// agent that they have, of those that are known, the most frequent one first. It is pure.
func planAgents(lacking, all []corev1.Node, known []v1alpha1.Agents, own v1alpha1.Agents) []agentPush {
	common := chooseAgents(all, known, own)
	known = append([]v1alpha1.Agents{own}, known...)
	var out []agentPush
	for _, arch := range ArchsOf(lacking) {
		left := slices.DeleteFunc(slices.Clone(lacking), func(n corev1.Node) bool { return ArchOf(n) != arch })
		for len(left) > 0 {
			p := agentPush{arch: arch, carrier: chooseAgents(left, known, common)}
			var later []corev1.Node
			for _, n := range left {
				// One that tells of none may have it all the same, and none has another.
				tells := slices.ContainsFunc(known, func(a v1alpha1.Agents) bool { return reportsAgent(n, a) })
				if !tells || reportsAgent(n, p.carrier) {
					p.targets = append(p.targets, n.Name)
				} else {
					later = append(later, n)
				}
			}
			slices.Sort(p.targets)
			out, left = append(out, p), later
		}
	}
	return out
}

// agentNames are the names with which an agent is sent. An agent of a version before the
// name pins none but the former one, by which it then pins the image itself, so that the
// kubelet's garbage collection leaves it.
func agentNames(image bundle.Image, carrier v1alpha1.Agents) []bundle.Image {
	out := []bundle.Image{image}
	if strings.HasPrefix(carrier.Image(), bundle.FormerAgentRepository+":") {
		image.Ref = bundle.FormerAgentRepository + strings.TrimPrefix(image.Ref, bundle.AgentRepository)
		out = append(out, image)
	}
	return out
}

// push has one Operation bring the agent.
func push(ctx context.Context, config *rest.Config, ops *incluster.Operations, source *Source, p agentPush, sink report.Sink) error {
	image, blobs, err := source.Image(ctx, p.arch)
	if err != nil {
		return err
	}
	action.Tell(sink, "first installing this program's agent on %s", strings.Join(p.targets, ", "))
	list := agentNames(image, p.carrier)
	parcel, err := swarm.NewParcelWith(ctx, nil, list, blobs)
	if err != nil {
		return err
	}
	_, identity := parcel.Encode()
	spec := v1alpha1.OperationSpec{Type: v1alpha1.OperationImages, Images: &v1alpha1.ImagesSpec{
		Parcel: v1alpha1.Content{Digest: identity.Digest.String(), Size: identity.Size},
		Images: feed.Pushed(list), Nodes: p.targets, Port: v1alpha1.DefaultPeerPort,
	}}
	op, over, err := feed.Same(ctx, ops, spec, sink)
	if err != nil || over {
		return action.OfCluster(err)
	}
	if op == nil {
		if op, err = feed.CreateWhenFree(ctx, ops, spec, sink); err != nil {
			return action.OfCluster(err)
		}
	}
	_, err = feed.Run(ctx, feed.Feed{Config: config, Operations: ops, Name: op.Name, Parcel: parcel, Source: blobs}, sink)
	return err
}
