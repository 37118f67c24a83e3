// Package diagnose looks at a whole cluster, finds what is wrong with it, has what is safe to
// be mended, and collects what helps a person to go on.
package diagnose

import (
	"context"
	"slices"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

// LookOptions say which cluster is looked at.
type LookOptions struct {
	Config *rest.Config
	// Cluster says where the hosts are, for when the API can't tell; nil is the stored document.
	Cluster *v1alpha1.Cluster
	// Deep looks at the hosts' files too, by a read-only task on each node.
	Deep bool
}

// Looker looks at one cluster, once or again and again: rates are of the time since the last look.
type Looker struct {
	LookOptions
	looker *status.Looker
}

// NewLooker makes a Looker; it asks nobody yet.
func NewLooker(o LookOptions) *Looker {
	return &Looker{LookOptions: o, looker: status.New(o.Config, o.Cluster)}
}

// Look looks once. What could not be seen is in the report; the error is none of the cluster's.
func (l *Looker) Look(ctx context.Context) (status.Report, error) {
	r, err := l.looker.Look(ctx)
	if err != nil || !l.Deep {
		return r, err
	}
	_, err = l.inspect(ctx, &r, 0)
	return r, err
}

// inspect runs the read-only task on the nodes, and adds what it finds to the report. What is
// in the way is told with what was not seen; the error is the context's end.
func (l *Looker) inspect(ctx context.Context, r *status.Report, logLines int) (status.Inspection, error) {
	found, err := l.inspectNodes(ctx, r.Nodes, logLines)
	switch {
	case ctx.Err() != nil:
		return found, context.Cause(ctx)
	case err != nil:
		r.Unseen = append(r.Unseen, "the hosts' files: "+err.Error())
		return found, nil
	}
	found.Add(r)
	return found, nil
}

func (l *Looker) inspectNodes(ctx context.Context, nodes []status.Node, logLines int) (status.Inspection, error) {
	all, err := agents.Looking(ctx, l.Config)
	if err != nil {
		return status.Inspection{}, action.OfCluster(err)
	}
	return status.Inspect(ctx, l.Config, l.looker.Cluster(), inTurn(all), nodes, logLines)
}

// inTurn are the agents that are tried on a node, one after the other. What a node has just
// got it does not report for minutes: this program's own come first. It is pure.
func inTurn(all agents.Lookers) []v1alpha1.Agents {
	var out []v1alpha1.Agents
	for _, one := range []v1alpha1.Agents{all.Own, all.Usual} {
		if len(one) > 0 && !slices.ContainsFunc(out, func(a v1alpha1.Agents) bool { return a.Image() == one.Image() }) {
			out = append(out, one)
		}
	}
	return out
}

// KindOf is the kind of error that a verdict is; empty for a healthy cluster.
func KindOf(h status.Health) action.Kind {
	switch h {
	case status.Degraded:
		return action.Findings
	case status.Broken:
		return action.Broken
	}
	return ""
}
