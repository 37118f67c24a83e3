package upgrade

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

// rollbackOptions put a node back.
type rollbackOptions struct {
	genericiooptions.IOStreams
	access *genericclioptions.ConfigFlags
	upgrade.RollbackOptions
	cli.WaitFlags
	yes    bool
	output cli.Output
}

func newRollback(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &rollbackOptions{IOStreams: streams, access: access}
	c := &cobra.Command{
		Use:   "rollback-node NODE",
		Short: "Roll one node back to its version before the upgrade",
		Long: cli.Paragraphs(
			"Restores the binaries and, on a control plane node, the static pods that the last upgrade of the node kept, and waits until the node is healthy. A control plane node can go back to the previous minor version only while another control plane node still runs that version. After that, etcd may hold data that the older version cannot read; restore a backup instead.",
			"If an upgrade is in progress, abort it first."),
		Example: cli.Examples(`
			kubectl ha upgrade rollback-node cp2
			kubectl ha upgrade rollback-node cp2 --to v1.36.1`),
		Args: cli.OneArg("the node"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			o.Node = args[0]
			if o.Config, o.Clients, o.Cluster, err = cli.StoredCluster(c.Context(), o.access); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&o.To, "to", "", "kept `version` to restore (default: the one before the last upgrade of the node)")
	o.Add(f, "", "start the Operation and return")
	cli.AddYes(f, &o.yes, "")
	cli.AddOutput(c, &o.output, cli.Formats{Documents: "one event per line"})
	return c
}

// Run shows what was found, asks, and has it done.
func (o *rollbackOptions) Run(ctx context.Context) error {
	p, err := upgrade.PlanRollback(ctx, o.RollbackOptions)
	if err != nil {
		return err
	}
	if err := cli.PrintFindings(o.ErrOut, cli.StyleFor(o.ErrOut), findings(p.Findings, p.Blocks)); err != nil {
		return err
	}
	if err := p.Err(); err != nil {
		return err
	}
	if !o.yes {
		if err := cli.Confirm(ctx, o.In, o.ErrOut, fmt.Sprintf("Roll %s back from %s to %s?", p.Node, p.From, p.To)); err != nil {
			return err
		}
	}
	shown := cli.NewProgress(o.Out, o.output)
	ops, name, err := p.Begin(ctx, shown)
	shown.Close()
	if err != nil {
		return err
	}
	return cli.WatchOrLeave(ctx, o.IOStreams, ops, name, o.output, o.WaitFlags)
}
