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
		Short: "Replace a host, which may be lost, with a new one",
		Long: cli.Paragraphs(
			"Adds the new host and removes the old one in the safe order. A reachable host is removed after the new one has joined. A lost host is removed first, because an etcd of three members accepts no new member while one is down. It checks the new host and shows both plans before anything is changed.",
			"Add the new host to the Cluster file first, with the roles of the old one. Run the command again to resume."),
		Example: cli.Examples(`
			kubectl ha node replace cp1 cp4 -f cluster.yaml
			kubectl ha node replace w1 w2 -f cluster.yaml --delete-emptydir-data --yes`),
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 2 || args[0] == args[1] {
				return action.Invalidf("specify the old and the new host: %s", c.UseLine())
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
	cli.AddDryRun(f, &o.DryRun, "only check the new host and show the plan")
	cli.AddYes(f, &o.Yes, "")
	o.addHostFlags(c)
	addDrainFlags(c, &o.old, &o.drain)
	cli.AddOutput(c, &o.Output, cli.Formats{Documents: "the plan, then one event per line"})
	return c
}

// Complete reads the Cluster file, and connects.
func (o *replaceOptions) Complete(ctx context.Context, old, fresh string) error {
	o.old.Node, o.hosts.Names = old, []string{fresh}
	if o.drain <= 0 {
		return action.Invalidf("--drain-timeout must be greater than 0, not %s", o.drain)
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
	o.hosts.Confirm = o.confirm(shown, fmt.Sprintf("Replace %[2]s with %[1]s?", o.hosts.Names[0], o.old.Node))
	watch := func(ctx context.Context, begun *operating.Begun) error {
		shown.Close()
		defer shown.Open()
		return o.Watch(ctx, begun, cli.WaitFlags{})
	}
	// What is waited for is no part of the output.
	waiting := cli.NewProgress(o.ErrOut, cli.Output{})
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
