package uninstall

import (
	"context"
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
	// Identity is what tells that cluster from others of its name (host.Ledger.Identity), and
	// EtcdCA and ClusterCA are the fingerprints of the CAs that are on the host. Each is empty
	// when there is none.
	Identity, EtcdCA, ClusterCA string
	// EtcdData tells whether a member of etcd has its data there.
	EtcdData bool
}

// Observe looks at all hosts in parallel. failed are those that are known not to
// be reached. The error is the context's.
func Observe(ctx context.Context, hosts transport.Runner, c *v1alpha1.Cluster, failed map[string]error, sink report.Sink) (map[string]Seen, error) {
	return bootstrap.AtOnce(c.Spec.Hosts, func(h v1alpha1.Host) Seen {
		if err := failed[h.Name]; err != nil {
			return Seen{Err: err}
		}
		return look(ctx, hosts, c, h, sink)
	}), ctx.Err()
}

func look(ctx context.Context, hosts transport.Runner, c *v1alpha1.Cluster, h v1alpha1.Host, sink report.Sink) Seen {
	spec := observe.Spec{Address: h.Address, DataDir: c.Spec.Etcd.DataDir, APIServerPort: c.Spec.APIServerPort}
	res, err := bootstrap.Call(ctx, hosts, h.Name, node.Request{Cluster: c.Metadata.Name, Task: tasks.Observe, Step: "observe/" + h.Name, Timeout: time.Minute},
		spec, quiet(sink))
	if err != nil {
		return Seen{Err: err}
	}
	facts, err := observe.Decode(res.Data)
	if err != nil {
		return Seen{Err: err}
	}
	seen := Seen{EtcdData: facts.State.EtcdData, EtcdCA: facts.State.EtcdCA, ClusterCA: facts.State.ClusterCA}
	if facts.Ours != nil {
		seen.Cluster, seen.Identity = facts.Ours.Cluster, facts.Ours.Identity
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
