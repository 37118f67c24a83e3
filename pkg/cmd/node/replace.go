package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
)

// nodeReplaceOptions put one host in another one's place.
type nodeReplaceOptions struct {
	add    nodeAddOptions
	remove nodeRemoveOptions
	// out tells that the old host is out already, lost that it counts as lost.
	out, lost bool
}

func newNodeReplace(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	shared := operate.Options{IOStreams: streams, Access: access}
	o := &nodeReplaceOptions{add: nodeAddOptions{Options: shared}, remove: nodeRemoveOptions{Options: shared}}
	c := &cobra.Command{
		Use:   "replace OLD NEW",
		Short: "Put a new host in the place of an old one, which may be lost for ever",
		Long: cli.Paragraphs(
			"Does what add and remove do, in the order that is safe: a host that is there leaves once the new one has taken its place; one that is lost is taken out first, since etcd, when it has three members, takes no new one while an old one is away. The plan of both is shown before anything is done, and the new host is looked at.",
			"Put the new host into the Cluster file first, with the old one's roles. Run it again to resume."),
		Example: cli.Examples(`
			kubectl ha node replace cp1 cp4 -f cluster.yaml
			kubectl ha node replace w1 w2 -f cluster.yaml --delete-emptydir-data --yes`),
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 2 || args[0] == args[1] {
				return action.Invalidf("name the host that leaves, and the one that comes: %s", c.UseLine())
			}
			return nil
		},
		ValidArgsFunction: completeHosts(&o.remove.Options),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.Complete(c.Context(), args[0], args[1]); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	f := c.Flags()
	cli.AddDryRun(f, &o.add.DryRun, "look at the new host, show the plan, and end")
	cli.AddYes(f, &o.add.Yes, "")
	o.add.addHostFlags(c)
	addDrainFlags(c, &o.remove.spec, &o.remove.drain)
	f.StringVarP(&o.add.Output, "output", "o", "", "text (default), or json: the plan, then an event per line")
	return c
}

// Complete reads the file and the cluster, and finds out in which order it goes.
func (o *nodeReplaceOptions) Complete(ctx context.Context, old, fresh string) error {
	if err := cli.CheckOutput(o.add.Output); err != nil {
		return err
	}
	if o.remove.drain <= 0 {
		return action.Invalidf("--drain-timeout %s is no time at all", o.remove.drain)
	}
	if err := o.add.ValidateYes(); err != nil {
		return err
	}
	if err := o.add.readFile(); err != nil {
		return err
	}
	if err := o.add.Connect(ctx); err != nil {
		return err
	}
	o.share()
	o.remove.complete(old)
	o.add.names = []string{fresh}
	seen, err := o.settled(ctx, old)
	if err != nil {
		return err
	}
	_, listed := o.add.Stored.Host(old)
	n, isNode := seen.Nodes[old]
	o.out, o.lost = !listed && !isNode, isNode && n.Lost != ""
	if o.out {
		if _, added := o.add.Stored.Host(fresh); !added && !slices.ContainsFunc(o.add.given.Spec.Hosts, func(h v1alpha1.Host) bool { return h.Name == fresh }) {
			return action.Invalidf("there is neither a node %s to be replaced, nor a host %s in %s", old, fresh, o.add.file)
		}
	}
	return o.add.merge()
}

// settles is how long a host that does not answer may take to count as lost: 50 seconds
// since the node controller last heard of its kubelet, and as much once more when that
// controller was on the host and had to begin elsewhere, and a little.
const settles = 3 * time.Minute

// settled looks at the cluster until the old host is either there or counts as lost: the
// order of all that follows depends on it.
func (o *nodeReplaceOptions) settled(ctx context.Context, old string) (nodes.Observation, error) {
	begun, told := time.Now(), false
	for {
		seen, err := nodes.Observe(ctx, o.add.Clients, o.add.Stored, "")
		if err != nil {
			return seen, action.OfCluster(err)
		}
		why, away := seen.EtcdAway[old]
		if n, isNode := seen.Nodes[old]; isNode && n.NotReady != "" {
			why, away = n.NotReady, true
		}
		if n, isNode := seen.Nodes[old]; !away || !isNode || n.Lost != "" {
			return seen, nil
		}
		if time.Since(begun) > settles {
			return seen, action.As(action.Findings, fmt.Errorf("%s is not well (%s), but its kubelet is heard of: mend it, or switch it off for good, and run this again; nothing was changed", old, why))
		}
		if !told {
			if _, err := fmt.Fprintf(o.add.ErrOut, "%s does not answer (%s): waiting whether it comes back or counts as lost\n", old, why); err != nil {
				return seen, err
			}
			told = true
		}
		select {
		case <-ctx.Done():
			return seen, context.Cause(ctx)
		case <-time.After(2 * time.Second):
		}
	}
}

// share gives both parts what one has found out.
func (o *nodeReplaceOptions) share() {
	from := o.add.Options
	o.remove.Options = from
}

// Run shows the whole plan, asks once, and carries both parts out.
func (o *nodeReplaceOptions) Run(ctx context.Context) error {
	defer o.add.close()
	if err := o.add.RefuseOther(ctx, o.add.operation(), o.remove.operation()); err != nil {
		return err
	}
	if o.lost && !o.out {
		// What comes after is planned as if the old host were out.
		o.add.Stored = nodes.Without(o.add.Stored, o.remove.spec.Node)
		if err := o.add.merge(); err != nil {
			return err
		}
	}
	add, err := o.add.plan(ctx, func(seen *nodes.Observation) {
		if o.lost {
			delete(seen.Nodes, o.remove.spec.Node)
		}
	})
	if err != nil {
		return err
	}
	leave, err := o.leaving(ctx)
	if err != nil {
		return err
	}
	// The new host is looked at before the old one is touched.
	err = o.add.outside(ctx, add, true, func(ctx context.Context, ssh plan.Plan) error {
		return o.confirm(ctx, ssh, add, leave)
	})
	if err != nil || o.add.DryRun {
		return err
	}
	if o.lost && !o.out {
		if err := o.remove.Operate(ctx, o.remove.Stored, o.remove.operation(), cli.WaitFlags{}); err != nil {
			return err
		}
	}
	if err := o.add.outside(ctx, add, false, nil); err != nil {
		return err
	}
	if err := o.add.inside(ctx, cli.WaitFlags{}); err != nil {
		return err
	}
	if !o.lost && !o.out {
		if err := o.remove.Operate(ctx, o.add.merged, o.remove.operation(), cli.WaitFlags{}); err != nil {
			return err
		}
	}
	return o.afterwards(ctx)
}

// leaving is the plan of the old host's part; nil when it is out.
func (o *nodeReplaceOptions) leaving(ctx context.Context) (*operate.Plan, error) {
	if o.out {
		return nil, nil
	}
	if o.lost {
		p, _, err := o.remove.plan(ctx, o.remove.Stored, nil)
		return p, err
	}
	p, _, err := o.remove.plan(ctx, o.add.merged, func(seen *nodes.Observation) {
		for _, name := range o.add.names {
			h, _ := o.add.merged.Host(name)
			seen.Nodes[name] = nodes.Node{ControlPlane: h.Has(v1alpha1.RoleControlPlane)}
			delete(seen.EtcdAway, name)
		}
	})
	return p, err
}

// part is one of the two plans, with the cluster that comes of it.
type part struct {
	cluster *v1alpha1.Cluster
	plan    *operate.Plan
}

// confirm shows both plans, in their order, and asks.
func (o *nodeReplaceOptions) confirm(ctx context.Context, ssh plan.Plan, add, leave *operate.Plan) error {
	coming := &operate.Plan{Cluster: add.Cluster, Findings: add.Findings}
	coming.Plan.Steps = append(slices.Clone(ssh.Steps), add.Plan.Steps...)
	if !o.lost {
		// What is odd while both are there is so for a moment only.
		coming.Findings = nodes.Blocking(coming.Findings)
	}
	parts := []part{{o.add.merged, coming}, {nodes.Without(o.add.merged, o.remove.spec.Node), leave}}
	switch {
	case leave == nil:
		parts = parts[:1]
	case o.lost:
		slices.Reverse(parts)
	}
	for _, p := range parts {
		if err := o.add.Show(p.cluster, p.plan); err != nil {
			return err
		}
	}
	if o.add.DryRun {
		return nil
	}
	return o.add.Ask(ctx, fmt.Sprintf("Put %s in the place of %s?", o.add.names[0], o.remove.spec.Node))
}

func (o *nodeReplaceOptions) afterwards(ctx context.Context) error {
	seen := nodes.Observation{Nodes: map[string]nodes.Node{}}
	if o.lost {
		seen.Nodes[o.remove.spec.Node] = nodes.Node{Lost: "lost"}
	}
	if !o.out {
		o.remove.given, o.remove.hostKey = o.add.given, o.add.hostKey
	}
	return o.remove.afterwards(ctx, seen)
}
