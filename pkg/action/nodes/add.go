package nodes

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	balancer "github.com/kubectl-ha/kubectl-ha/pkg/action/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// AddOptions say which hosts come, and how they are reached.
type AddOptions struct {
	// To is the cluster.
	To *operate.Connection
	// Given is the Cluster file, which has the hosts with their roles. How to log in, and
	// through which proxies, is taken from it too: the stored document has no passwords.
	Given *v1alpha1.Cluster
	// File is what messages, and the script of NewScript, call that file.
	File string
	// Names are the hosts, as the file calls them; one at least.
	Names []string
	// Bundle is the file with images and programs; when empty, the one in the cache is used, and
	// made when it is not there.
	Bundle string
	// Trust says which bundle that has to be.
	Trust bundles.Trust
	// Login is how the caller logs in to the hosts, unless they are Joined.
	Login remote.Login
	// StateDir is this cluster's directory on the workstation. It has the key of the etcd CA,
	// which a new etcd member needs.
	StateDir string
	// Joined says that the hosts have joined themselves, by NewScript's.
	Joined bool
	// APIAt is host:port where the API answers while hosts are looked at, in a dry run before the
	// cluster has its endpoint. Default: the endpoint.
	APIAt string
	// DryRun only looks at hosts and cluster.
	DryRun bool
	// Confirm, when set, gets what is planned before anything is changed, in the order in which it
	// is done; an error ends it. It gets a plan in whose way something stands (Plan.Refused) as
	// well, so that it can be shown: nothing of that is done, whatever Confirm returns.
	Confirm func(ctx context.Context, parts []*operate.Plan) error
}

// RunAdd prepares and joins the hosts over SSH, and has the cluster do the rest: what is begun is
// not watched. Running it again does what is left. In a dry run nothing is begun, and both are nil.
// The error of hosts that are not ready, or could not be worked on, is an SSHError.
func RunAdd(ctx context.Context, o AddOptions, sink report.Sink) (*operate.Begun, error) {
	a, err := newAdding(o, o.To.Stored)
	if err != nil {
		return nil, err
	}
	defer a.close()
	if err := o.To.RefuseOther(ctx, a.operation()); err != nil {
		return nil, err
	}
	p, err := a.plan(ctx, nil)
	if err != nil {
		return nil, err
	}
	if err := a.planRenewal(ctx, p); err != nil {
		return nil, err
	}
	if o.Joined {
		err = o.confirm(ctx, p)
	} else {
		err = a.outside(ctx, p, o.DryRun, sink, func(ctx context.Context, ssh plan.Plan) error {
			p.Steps = append(slices.Clone(ssh.Steps), p.Steps...)
			return o.confirm(ctx, p)
		})
	}
	if err != nil || o.DryRun {
		return nil, err
	}
	return a.inside(ctx, sink)
}

// AddManifests are the Operation that RunAdd begins, and its coordinator's Job. Whoever applies
// them has joined the hosts before, and stored the Cluster document with them.
func AddManifests(ctx context.Context, o AddOptions) ([]*unstructured.Unstructured, error) {
	a, err := newAdding(o, o.To.Stored)
	if err != nil {
		return nil, err
	}
	defer a.close()
	return o.To.Manifests(ctx, a.operation(), a.Names[0])
}

// confirm asks about plans, and refuses those in whose way something stands.
func (o *AddOptions) confirm(ctx context.Context, parts ...*operate.Plan) error {
	if o.Confirm != nil {
		if err := o.Confirm(ctx, parts); err != nil {
			return err
		}
	}
	for _, p := range parts {
		if err := p.Refused(); err != nil {
			return err
		}
	}
	return nil
}

// adding is hosts on their way into a cluster.
type adding struct {
	AddOptions
	// before is the document of the cluster that the hosts come to; merged is that with them.
	before *v1alpha1.Cluster
	merged *v1alpha1.Cluster
	// source has the agent; image is what nodes call it.
	source *agents.Source
	image  string
	supply bundles.Supply
	// renews says that certificates may be due that are renewed before the hosts join.
	renews bool
}

// newAdding puts the hosts into a document, stored or as it will be by then, and opens the bundle
// that was named. Whoever has it closes it.
func newAdding(o AddOptions, stored *v1alpha1.Cluster) (a *adding, err error) {
	if len(o.Names) == 0 {
		return nil, action.Invalidf("specify the hosts to add")
	}
	if err := o.Trust.Requires(o.Bundle != "", "--bundle"); err != nil {
		return nil, err
	}
	o.Names = slices.Compact(slices.Sorted(slices.Values(o.Names)))
	a = &adding{AddOptions: o, before: stored}
	if a.merged, err = merge(stored, o.Given, o.File, o.Names); err != nil {
		return nil, err
	}
	if a.source, err = agents.Or(o.To.Source); err != nil {
		return nil, err
	}
	if a.image, err = a.source.Name(); err != nil || o.Bundle == "" {
		return a, err
	}
	if a.supply.Bundle, err = o.Trust.Open(o.Bundle); err != nil {
		return nil, err
	}
	if err := a.supply.Bundle.Contents().Check(a.merged.Spec.KubernetesVersion, "", a.merged.Spec.Network.Plugin); err != nil {
		a.close()
		return nil, action.As(action.Invalid, err)
	}
	return a, nil
}

func (a *adding) close() { a.supply.Close() }

// merge is the stored document with hosts of the file. It is pure.
func merge(stored, given *v1alpha1.Cluster, file string, names []string) (*v1alpha1.Cluster, error) {
	if err := action.SameCluster(given, stored); err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, ok := given.Host(name); !ok {
			return nil, action.Invalidf("%s has no host %s: add it first, with its address and roles", file, name)
		}
	}
	merged := nodes.With(stored, given, names...)
	merged.Spec.SSH, merged.Spec.Proxy = given.Spec.SSH, given.Spec.Proxy
	if problems, _ := merged.Validate(); len(problems) > 0 {
		return nil, action.As(action.Invalid, fmt.Errorf("the cluster with these hosts: %w", problems))
	}
	return merged, nil
}

// operation is what the cluster is asked for.
func (a *adding) operation() v1alpha1.OperationSpec {
	return v1alpha1.OperationSpec{Type: v1alpha1.OperationAddNode, AddNode: &v1alpha1.AddNodeSpec{Nodes: a.Names}}
}

// plan is the part inside the cluster. change, when not nil, makes what is seen into what will be
// seen by then.
func (a *adding) plan(ctx context.Context, change func(*nodes.Observation)) (*operate.Plan, error) {
	seen, err := nodes.Observe(ctx, a.To.Clients, a.merged, "")
	if err != nil {
		return nil, action.OfCluster(err)
	}
	if change != nil {
		change(&seen)
	}
	p := &operate.Plan{Cluster: a.merged, Findings: nodes.CheckAdd(a.merged, a.Names, seen)}
	steps, err := nodes.PlanAdd(a.operation().AddNode, a.merged, seen)
	var refused *nodes.Refused
	if err != nil && !errors.As(err, &refused) {
		return nil, err
	}
	p.Inside(steps)
	return p, nil
}

// inside renews what is due, stores the document and has the cluster do the rest.
func (a *adding) inside(ctx context.Context, sink report.Sink) (*operate.Begun, error) {
	if err := a.renew(ctx, sink); err != nil {
		return nil, err
	}
	if _, err := incluster.Install(ctx, a.To.Config, a.merged); err != nil {
		return nil, action.OfCluster(err)
	}
	if err := balancer.BringTo(ctx, a.To.Config, a.To.Clients.Kube, a.merged, a.Names, sink); err != nil {
		return nil, err
	}
	return a.To.Begin(ctx, nil, a.operation(), sink)
}
