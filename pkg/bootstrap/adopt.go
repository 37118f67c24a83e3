package bootstrap

import (
	"context"
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// agentTimeout bounds the agent's way into a host's image store.
const agentTimeout = 5 * time.Minute

// PlaceAgents puts the agent and its image on all nodes of a cluster that another tool
// has made, over SSH: without an agent on a node no Job of ours runs there, and there is
// no registry to pull it from. Nothing else of the nodes is touched; doing it again
// changes nothing.
func PlaceAgents(ctx context.Context, hosts transport.Runner, c *v1alpha1.Cluster, image string, sink report.Sink) error {
	var p plan.Plan
	for _, h := range c.Nodes() {
		p.Steps = append(p.Steps, plan.Step{ID: fmt.Sprintf("agent/%s", h.Name), Host: h.Name, Task: tasks.InstallAgent, Title: "put the agent and its image on the node",
			Spec: prepare.AgentSpec{Image: image}, Timeout: agentTimeout})
	}
	return plan.Run(ctx, p, plan.Options{Exec: func(ctx context.Context, s plan.Step) (plan.Outcome, error) {
		res, err := Call(ctx, hosts, s.Host, node.Request{Cluster: c.Metadata.Name, Task: s.Task, Step: s.ID, Timeout: s.Timeout, LockTimeout: lockWait}, s.Spec, sink)
		return plan.Outcome{Changed: len(res.Changes) > 0}, err
	}}, sink)
}
