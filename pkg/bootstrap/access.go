package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/apihttp"
)

// dialTimeout bounds the try to reach the API by way of one host.
const dialTimeout = 3 * time.Second

// Access is the way to the API of the new cluster: as its administrator, to the
// virtual IP, by way of whichever control plane still answers.
type Access struct {
	// Kubeconfig is admin.conf: a secret.
	Kubeconfig []byte
	// Source is the control plane that it is from.
	Source string
	// Dial connects to an address as seen from a control plane.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// RESTConfig is for client-go.
func (a Access) RESTConfig() (*rest.Config, error) {
	cfg, err := clientcmd.RESTConfigFromKubeConfig(a.Kubeconfig)
	if err != nil {
		// The error could quote the file.
		return nil, fmt.Errorf("%s: its admin.conf is unusable", a.Source)
	}
	cfg.Dial = a.Dial
	cfg.UserAgent = "kubectl-ha"
	apihttp.LogBodies(cfg)
	return cfg, nil
}

// ReachAPI is the way to the API of a cluster that was made, by the first control plane that tells it.
func ReachAPI(ctx context.Context, hosts Hosts, c *v1alpha1.Cluster, sink report.Sink) (Access, error) {
	var errs []error
	for _, h := range c.ControlPlanes() {
		a, err := access(ctx, hosts, c, h.Name, sink)
		if err == nil || ctx.Err() != nil {
			return a, err
		}
		errs = append(errs, err)
	}
	return Access{}, errors.Join(errs...)
}

// access asks a control plane for the administrator's kubeconfig.
func access(ctx context.Context, hosts Hosts, c *v1alpha1.Cluster, source string, sink report.Sink) (Access, error) {
	res, err := Call(ctx, hosts, source, node.Request{Cluster: c.Metadata.Name, Task: tasks.AdminKubeconfig,
		Step: tasks.AdminKubeconfig, Timeout: time.Minute}, struct{}{}, sink)
	if err != nil {
		return Access{}, err
	}
	var data controlplane.KubeconfigData
	if err := json.Unmarshal(res.Data, &data); err != nil {
		return Access{}, fmt.Errorf("%s: cannot read the response with admin.conf", source)
	}
	through := []string{source}
	for _, h := range c.ControlPlanes() {
		if h.Name != source {
			through = append(through, h.Name)
		}
	}
	d := &dialer{hosts: hosts, through: through}
	return Access{Kubeconfig: data.Kubeconfig, Source: source, Dial: d.dial}, nil
}

// dialer connects through the first host that can, beginning with the one that
// could last.
type dialer struct {
	hosts Hosts

	mu      sync.Mutex
	through []string
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	order := append([]string(nil), d.through...)
	d.mu.Unlock()
	var errs []error
	for _, host := range order {
		conn, err := d.try(ctx, host, network, address)
		if err == nil {
			d.prefer(host)
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("through %s: %w", host, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func (d *dialer) try(ctx context.Context, host, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return d.hosts.DialContext(host)(ctx, network, address)
}

func (d *dialer) prefer(host string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	order := []string{host}
	for _, h := range d.through {
		if h != host {
			order = append(order, h)
		}
	}
	d.through = order
}
