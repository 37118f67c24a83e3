package bootstrap

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/reach"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// targets are the ports of a cluster that runs that a new host needs: the API at its
// endpoint and, for what is to be a control plane or an etcd member, those of the
// members. That one of them is away is no finding: any will do.
func targets(c *v1alpha1.Cluster, h v1alpha1.Host, known Observation) (api reach.Target, etcd []reach.Target) {
	api = reach.Target{Host: "the virtual IP", Address: c.EndpointHost(), Port: c.EndpointPort()}
	if c.Spec.VirtualIP == "" {
		api.Host = "the endpoint"
	}
	member := isIn(c.EtcdMembers(), h)
	if !member && !h.Has(v1alpha1.RoleControlPlane) {
		return api, nil
	}
	for _, m := range c.EtcdMembers() {
		if _, fresh := known[m.Name]; fresh {
			continue
		}
		etcd = append(etcd, reach.Target{Host: m.Name, Address: m.Address, Port: v1alpha1.EtcdClientPort})
		if member {
			etcd = append(etcd, reach.Target{Host: m.Name, Address: m.Address, Port: v1alpha1.EtcdClientPort + 1})
		}
	}
	return api, etcd
}

// ReachCluster tries whether new hosts reach the cluster that they are to join.
// Somebody answers there already, so nobody has to listen. It changes nothing.
func ReachCluster(ctx context.Context, hosts transport.Runner, c *v1alpha1.Cluster, o Observation, sink report.Sink) ([]report.Finding, error) {
	var mu sync.Mutex
	var out []report.Finding
	var all sync.WaitGroup
	for _, h := range c.Spec.Hosts {
		seen, looked := o[h.Name]
		if !looked || seen.Err != nil {
			continue
		}
		api, etcd := targets(c, h, o)
		spec := reach.DialSpec{Token: "none is expected", Targets: append([]reach.Target{api}, etcd...)}
		if !isIn(c.Nodes(), h) {
			spec.Targets = etcd
		}
		all.Go(func() {
			found := tryReach(ctx, hosts, c, h, spec, sink)
			mu.Lock()
			defer mu.Unlock()
			out = append(out, found...)
		})
	}
	all.Wait()
	slices.SortFunc(out, func(a, b report.Finding) int {
		if a.Node+a.Message < b.Node+b.Message {
			return -1
		}
		return 1
	})
	return out, ctx.Err()
}

func tryReach(ctx context.Context, hosts transport.Runner, c *v1alpha1.Cluster, h v1alpha1.Host, spec reach.DialSpec, sink report.Sink) []report.Finding {
	if len(spec.Targets) == 0 {
		return nil
	}
	res, err := Call(ctx, hosts, h.Name, node.Request{Cluster: c.Metadata.Name, Task: tasks.Dial, Step: "reach/" + h.Name, Timeout: reachTimeout}, spec, sink)
	var data reach.DialData
	if err == nil {
		err = json.Unmarshal(res.Data, &data)
	}
	if err != nil {
		return []report.Finding{{Node: h.Name, Check: checkReach, Severity: report.SeverityWarning, Message: "whether it reaches the cluster could not be tried: " + err.Error()}}
	}
	return judgeReach(c, h, data)
}

// judgeReach makes the findings of one host: the API has to be reached, and of etcd's
// members at least one.
func judgeReach(c *v1alpha1.Cluster, h v1alpha1.Host, data reach.DialData) []report.Finding {
	var out []report.Finding
	asked, answered, away := 0, 0, ""
	for _, r := range data.Results {
		connected := r.Outcome == reach.OK || r.Outcome == reach.WrongAnswer
		if r.Address == c.EndpointHost() {
			if !connected {
				out = append(out, report.Finding{Node: h.Name, Check: checkReach, Severity: report.SeverityError,
					Message: "it can't reach the API at " + c.Endpoint() + ": " + string(r.Outcome), Hint: "open this port in the firewalls on the way; is the cluster up?"})
			}
			continue
		}
		asked++
		if connected {
			answered++
		} else {
			away = r.Host + ": " + string(r.Outcome)
		}
	}
	if asked > 0 && answered == 0 {
		out = append(out, report.Finding{Node: h.Name, Check: checkReach, Severity: report.SeverityError, Message: "it can't reach any etcd member (" + away + ")",
			Hint: "open TCP 2379 and 2380 between the hosts, both ways"})
	}
	return out
}
