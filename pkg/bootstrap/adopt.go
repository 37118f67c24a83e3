package bootstrap

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/release"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/survey"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// agentTimeout bounds the agent's way into a host's image store.
const agentTimeout = 5 * time.Minute

// surveyTimeout bounds a look at a host.
const surveyTimeout = time.Minute

// SurveyHosts asks the hosts of a cluster that others have made how they are set up. It changes
// nothing. Those that can't be asked are in failed.
func SurveyHosts(ctx context.Context, hosts transport.Runner, c *v1alpha1.Cluster, away map[string]error, sink report.Sink) (facts map[string]survey.Facts, failed map[string]string) {
	type seen struct {
		facts survey.Facts
		err   error
	}
	facts, failed = map[string]survey.Facts{}, map[string]string{}
	for name, s := range AtOnce(c.Nodes(), func(h v1alpha1.Host) seen {
		if err := away[h.Name]; err != nil {
			return seen{err: err}
		}
		res, err := Call(ctx, hosts, h.Name, node.Request{Cluster: c.Metadata.Name, Task: tasks.Survey, Step: "survey/" + h.Name, Timeout: surveyTimeout}, survey.Spec{}, sink)
		if err != nil {
			return seen{err: err}
		}
		f, err := survey.Decode(res.Data)
		return seen{f, err}
	}) {
		if s.err != nil {
			failed[name] = s.err.Error()
			continue
		}
		facts[name] = s.facts
	}
	return facts, failed
}

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

// ReleaseHosts takes the agent off the hosts of a cluster that others have made, which runs on;
// in a dry run it only tells what would go. What is in the results is per host.
func ReleaseHosts(ctx context.Context, hosts transport.Runner, c *v1alpha1.Cluster, dryRun bool, sink report.Sink) (map[string]release.Data, error) {
	var p plan.Plan
	title := "take the agent, its image and its files off the host"
	if dryRun {
		title = "only look: " + title
	}
	for _, h := range c.Nodes() {
		p.Steps = append(p.Steps, plan.Step{ID: tasks.Release + "/" + h.Name, Host: h.Name, Task: tasks.Release, Title: title, Spec: release.Spec{}, Timeout: release.Timeout})
	}
	var mu sync.Mutex
	out := map[string]release.Data{}
	err := plan.Run(ctx, p, plan.Options{Exec: func(ctx context.Context, s plan.Step) (plan.Outcome, error) {
		res, err := Call(ctx, hosts, s.Host, node.Request{Cluster: c.Metadata.Name, Task: s.Task, Step: s.ID, Timeout: s.Timeout, LockTimeout: lockWait, DryRun: dryRun}, s.Spec, sink)
		if err != nil {
			return plan.Outcome{}, err
		}
		var data release.Data
		if err := json.Unmarshal(res.Data, &data); err != nil {
			return plan.Outcome{}, fmt.Errorf("%s: what it says of its release can't be read: %w", s.Host, err)
		}
		mu.Lock()
		defer mu.Unlock()
		out[s.Host] = data
		return plan.Outcome{Changed: len(res.Changes) > 0}, nil
	}}, sink)
	return out, err
}
