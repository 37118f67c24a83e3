package nodes

import (
	"context"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// ReplaceOptions say which host comes in the place of which.
type ReplaceOptions struct {
	// AddOptions are of the host that comes, the one in Names. Joined is not used: the new host
	// is looked at before the old one is touched. Confirm gets the plans of both hosts, in the
	// order in which they are carried out.
	AddOptions
	// Old names the host that leaves, and says how gently it is emptied, as RemoveOptions.Spec.
	Old v1alpha1.RemoveNodeSpec
	// DrainTimeout is how long the old host's pods may take to leave it; more than 0.
	DrainTimeout time.Duration
	// Watch, when set, shows an Operation until it ends; an error ends the replacement. By default
	// it is shown to the sink.
	Watch func(ctx context.Context, begun *operate.Begun) error
}

// Replacement is what is left of replacing a host, in the order that is safe.
type Replacement struct {
	o     ReplaceOptions
	turns []turn
	come  *adding
	// coming is the plan of come inside the cluster.
	coming *operate.Plan
	// leave is nil when the old host is out.
	leave *Removal
}

// turn is one of the two parts.
type turn string

const (
	comes  turn = "comes"
	leaves turn = "leaves"
)

// turns are what is left to do, in the order that is safe: a host that is there leaves once the new
// one has taken its place; one that is lost is taken out first, since etcd, when it has three
// members, takes no new one while an old one is away. It is pure.
func turns(out, lost bool) []turn {
	switch {
	case out:
		return []turn{comes}
	case lost:
		return []turn{leaves, comes}
	}
	return []turn{comes, leaves}
}

// PlanReplace finds out in which order it goes, and plans both parts; it changes nothing. A host
// that does not answer is waited for, until it is back or counts as lost, for three minutes at
// most. What is waited for is told. While an Operation is unfinished that is for neither of the
// two, it is refused. Whoever gets the Replacement closes it.
func PlanReplace(ctx context.Context, o ReplaceOptions, sink report.Sink) (*Replacement, error) {
	if len(o.Names) != 1 || o.Old.Node == "" || o.Names[0] == o.Old.Node {
		return nil, action.Invalidf("specify the old and the new host")
	}
	leave := &Removal{RemoveOptions: RemoveOptions{To: o.To, Spec: o.Old, DrainTimeout: o.DrainTimeout, Given: o.Given, Login: o.Login, StateDir: o.StateDir}}
	if err := leave.complete(); err != nil {
		return nil, err
	}
	seen, err := settled(ctx, o.Old.Node, func(ctx context.Context) (nodes.Observation, error) {
		return nodes.Observe(ctx, o.To.Clients, o.To.Stored, "")
	}, sink)
	if err != nil {
		return nil, err
	}
	out, lost, err := standing(o.To.Stored, o.Given, seen, o.Old.Node, o.Names[0], o.File)
	if err != nil {
		return nil, err
	}
	stored := o.To.Stored
	if lost {
		// What comes after is planned as if the old host were out.
		stored = nodes.Without(stored, o.Old.Node)
	}
	come, err := newAdding(o.AddOptions, stored)
	if err != nil {
		return nil, err
	}
	r := &Replacement{o: o, turns: turns(out, lost), come: come}
	if !out {
		r.leave = leave
	}
	// One that takes the old host out may be about to end, although the host is out.
	if err = o.To.RefuseOther(ctx, come.operation(), leave.operation()); err == nil {
		err = r.plan(ctx, lost)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// standing tells whether the old host is out already, and whether it counts as lost. It is pure.
func standing(stored, given *v1alpha1.Cluster, seen nodes.Observation, old, fresh, file string) (out, lost bool, err error) {
	_, listed := stored.Host(old)
	n, isNode := seen.Nodes[old]
	if listed || isNode {
		return false, isNode && n.Lost != "", nil
	}
	_, added := stored.Host(fresh)
	if _, known := given.Host(fresh); !added && !known {
		return false, false, action.Invalidf("no node %s to replace, and no host %s in %s", old, fresh, file)
	}
	return true, false, nil
}

// plan plans both parts, each as the cluster will be when its turn comes.
func (r *Replacement) plan(ctx context.Context, lost bool) (err error) {
	if r.coming, err = r.come.plan(ctx, func(seen *nodes.Observation) {
		if lost {
			delete(seen.Nodes, r.o.Old.Node)
		}
	}); err != nil {
		return err
	}
	if err := r.come.planRenewal(ctx, r.coming); err != nil || r.leave == nil {
		return err
	}
	if lost {
		return r.leave.plan(ctx, r.o.To.Stored, nil)
	}
	return r.leave.plan(ctx, r.come.merged, func(seen *nodes.Observation) { arrived(seen, r.come) })
}

// arrived makes of what is seen what will be seen once the hosts have come.
func arrived(seen *nodes.Observation, a *adding) {
	for _, name := range a.Names {
		h, _ := a.merged.Host(name)
		seen.Nodes[name] = nodes.Node{ControlPlane: h.Has(v1alpha1.RoleControlPlane)}
		delete(seen.EtcdAway, name)
	}
}

// Close lets go of the bundle.
func (r *Replacement) Close() { r.come.close() }

// Run looks at the new host, asks, and carries out what is left, each Operation until its end; at
// last the old host is cleaned, unless it is lost or was out before. A dry run ends after asking.
// The error of the part over SSH is an SSHError.
func (r *Replacement) Run(ctx context.Context, sink report.Sink) (Out, error) {
	out := Out{Host: r.o.Old.Node}
	// The new host is looked at before the old one is touched.
	err := r.come.outside(ctx, r.coming, true, sink, func(ctx context.Context, ssh plan.Plan) error {
		return r.o.confirm(ctx, r.parts(ssh)...)
	})
	if err != nil || r.o.DryRun {
		return out, err
	}
	for _, turn := range r.turns {
		if err := r.carryOut(ctx, turn, sink); err != nil {
			return out, err
		}
	}
	if r.leave == nil {
		return out, nil
	}
	return r.leave.Clean(ctx, sink)
}

// parts are the plans, in the order of the turns. ssh is what is to be done on the new host.
func (r *Replacement) parts(ssh plan.Plan) (all []*operate.Plan) {
	for _, turn := range r.turns {
		if turn == leaves {
			all = append(all, r.leave.Plan)
			continue
		}
		p := &operate.Plan{Cluster: r.coming.Cluster, Steps: append(slices.Clone(ssh.Steps), r.coming.Steps...), Findings: r.coming.Findings}
		if r.turns[0] == comes {
			// What is odd while both are there is so for a moment only.
			p.Findings = nodes.Blocking(p.Findings)
		}
		all = append(all, p)
	}
	return all
}

// carryOut is one turn, until its Operation has ended.
func (r *Replacement) carryOut(ctx context.Context, turn turn, sink report.Sink) error {
	begun, err := r.begin(ctx, turn, sink)
	if err != nil {
		return err
	}
	if r.o.Watch != nil {
		return r.o.Watch(ctx, begun)
	}
	return begun.Watch(ctx, sink)
}

func (r *Replacement) begin(ctx context.Context, turn turn, sink report.Sink) (*operate.Begun, error) {
	if turn == comes {
		if err := r.come.outside(ctx, r.coming, false, sink, nil); err != nil {
			return nil, err
		}
		return r.come.inside(ctx, sink)
	}
	document := r.o.To.Stored
	if r.turns[0] == comes {
		document = r.come.merged
	}
	return r.leave.begin(ctx, document, sink)
}
