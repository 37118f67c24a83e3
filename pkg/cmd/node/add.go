package node

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/nodes"
	operating "github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operate"
)

// addOptions add hosts.
type addOptions struct {
	operate.Options
	hosts   nodes.AddOptions
	hostKey cli.HostKeyFlag
	print   bool
}

func newAdd(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &addOptions{Options: operate.Options{IOStreams: streams, Access: access}}
	c := &cobra.Command{
		Use:   "add HOST…",
		Short: "Add hosts of the Cluster file to the cluster",
		Long: cli.Paragraphs(
			"Add the hosts and their roles to the Cluster file first. The command logs in to these hosts only, checks them, and shows the plan: binaries and images, an etcd member if the host gets one (first as a learner, then as a voter), keepalived on control plane nodes, the kubelet. Then an Operation joins control plane nodes and updates the other nodes.",
			"Run it again to resume: it checks the hosts and completes the remaining steps. Existing nodes are not affected, with one exception: if there is a new etcd member, the apiservers restart one by one, each after the virtual IP has moved away from it.",
			"For a host that you cannot reach over SSH, --print writes a script to run on the host instead. It contains a token that is valid for twenty minutes and, for an etcd member, its keys. Treat it as a secret; writing to a file that others can read is refused. After the script has run, use --joined to complete the join."),
		Example: cli.Examples(`
			kubectl ha node add w2 -f cluster.yaml
			kubectl ha node add cp4 cp5 -f cluster.yaml --bundle bundle.tar --yes

			# For a host without SSH access
			(umask 077; kubectl ha node add w3 -f cluster.yaml --print > add-w3.sh)
			kubectl ha node add w3 -f cluster.yaml --joined`),
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return action.Invalidf("specify the hosts to add, by their names in the Cluster file: %s", c.UseLine())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.Complete(c.Context(), args); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	o.AddFlags(c)
	o.addHostFlags(c)
	f := c.Flags()
	f.BoolVar(&o.print, "print", false, "only print a one-time script for a host without SSH access")
	f.BoolVar(&o.hosts.Joined, "joined", false, "the script of --print has run on the hosts; complete the join")
	cli.AddFormer(f, o.ErrOut, "enrolled", "joined")
	cli.AddOutput(c, &o.Output, cli.Formats{Documents: "the plan, then one event per line", Manifests: true})
	return c
}

// addHostFlags adds the flags about the part over SSH.
func (o *addOptions) addHostFlags(c *cobra.Command) {
	cli.AddFileFlag(c, &o.hosts.File)
	c.Flags().StringVar(&o.hosts.Bundle, "bundle", "", "bundle `file` with images and binaries (default: created in your cache)")
	cli.AddTrustFlags(c.Flags(), &o.hosts.Trust, "bundle-")
	cli.AddHostKeyFlag(c, &o.hostKey)
}

// Complete reads the Cluster file, and connects.
func (o *addOptions) Complete(ctx context.Context, names []string) error {
	o.hosts.Names = names
	if o.print && (o.hosts.Joined || len(names) > 1) {
		return action.Invalidf("--print takes one host, and cannot be combined with --joined")
	}
	if !o.print {
		if err := o.ValidateYes(); err != nil {
			return err
		}
	}
	return o.complete(ctx)
}

// complete reads the Cluster file and what the caller's login gives, and connects.
func (o *addOptions) complete(ctx context.Context) (err error) {
	h := &o.hosts
	if err := h.Trust.Requires(h.Bundle != "", "--bundle"); err != nil {
		return err
	}
	if h.Given, _, err = cli.FindCluster(&h.File, o.In); err != nil {
		return err
	}
	if h.StateDir, err = cli.StateDir(h.Given); err != nil {
		return err
	}
	if !o.print && !h.Joined {
		if h.Login, err = o.hostKey.Login(); err != nil {
			return err
		}
	}
	err = o.Connect(ctx)
	h.To, h.DryRun = o.Connection, o.DryRun
	return err
}

// Run adds the hosts, or prints what does.
func (o *addOptions) Run(ctx context.Context) error {
	switch {
	case o.Output.Manifests():
		objects, err := nodes.AddManifests(ctx, o.hosts)
		if err != nil {
			return err
		}
		return o.PrintManifests(objects, "First, the hosts must have run the script of node add --print, and must be in the stored Cluster document (configmap ha-system/cluster).")
	case o.print:
		return o.printScript(ctx)
	}
	question := "Go on?"
	if o.hosts.Joined {
		question = "Add them to the cluster?"
	}
	shown := cli.NewProgress(o.Out, o.Output)
	o.hosts.Confirm = o.confirm(shown, question)
	begun, err := nodes.RunAdd(ctx, o.hosts, shown)
	shown.Close()
	if err != nil || begun == nil {
		return explain(ctx, &o.Options, err)
	}
	return o.Watch(ctx, begun, o.WaitFlags)
}

// confirm shows plans and asks, in between what is shown of the work.
func (o *addOptions) confirm(shown *cli.Progress, question string) func(context.Context, []*operating.Plan) error {
	return func(ctx context.Context, parts []*operating.Plan) error {
		shown.Close()
		defer shown.Open()
		return o.Decide(ctx, question, parts...)
	}
}

// explain shows what was found on hosts that are not ready, and says how to go on.
func explain(ctx context.Context, o *operate.Options, err error) error {
	var over *nodes.SSHError
	if errors.As(err, &over) {
		return cli.Explain(ctx, o.Out, o.Output, over.Result, err)
	}
	return err
}
