package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

const (
	lookTimeout = time.Minute
	// askTimeout bounds the making of keys, for which the host's lock may have to be waited for.
	askTimeout = 3 * time.Minute
)

// via gives the way to a host; nil for none.
type via func(h v1alpha1.Host) transport.Runner

// look finds the certificates of hosts, all at once. unseen says why of those that could not
// be looked at.
func look(ctx context.Context, c *v1alpha1.Cluster, hosts []v1alpha1.Host, way via, sink report.Sink) (found map[string]certs.LookData, unseen map[string]string) {
	found, failed := transport.Ask(hosts, func(h v1alpha1.Host) (certs.LookData, error) {
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
