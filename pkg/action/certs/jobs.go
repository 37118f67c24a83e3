package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/job"
)

const (
	lookTimeout = time.Minute
	// askTimeout bounds the making of keys, for which the host's lock may have to be waited for.
	askTimeout = 3 * time.Minute
	// atOnce is on how many hosts a look runs at the same time.
	atOnce = 10
)

// jobs run tasks on nodes that belong to no Operation: looks, and the making of keys that
// nobody uses yet.
type jobs struct {
	clients *client.Clients
	agents  v1alpha1.Agents
	run     string
}

var _ transport.Runner = jobs{}

func newJobs(clients *client.Clients, agents v1alpha1.Agents) jobs {
	return jobs{clients: clients, agents: agents, run: "certs-" + rand.String(5)}
}

// Run runs one, and removes its Job.
func (j jobs) Run(ctx context.Context, host string, req node.Request, sink report.Sink) (node.Result, error) {
	name := engine.JobName(j.run, req.Task+"/"+host, 1)
	result, err := job.Runner{Kube: j.clients.Kube, Name: name, Agents: j.agents, LostAfter: lookTimeout}.Once(ctx, host, req, sink)
	if err == nil && result.Failure != nil && result.Failure.NoTask() {
		return result, fmt.Errorf("the agent on %s is older than this program; the next Operation of this program installs a newer one", host)
	}
	return result, err
}

// via gives the way to a host; nil for none.
type via func(h v1alpha1.Host) transport.Runner

// look finds the certificates of hosts, all at once. unseen says why of those that could not
// be looked at.
func look(ctx context.Context, c *v1alpha1.Cluster, hosts []v1alpha1.Host, way via, sink report.Sink) (found map[string]certs.LookData, unseen map[string]string) {
	found, failed := each(hosts, func(h v1alpha1.Host) (certs.LookData, error) {
		runner := way(h)
		if runner == nil {
			return certs.LookData{}, errors.New(noWay(h))
		}
		return lookAt(ctx, c, runner, h, sink)
	})
	unseen = map[string]string{}
	for name, err := range failed {
		unseen[name] = action.WithHint(err).Error()
	}
	return found, unseen
}

// each asks hosts, atOnce of them at the same time, and tells by their names what they say, or
// why they say nothing.
func each[T any](hosts []v1alpha1.Host, ask func(v1alpha1.Host) (T, error)) (said map[string]T, failed map[string]error) {
	said, failed = map[string]T{}, map[string]error{}
	slots := make(chan struct{}, atOnce)
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, h := range hosts {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			answer, err := ask(h)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[h.Name] = err
				return
			}
			said[h.Name] = answer
		})
	}
	all.Wait()
	return said, failed
}

func lookAt(ctx context.Context, c *v1alpha1.Cluster, runner transport.Runner, h v1alpha1.Host, sink report.Sink) (certs.LookData, error) {
	res, err := bootstrap.Call(ctx, runner, h.Name, node.Request{Cluster: c.Metadata.Name, Task: tasks.Certificates, Step: tasks.Certificates + "/" + h.Name, Timeout: lookTimeout}, certs.LookSpec{}, sink)
	if err != nil {
		return certs.LookData{}, err
	}
	return certs.DecodeLook(res.Data)
}

// ask has a host make keys for the successors of certificates.
func ask(ctx context.Context, c *v1alpha1.Cluster, runner transport.Runner, h v1alpha1.Host, names []string, sink report.Sink) (map[string]certs.Pending, error) {
	res, err := bootstrap.Call(ctx, runner, h.Name, node.Request{Cluster: c.Metadata.Name, Task: tasks.CertificateRequests, Step: tasks.CertificateRequests + "/" + h.Name, Timeout: askTimeout},
		certs.RequestSpec{Names: slices.Clone(names)}, sink)
	if err != nil {
		return nil, err
	}
	var data certs.RequestData
	if err := json.Unmarshal(res.Data, &data); err != nil {
		return nil, fmt.Errorf("%s: cannot read its certificate requests: %w", h.Name, err)
	}
	if err := data.Check(names); err != nil {
		return nil, fmt.Errorf("%s: %w", h.Name, err)
	}
	return data.Pending, nil
}
