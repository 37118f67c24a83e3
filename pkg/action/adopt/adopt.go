// Package adopt takes a kubeadm cluster that another tool made into care.
package adopt

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/adopt"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Options say which cluster is taken into care.
type Options struct {
	Config *rest.Config
	// VirtualIP is the address of the API, for when kubeadm's endpoint is a name or missing.
	VirtualIP string
	// Agents puts the agent on the nodes as well, over SSH by Login.
	Agents bool
	Login  remote.Login
	// SSHUser is who logs in; empty is who the caller's SSH settings say.
	SSHUser string
	// DryRun only finds the document, whether one is stored or not.
	DryRun bool
}

// Plan is what is stored, and where the agent is put. Whoever has asked a person calls Run.
type Plan struct {
	// Cluster is the document: what was found, or what is stored already.
	Cluster *v1alpha1.Cluster
	// Stored tells that the cluster has it already: only agents are put on nodes.
	Stored bool

	options Options
}

// Find finds out what would be stored; it changes nothing. A cluster that has a document already
// is refused, unless agents are wanted.
func Find(ctx context.Context, o Options) (*Plan, error) {
	kube, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return nil, err
	}
	if !o.DryRun {
		stored, err := storedBefore(ctx, kube)
		if err != nil {
			return nil, err
		}
		if stored != nil && !o.Agents {
			return nil, action.Invalidf("this cluster already has a Cluster document, named %s; nothing was changed", stored.Metadata.Name)
		}
		if stored != nil {
			return &Plan{Cluster: stored, Stored: true, options: o}, nil
		}
		if err := adopt.CheckNamespace(ctx, kube); err != nil {
			return nil, action.OfCluster(err)
		}
	}
	seen, err := adopt.Observe(ctx, kube)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	cluster, err := adopt.Cluster(seen, o.VirtualIP)
	if err != nil {
		return nil, action.As(action.Invalid, err)
	}
	return &Plan{Cluster: cluster, options: o}, nil
}

// storedBefore is the document that is there already; nil for none.
func storedBefore(ctx context.Context, kube kubernetes.Interface) (*v1alpha1.Cluster, error) {
	c, err := incluster.StoredCluster(ctx, kube)
	switch {
	case err == nil:
		return c, nil
	case apierrors.IsNotFound(err):
		return nil, nil
	}
	// There may be one all the same, and what is found would overwrite it.
	return nil, action.OfCluster(fmt.Errorf("cannot determine whether this cluster already has a Cluster document; nothing was changed: %w", err))
}

// Run stores the document with what Operations need, unless it is there, and puts the agent on the
// nodes where that was asked for. changed are the objects that were made or changed. Nodes that
// can't be reached get their agent later, by the same again; the others get theirs.
func (p *Plan) Run(ctx context.Context, sink report.Sink) (changed []apply.Changed, err error) {
	if !p.Stored {
		if changed, err = incluster.Install(ctx, p.options.Config, p.Cluster); err != nil {
			return nil, action.OfCluster(err)
		}
	}
	if !p.options.Agents {
		return changed, nil
	}
	return changed, p.placeAgents(ctx, sink)
}

// placeAgents puts the agent on the nodes, over SSH.
func (p *Plan) placeAgents(ctx context.Context, sink report.Sink) error {
	source, err := agents.NewSource()
	if err != nil {
		return err
	}
	image, err := source.Name()
	if err != nil {
		return err
	}
	c := *p.Cluster
	if p.options.SSHUser != "" {
		c.Spec.SSH.User = p.options.SSHUser
	}
	hosts, err := remote.Connect(ctx, &c, p.options.Login, sink, c.Nodes()...)
	if hosts == nil {
		return err
	}
	defer remote.Close(hosts, sink)
	return errors.Join(bootstrap.PlaceAgents(ctx, hosts, &c, image, sink), err)
}
