package etcdmember

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// healthTimeout bounds the wait for a healthy cluster. A first election takes
// seconds; a slow disk on every host takes longer.
const healthTimeout = 2 * time.Minute

// spareTimeout bounds the wait for members that should be there anyway.
const spareTimeout = 30 * time.Second

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
	wait := client.WaitHealthy
	if spec.Quorum {
		wait = client.WaitQuorum
	}
	v, err := wait(ctx, healthTimeout, told(env))
	if err != nil {
		return nil, host.WithHint(err, "look at journalctl -u etcd on the members; TCP ports 2379 and 2380 must be open between them")
	}
	return healthData(v), nil
}

func told(env node.Env) func(error) {
	return func(wrong error) { env.Progress("waiting for etcd: %v", wrong) }
}

// connect talks to all members as this one, whose server certificate is a
// client's as well.
func (s Spec) connect(ctx context.Context) (*etcd.Client, error) {
	var endpoints []string
	for _, name := range slices.Sorted(maps.Keys(s.Members)) {
		endpoints = append(endpoints, httpsURL(s.Members[name], ClientPort))
	}
	return etcd.Connect(ctx, endpoints, etcd.TLS{CA: s.CA, Cert: s.ServerCert, Key: s.ServerKey})
}

func waitSpare(ctx context.Context, env node.Env, spec Spec) (err error) {
	client, err := spec.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if err := spared(ctx, env, client, httpsURL(spec.Address, ClientPort)); err != nil {
		return host.WithHint(fmt.Errorf("etcd is not restarted with its new configuration: %w", err), "see to the other members first, then run the command again")
	}
	return nil
}

// spared waits until the cluster can do without the member at an endpoint. One that is down costs
// nothing. One that runs, and did not answer this once, may well be part of the quorum: a busy
// host answers late, and is not to be taken for a dead one.
func spared(ctx context.Context, env node.Env, client *etcd.Client, endpoint string) error {
	u, err := env.Host.Unit(ctx, UnitName)
	if err != nil {
		return err
	}
	_, err = client.WaitFor(ctx, spareTimeout, "able to spare "+endpoint, func(v etcd.View) error { return mayStop(v, endpoint, u.Active() && u.MainPID != 0) }, told(env))
	return err
}

// mayStop judges what spared sees. It is pure.
func mayStop(v etcd.View, endpoint string, runs bool) error {
	for _, s := range v.Status {
		if s.Endpoint != endpoint || s.Err == nil || !runs {
			continue
		}
		if ok, _ := etcd.HasQuorum(v); !ok || v.MembersErr != nil {
			return fmt.Errorf("%s runs and does not answer, and the others are no quorum: %w", endpoint, s.Err)
		}
	}
	return etcd.Spare(v, endpoint)
}

func waitHealthy(ctx context.Context, env node.Env, spec Spec) error {
	return waitWell(ctx, env, spec, "healthy", etcd.Healthy)
}

func waitButFull(ctx context.Context, env node.Env, spec Spec) error {
	return waitWell(ctx, env, spec, "healthy but for NOSPACE", etcd.ButFull)
}

func waitWell(ctx context.Context, env node.Env, spec Spec, what string, judge func(etcd.View) error) (err error) {
	client, err := spec.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if _, err := client.WaitFor(ctx, healthTimeout, what, judge, told(env)); err != nil {
		return host.WithHint(fmt.Errorf("after etcd was restarted with its new configuration: %w", err),
			"look at journalctl -u etcd on the host and at spec.etcd.extraArgs; the other members still have the old configuration")
	}
	return nil
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
