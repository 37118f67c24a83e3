package schedule

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/job"
)

// Ask runs a short task on a host that belongs to no Operation, and gives its data.
func (r *Run) Ask(ctx context.Context, h v1alpha1.Host, task string, spec any) (json.RawMessage, error) {
	req, err := node.NewRequest(task, LookTimeout, spec)
	if err != nil {
		return nil, err
	}
	req.Cluster, req.Step = r.Cluster.Metadata.Name, task+"/"+h.Name
	res, err := r.Via.Run(ctx, h.Name, req, report.Discard())
	switch {
	case err != nil:
		return nil, err
	case res.Failure != nil:
		return nil, errors.New(res.Failure.Message)
	}
	return res.Data, nil
}

// jobs run tasks on nodes that belong to no Operation.
type jobs struct {
	clients *client.Clients
	agents  v1alpha1.Agents
	run     string
}

// Run runs one, and removes its Job.
func (j jobs) Run(ctx context.Context, host string, req node.Request, sink report.Sink) (node.Result, error) {
	name := engine.JobName(j.run, req.Task+"/"+host, 1)
	return job.Runner{Kube: j.clients.Kube, Name: name, Agents: j.agents, LostAfter: LookTimeout}.Once(ctx, host, req, sink)
}
