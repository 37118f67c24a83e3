package etcdmember

import (
	"context"
	"errors"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// healthTimeout bounds the wait for a healthy cluster. A first election takes
// seconds; a slow disk on every host takes longer.
const healthTimeout = 2 * time.Minute

// Health waits until the etcd cluster is healthy, as seen from this host. It
// changes nothing. In a dry run there is no cluster to look at, and it waits for none.
func Health(ctx context.Context, env node.Env, spec HealthSpec) (_ any, err error) {
	if env.Host.DryRun() {
		return HealthData{}, nil
	}
	client, err := etcd.Connect(ctx, spec.Endpoints, etcd.TLS{CA: spec.CA, Cert: spec.Cert, Key: spec.Key})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	v, err := client.WaitHealthy(ctx, healthTimeout, func(wrong error) { env.Progress("waiting for etcd: %v", wrong) })
	if err != nil {
		return nil, host.WithHint(err, "look at journalctl -u etcd on the members; TCP ports 2379 and 2380 must be open between them")
	}
	return healthData(v), nil
}

func healthData(v etcd.View) HealthData {
	data := HealthData{Versions: map[string]string{}}
	for _, s := range v.Status {
		data.ClusterID = s.ClusterID
		data.Versions[s.Endpoint] = s.Version
		if s.ID == s.Leader {
			data.Leader = s.Endpoint
		}
	}
	return data
}
