package look

import (
	"context"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

// inspect looks at the nodes' files, and adds what it finds. What is in the way is
// told with what was not seen.
func (o *statusOptions) inspect(ctx context.Context, looker *status.Looker, r *status.Report) error {
	found, err := inspectNodes(ctx, o, looker, r, 0)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.Unseen = append(r.Unseen, "the hosts' files: "+err.Error())
		return nil
	}
	found.Add(r)
	return nil
}

// inspectNodes runs the read-only task on the nodes.
func inspectNodes(ctx context.Context, o *statusOptions, looker *status.Looker, r *status.Report, logLines int) (status.Inspection, error) {
	config, err := cli.RestConfig(o.access)
	if err != nil {
		return status.Inspection{}, err
	}
	all, err := agents.Looking(ctx, config)
	if err != nil {
		return status.Inspection{}, action.OfCluster(err)
	}
	// What a node has just got it does not report for minutes: its own one first.
	var agents []v1alpha1.Agents
	for _, one := range []v1alpha1.Agents{all.Own, all.Usual} {
		if len(one) > 0 && !slices.ContainsFunc(agents, func(a v1alpha1.Agents) bool { return a.Image() == one.Image() }) {
			agents = append(agents, one)
		}
	}
	return status.Inspect(ctx, config, looker.Cluster(), agents, r.Nodes, logLines)
}
