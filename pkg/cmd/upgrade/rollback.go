package upgrade

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
)

// rollbackOptions put a node back.
type rollbackOptions struct {
	upgradeOptions
	node string
	to   string
}

func newRollbackNode(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &rollbackOptions{upgradeOptions: upgradeOptions{IOStreams: streams, access: access}}
	c := &cobra.Command{
		Use:   "rollback-node NODE",
		Short: "Put back on one node what its upgrade has replaced",
		Long: cli.Paragraphs(
			"Puts the programs and, on a control plane, the static pods back that the last upgrade of the node has kept, and waits until it is well. A control plane goes back over a minor version only while another one has not left it: after that what is stored may be written in ways that the older one can't read, and a backup is the way back.",
			"While an upgrade is in progress, abort it first."),
		Example: cli.Examples(`
			kubectl ha upgrade rollback-node cp2
			kubectl ha upgrade rollback-node cp2 --to v1.36.1`),
		Args: cli.OneArg("the node"),
		RunE: func(c *cobra.Command, args []string) error {
			o.node = args[0]
			if err := cli.CheckOutput(o.output); err != nil {
				return err
			}
			o.drain, o.spec.KeepBackups = v1alpha1.DefaultDrainTimeout, v1alpha1.DefaultKeepBackups
			if err := o.Complete(c.Context(), ""); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&o.to, "to", "", "the kept `version`; by default the one before the node's last upgrade")
	o.Add(f, "", "begin it, and leave")
	cli.AddYes(f, &o.yes, "")
	f.StringVarP(&o.output, "output", "o", "", "text (default), or json: an event per line")
	return c
}

// Run judges, asks, and has it done.
func (o *rollbackOptions) Run(ctx context.Context) error {
	n, err := o.clients.Kube.CoreV1().Nodes().Get(ctx, o.node, metav1.GetOptions{})
	if err != nil {
		return action.OfCluster(err)
	}
	to := o.to
	if to == "" {
		to = n.Annotations[upgrade.AnnotationPrevious]
	}
	if to == "" {
		return action.Invalidf("nothing says what %s had before; name the version with --to", o.node)
	}
	if !strings.HasPrefix(to, "v") {
		to = "v" + to
	}
	spec := &v1alpha1.RollbackNodeSpec{Node: o.node, Version: to}
	seen, err := upgrade.Observe(ctx, o.clients, o.cluster, upgrade.Look{})
	if err != nil {
		return action.OfCluster(err)
	}
	p := &upgradePlan{Findings: upgrade.CheckRollback(o.cluster, spec, seen)}
	found := findingsOf(p)
	if err := cli.PrintFindings(o.ErrOut, cli.StyleFor(o.ErrOut), found); err != nil {
		return err
	}
	if bad, _ := cli.Count(found); bad > 0 {
		return action.As(action.Findings, fmt.Errorf("%s does not go back to %s; nothing was changed", o.node, to))
	}
	ops, err := o.operations(ctx)
	if err != nil {
		return err
	}
	if err := refuseSecond(ctx, ops); err != nil {
		return err
	}
	if !o.yes {
		if err := cli.Confirm(ctx, o.In, o.ErrOut, fmt.Sprintf("Put %s back from %s to %s?", o.node, n.Status.NodeInfo.KubeletVersion, to)); err != nil {
			return err
		}
	}
	if ops, err = cli.ReadyOperations(ctx, o.IOStreams, o.config, o.cluster, o.output); err != nil {
		return err
	}
	op, err := ops.Create(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationRollbackNode, RollbackNode: spec})
	if err != nil {
		return action.OfCluster(err)
	}
	return cli.WatchOrLeave(ctx, o.IOStreams, ops, op.Name, o.output, o.WaitFlags)
}
