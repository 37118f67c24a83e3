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
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
)

// Options say which cluster is taken into care.
type Options struct {
	Config *rest.Config
	// VirtualIP is the address that the control planes pass on to each other, where that can't be
	// told from kubeadm's endpoint.
	VirtualIP string
	// Agents puts the agent on the nodes as well, over SSH by Login.
	Agents bool
	Login  remote.Login
	// SSHUser is who logs in; empty is who the caller's SSH settings say.
	SSHUser string
	// DryRun only finds the document, whether one is stored or not.
	DryRun bool
}

// Plan is what is stored, and where the agent is put. Whoever has asked a person calls Run, and
// Close in any case.
type Plan struct {
	// Cluster is the document: what was found, or what is stored already.
	Cluster *v1alpha1.Cluster
	// Stored tells that the cluster has it already: only agents are put on nodes.
	Stored bool
	// Findings are what there is to know of the cluster before that; none when it is stored.
	Findings []report.Finding
	// Verbs say what each command will do about what is others'.
	Verbs []adopt.Verb

	options Options
	// hosts are those that could be logged in to, and unreached is why others could not.
	hosts     *ssh.Hosts
	unreached error
}

// Close ends the connections to the hosts.
func (p *Plan) Close(sink report.Sink) {
	if p.hosts != nil {
		remote.Close(p.hosts, sink)
		p.hosts = nil
	}
}

// Find finds out what would be stored; it changes nothing in the cluster. With agents wanted the
// hosts are asked as well. A cluster that has a document already is refused, unless agents are wanted.
func Find(ctx context.Context, o Options, sink report.Sink) (*Plan, error) {
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
			p := &Plan{Cluster: stored, Stored: true, options: o}
			return p, p.connect(ctx, sink)
		}
		if err := adopt.CheckNamespace(ctx, kube); err != nil {
			return nil, action.OfCluster(err)
		}
	}
	seen, err := adopt.Survey(ctx, kube)
	var foreign *adopt.ForeignError
	if errors.As(err, &foreign) {
		return nil, action.As(action.Invalid, err)
	}
	if err != nil {
		return nil, action.OfCluster(err)
	}
	p := &Plan{options: o}
	if err := p.decide(seen); err != nil || !o.Agents {
		return p, err
	}
	if err := p.connect(ctx, sink); err != nil {
		return nil, err
	}
	seen.Hosts, seen.Unasked = bootstrap.SurveyHosts(ctx, p.hosts, p.Cluster, p.hosts.Failed(), sink)
	if err := p.decide(seen); err != nil {
		p.Close(sink)
		return nil, err
	}
	return p, nil
}

// decide makes the document of what was seen so far.
func (p *Plan) decide(seen adopt.Observation) error {
	if err := adopt.CheckLabels(seen); err != nil {
		return action.As(action.Invalid, err)
	}
	cluster, found, err := adopt.Cluster(seen, p.options.VirtualIP)
	if err == nil {
		err = adopt.Check(cluster)
	}
	if err != nil {
		return action.As(action.Invalid, err)
	}
	p.Cluster, p.Findings, p.Verbs = cluster, append(found, adopt.Findings(cluster, seen)...), adopt.Verbs(cluster)
	return nil
}

// connect logs in to the nodes; that some can't be reached is for later.
func (p *Plan) connect(ctx context.Context, sink report.Sink) error {
	hosts, err := remote.Connect(ctx, withUser(p.Cluster, p.options.SSHUser), p.options.Login, sink, p.Cluster.Nodes()...)
	if hosts == nil {
		return err
	}
	p.hosts, p.unreached = hosts, err
	return nil
}

// withUser is the document with who logs in, where that was given.
func withUser(c *v1alpha1.Cluster, user string) *v1alpha1.Cluster {
	out := *c
	if user != "" {
		out.Spec.SSH.User = user
	}
	return &out
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
	return errors.Join(bootstrap.PlaceAgents(ctx, p.hosts, withUser(p.Cluster, p.options.SSHUser), image, sink), p.unreached)
}
