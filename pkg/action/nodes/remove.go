package nodes

import (
	"context"
	"errors"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// RemoveOptions say which host goes, and how.
type RemoveOptions struct {
	// To is the cluster.
	To *operate.Connection
	// Spec names a node, or an etcd member that no host has any more, and says how gently a node is
	// emptied. Its Address and DrainTimeout are filled in.
	Spec v1alpha1.RemoveNodeSpec
	// DrainTimeout is how long the node's pods may take to leave it; for a node more than 0.
	DrainTimeout time.Duration
	// Given is the Cluster file that says how to log in to the host, to clean it; nil does not.
	Given *v1alpha1.Cluster
	// Login is how the caller logs in, and StateDir this cluster's directory on the workstation,
	// both for cleaning only.
	Login    remote.Login
	StateDir string
}

// Removal is a host, or an etcd member, that is about to go.
type Removal struct {
	RemoveOptions
	// Plan is what is done, and what stands in the way.
	Plan *operate.Plan
	// What is it for people.
	What string

	lost bool
}

// PlanRemove looks at the cluster, and changes nothing. While another Operation is unfinished it is
// refused, with an operations.BusyError.
func PlanRemove(ctx context.Context, o RemoveOptions) (*Removal, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := o.To.RefuseOther(ctx, o.operation()); err != nil {
		return nil, err
	}
	r := &Removal{RemoveOptions: o}
	r.What, _ = o.what()
	return r, r.plan(ctx, o.To.Stored, nil)
}

// RemoveManifests are the Operation that a Removal begins, and its coordinator's Job. The
// Operation itself looks whether the host can go.
func RemoveManifests(ctx context.Context, o RemoveOptions) ([]*unstructured.Unstructured, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	_, object := o.what()
	return o.To.Manifests(ctx, o.operation(), object)
}

// Begin has the cluster do it, unless something stands in the way.
func (r *Removal) Begin(ctx context.Context, sink report.Sink) (*operate.Begun, error) {
	return r.begin(ctx, r.To.Stored, sink)
}

// begin has a document stored before.
func (r *Removal) begin(ctx context.Context, document *v1alpha1.Cluster, sink report.Sink) (*operate.Begun, error) {
	if err := r.Plan.Refused(); err != nil {
		return nil, err
	}
	return r.To.Begin(ctx, document, r.operation(), sink)
}

// complete checks what was given, and fills in what the document knows.
func (o *RemoveOptions) complete() error {
	if (o.Spec.Node == "") == (o.Spec.EtcdMember == "") {
		return action.Invalidf("specify a node or an etcd member")
	}
	if o.Given != nil {
		if err := action.SameCluster(o.Given, o.To.Stored); err != nil {
			return err
		}
	}
	if o.Spec.EtcdMember != "" {
		return nil
	}
	if o.DrainTimeout <= 0 {
		return action.Invalidf("the drain timeout must be greater than 0, not %s", o.DrainTimeout)
	}
	o.Spec.DrainTimeout = o.DrainTimeout.String()
	if h, ok := o.To.Stored.Host(o.Spec.Node); ok {
		o.Spec.Address = h.Address
	}
	return nil
}

// what is taken out, for people; and a name that an object may have.
func (o *RemoveOptions) what() (text, object string) {
	if o.Spec.EtcdMember == "" {
		return o.Spec.Node, o.Spec.Node
	}
	// Of another member it is another object.
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(strings.TrimPrefix(o.Spec.EtcdMember, "https://")))
	return "the etcd member " + o.Spec.EtcdMember, "etcd-member-" + strings.Trim(name, "-")
}

// operation is what the cluster is asked for.
func (o *RemoveOptions) operation() v1alpha1.OperationSpec {
	return v1alpha1.OperationSpec{Type: v1alpha1.OperationRemoveNode, RemoveNode: &o.Spec}
}

// plan is what is done in a cluster of this document, which still has the host. change, when not
// nil, makes what is seen into what will be seen by then.
func (r *Removal) plan(ctx context.Context, c *v1alpha1.Cluster, change func(*nodes.Observation)) error {
	seen, err := nodes.Observe(ctx, r.To.Clients, c, r.Spec.Node)
	if err != nil {
		return action.OfCluster(err)
	}
	if change != nil {
		change(&seen)
	}
	n, isNode := seen.Nodes[r.Spec.Node]
	r.lost = isNode && n.Lost != ""
	r.Plan = &operate.Plan{Cluster: nodes.Without(c, r.Spec.Node), Findings: nodes.CheckRemove(c, &r.Spec, seen)}
	steps, err := nodes.PlanRemove(&r.Spec, c, seen)
	var refused *nodes.Refused
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	r.Plan.Inside(steps)
	return nil
}
