package images

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/feed"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// PushOptions say what goes to which nodes.
type PushOptions struct {
	Config *rest.Config
	// Source has this program's agent; nil is one of its own.
	Source *agents.Source
	// What is one bundle's file, or images by their references.
	What []string
	// Bases are the bundles that the one in What is only the difference to.
	Bases []string
	// Trust says which bundle that has to be.
	Trust bundles.Trust
	// Pull says how images are pulled that are given by their references.
	Pull bundle.CreateOptions
	// Selector chooses nodes by their labels; empty is all.
	Selector string
	// AllNodes pushes every image to every node, whatever role it is for.
	AllNodes bool
	// Programs brings those of the bundle's Kubernetes version too, for an upgrade.
	Programs bool
	// Component brings the programs of this component alone (bundle.ComponentEtcd), and no image,
	// to Nodes. They wait there for what installs them.
	Component string
	Nodes     []string
	// Direct sends to one node's Port instead of through the API server.
	Direct bool
	// Port is the nodes' TCP port for each other; 0 is v1alpha1.DefaultPeerPort.
	Port int32
	// MaxRate bounds what this machine, and each node, sends, in bytes per second; 0 is no bound.
	MaxRate int64
	// DryRun only plans.
	DryRun bool
}

// PushResult is what was to be brought, and what was sent for it.
type PushResult struct {
	Pushes []Push
	// Sent is in bytes, what left this machine.
	Sent int64
}

// pusher is a push at work.
type pusher struct {
	PushOptions
	kube kubernetes.Interface
	sink report.Sink
	// pulled is where images go that are pulled by their names.
	pulled *pulledImages
	result PushResult
}

// CheckPush refuses what can't be, without asking anybody. Errors are action.Invalid.
func CheckPush(o PushOptions) error {
	if len(o.What) == 0 {
		return action.Invalidf("specify a bundle or images")
	}
	if err := o.Trust.Requires(len(o.What) == 1 && looksLikeFile(o.What[0]), "its file"); err != nil {
		return err
	}
	if o.Port < 0 || o.Port > 65535 {
		return action.Invalidf("peer port %d is not a valid port", o.Port)
	}
	return nil
}

// RunPush pushes, once for each architecture that the nodes have. What a node has is not sent; an
// interrupted push goes on with what is missing when it is run again. While another Operation is in
// progress it is waited for.
func RunPush(ctx context.Context, o PushOptions, sink report.Sink) (result PushResult, err error) {
	if err := CheckPush(o); err != nil {
		return PushResult{}, err
	}
	if o.Port == 0 {
		o.Port = v1alpha1.DefaultPeerPort
	}
	if o.Source, err = agents.Or(o.Source); err != nil {
		return PushResult{}, err
	}
	kube, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return PushResult{}, err
	}
	p := &pusher{PushOptions: o, kube: kube, sink: sink}
	defer func() { err = errors.Join(err, p.pulled.end(err == nil && !o.DryRun)) }()
	err = p.run(ctx)
	return p.result, err
}

func (p *pusher) run(ctx context.Context) error {
	nodes, err := Nodes(ctx, p.kube, p.Selector)
	if err != nil {
		return err
	}
	b, err := p.open(ctx, nodes)
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // only read
	usual, err := p.Source.Usual(ctx, p.Config)
	if err != nil {
		return action.OfCluster(err)
	}
	ops, err := incluster.NewOperations(p.Config, usual)
	if err != nil {
		return err
	}
	all, err := ops.List(ctx)
	if err != nil {
		return action.OfCluster(err)
	}
	if p.Component != "" {
		p.AllNodes = true // They are for who is named, whatever its role.
		p.result.Pushes, err = planComponent(b.Contents(), nodes, p.Component, p.Nodes)
	} else {
		p.result.Pushes, err = planPushes(b.Contents(), nodes, all, p.AllNodes)
	}
	if err == nil && p.Programs {
		err = addPrograms(p.result.Pushes, b.Contents(), nodes)
	}
	if err != nil || p.DryRun {
		return action.As(action.Invalid, err)
	}
	for _, one := range p.result.Pushes {
		if len(one.Targets) == 0 {
			action.Tell(p.sink, "%s for %s: every node has what it needs", report.Plural(len(one.Images), "image", "images"), one.Arch)
			continue
		}
		if err := p.push(ctx, ops, b, one); err != nil {
			return err
		}
	}
	return nil
}

// push has one Operation carried out, and feeds it.
func (p *pusher) push(ctx context.Context, ops *incluster.Operations, b *bundle.Bundle, one Push) error {
	if err := b.Contents().ForArch(one.Arch).Check("", one.Arch, ""); err != nil {
		return action.As(action.Invalid, err)
	}
	parcel, err := p.read(ctx, one, b)
	if err != nil {
		return err
	}
	_, identity := parcel.Encode()
	spec := v1alpha1.OperationSpec{Type: v1alpha1.OperationImages, Images: &v1alpha1.ImagesSpec{
		Parcel: v1alpha1.Content{Digest: identity.Digest.String(), Size: identity.Size},
		Images: feed.Pushed(one.Images), Nodes: one.Targets, AllRoles: p.AllNodes, MaxRate: p.MaxRate, Port: p.Port,
	}}
	op, over, err := feed.Same(ctx, ops, spec, p.sink)
	if err != nil {
		return action.OfCluster(err)
	}
	if over {
		action.Tell(p.sink, "operation %s has just pushed these images", op.Name)
		return nil
	}
	if op == nil {
		own, err := p.Source.Ensure(ctx, p.Config, p.sink)
		if err != nil {
			return err
		}
		if op, err = feed.CreateWhenFree(ctx, ops.WithAgents(own), spec, p.sink); err != nil {
			return action.OfCluster(err)
		}
	}
	sent, err := feed.Run(ctx, feed.Feed{Config: p.Config, Operations: ops, Name: op.Name, Parcel: parcel, Source: b, Direct: p.Direct, MaxRate: p.MaxRate}, p.sink)
	p.result.Sent += sent
	switch {
	case err != nil:
	case len(one.Images) == 0:
		action.Tell(p.sink, "%s on %s; %s were sent", isAre(len(one.Programs), "program"), report.Plural(len(one.Targets), "node", "nodes"), report.Size(sent))
	default:
		action.Tell(p.sink, "%s on %s; %s were sent", isAre(len(one.Images), "image"), report.Plural(len(one.Targets), "node", "nodes"), report.Size(sent))
	}
	return err
}

// read reads all that may have to be sent, and refuses what is damaged.
func (p *pusher) read(ctx context.Context, one Push, b *bundle.Bundle) (*swarm.Parcel, error) {
	end := action.Begin(p.sink, "read", "read and check what is sent")
	parcel, err := swarm.NewParcelOf(ctx, one.Images, one.Programs, b)
	if err != nil {
		end(err.Error())
		return nil, action.As(action.Invalid, fmt.Errorf("read %s: %w", p.What[0], err))
	}
	end("")
	return parcel, nil
}

func isAre(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return fmt.Sprintf("%d %ss are", n, what)
}
