package uninstall

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// lockWait bounds a host's wait for an agent that works on it.
const lockWait = 2 * time.Minute

// Seen is what there is on one host.
type Seen struct {
	// Err says why the host could not be looked at.
	Err error
	// Cluster is whose the host is; empty when nothing of kubectl-ha is on it.
	Cluster string
	// EtcdData tells whether a member of etcd has its data there.
	EtcdData bool
}

// Observe looks at all hosts in parallel. failed are those that are known not to
// be reached. The error is the context's.
func Observe(ctx context.Context, hosts transport.Runner, c *v1alpha1.Cluster, failed map[string]error, sink report.Sink) (map[string]Seen, error) {
	out := map[string]Seen{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, h := range c.Spec.Hosts {
		all.Go(func() {
			seen := Seen{Err: failed[h.Name]}
			if seen.Err == nil {
				seen = look(ctx, hosts, c, h, sink)
			}
			mu.Lock()
			defer mu.Unlock()
			out[h.Name] = seen
		})
	}
	all.Wait()
	return out, ctx.Err()
}

func look(ctx context.Context, hosts transport.Runner, c *v1alpha1.Cluster, h v1alpha1.Host, sink report.Sink) Seen {
	spec := observe.Spec{Address: h.Address, DataDir: c.Spec.Etcd.DataDir, APIServerPort: c.Spec.APIServerPort}
	res, err := call(ctx, hosts, h.Name, node.Request{Cluster: c.Metadata.Name, Task: tasks.Observe, Step: "observe/" + h.Name, Timeout: time.Minute},
		spec, quiet(sink))
	if err != nil {
		return Seen{Err: err}
	}
	facts, err := observe.Decode(res.Data)
	if err != nil {
		return Seen{Err: err}
	}
	seen := Seen{EtcdData: facts.State.EtcdData}
	if facts.Ours != nil {
		seen.Cluster = facts.Ours.Cluster
	}
	return seen
}

// quiet leaves out what a look at a host warns of: most of it matters only to who
// wants to make a cluster there.
func quiet(sink report.Sink) report.Sink {
	return report.SinkFunc(func(e report.Event) {
		if e.Kind != report.Warning {
			sink.Emit(e)
		}
	})
}

// call runs a task on a host with a typed spec. A task that failed is a
// *bootstrap.TaskError.
func call(ctx context.Context, hosts transport.Runner, host string, req node.Request, spec any, sink report.Sink) (node.Result, error) {
	raw, err := json.Marshal(spec)
	if err != nil {
		return node.Result{}, fmt.Errorf("%s: encode the spec of %s: %w", host, req.Task, err)
	}
	req.Spec = raw
	res, err := hosts.Run(ctx, host, req, sink)
	if err == nil && res.Failure != nil {
		err = &bootstrap.TaskError{Host: host, Task: req.Task, Failure: *res.Failure}
	}
	return res, err
}
