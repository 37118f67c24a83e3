package node

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/nodes"
	operating "github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operate"
)

// replaceOptions put one host in another one's place.
type replaceOptions struct {
	// addOptions are of the host that comes.
	addOptions
	old   v1alpha1.RemoveNodeSpec
	drain time.Duration
}

func newReplace(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &replaceOptions{addOptions: addOptions{Options: operate.Options{IOStreams: streams, Access: access}}}
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
		ValidArgsFunction: completeHosts(&o.Options),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.Complete(c.Context(), args[0], args[1]); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	f := c.Flags()
	cli.AddDryRun(f, &o.DryRun, "look at the new host, show the plan, and end")
	cli.AddYes(f, &o.Yes, "")
	o.addHostFlags(c)
	addDrainFlags(c, &o.old, &o.drain)
	f.StringVarP(&o.Output, "output", "o", "", "text (default), or json: the plan, then an event per line")
	return c
}

// Complete reads the Cluster file, and connects.
func (o *replaceOptions) Complete(ctx context.Context, old, fresh string) error {
	o.old.Node, o.hosts.Names = old, []string{fresh}
	if err := cli.CheckOutput(o.Output); err != nil {
		return err
	}
	if o.drain <= 0 {
		return action.Invalidf("--drain-timeout %s is no time at all", o.drain)
	}
	if err := o.ValidateYes(); err != nil {
		return err
	}
	return o.complete(ctx)
}

// Run shows the whole plan, asks once, and has both parts done.
func (o *replaceOptions) Run(ctx context.Context) error {
	shown := cli.NewProgress(o.Out, o.Output)
	defer shown.Close()
	o.hosts.Confirm = o.confirm(shown, fmt.Sprintf("Put %s in the place of %s?", o.hosts.Names[0], o.old.Node))
	watch := func(ctx context.Context, begun *operating.Begun) error {
		shown.Close()
		defer shown.Open()
		return o.Watch(ctx, begun, cli.WaitFlags{})
	}
	// What is waited for is no part of the output.
	waiting := cli.NewProgress(o.ErrOut, "")
	r, err := nodes.PlanReplace(ctx, nodes.ReplaceOptions{AddOptions: o.hosts, Old: o.old, DrainTimeout: o.drain, Watch: watch}, waiting)
	waiting.Close()
	if err != nil {
		return err
	}
	defer r.Close()
	out, err := r.Run(ctx, shown)
	shown.Close()
	if err != nil || o.DryRun {
		return explain(ctx, &o.Options, err)
	}
	return printOut(&o.Options, out)
}
