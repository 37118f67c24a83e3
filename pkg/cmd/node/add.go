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
		Short: "Make hosts of the Cluster file part of the cluster that runs",
		Long: cli.Paragraphs(
			"Put the hosts into the Cluster file first, with their roles. This command then logs in to these hosts alone, looks at them, and shows what is to be done: programs and images, an etcd member where the host gets one (first as a learner, then with a vote), keepalived on control planes, the kubelet. The cluster itself does the rest: it promotes control planes, and tells the others of them.",
			"Run it again to resume: it looks at the hosts and does what is left. How large the cluster is does not matter, but that each control plane's apiserver restarts when there is a new etcd member, one after the other and with the virtual IP elsewhere.",
			"For a host that can't be reached over SSH, --print writes a script that does there what is otherwise done over SSH. It holds a token that lives for twenty minutes, and for an etcd member its keys: treat it as a secret; a file that others may read is refused. Then --enrolled does the rest."),
		Example: cli.Examples(`
			kubectl ha node add w2 -f cluster.yaml
			kubectl ha node add cp4 cp5 -f cluster.yaml --bundle bundle.tar --yes

			# For a host that is reached by other means
			(umask 077; kubectl ha node add w3 -f cluster.yaml --print > add-w3.sh)
			kubectl ha node add w3 -f cluster.yaml --enrolled`),
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return action.Invalidf("name the hosts to add, as they are called in the Cluster file: %s", c.UseLine())
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
	f.BoolVar(&o.print, "print", false, "print a one-time script for a host that is reached by other means, and end")
	f.BoolVar(&o.hosts.Enrolled, "enrolled", false, "the hosts have been enrolled: do the rest")
	f.StringVarP(&o.Output, "output", "o", "", "text (default), json: the plan, then an event per line; or yaml: the Operation's manifests, and nothing is done")
	return c
}

// addHostFlags adds the flags about the part over SSH.
func (o *addOptions) addHostFlags(c *cobra.Command) {
	cli.AddFileFlag(c, &o.hosts.File)
	c.Flags().StringVar(&o.hosts.Bundle, "bundle", "", "the bundle `file` with images and programs (default: made in your cache)")
	cli.AddTrustFlags(c.Flags(), &o.hosts.Trust, "bundle-")
	cli.AddHostKeyFlag(c, &o.hostKey)
}

// Complete reads the Cluster file, and connects.
func (o *addOptions) Complete(ctx context.Context, names []string) error {
	o.hosts.Names = names
	if err := cli.CheckOutput(o.Output, cli.OutputYAML); err != nil {
		return err
	}
	if o.print && (o.hosts.Enrolled || len(names) > 1) {
		return action.Invalidf("--print is for one host at a time, and not together with --enrolled")
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
	if !o.print && !h.Enrolled {
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
	case o.Output == cli.OutputYAML:
		objects, err := nodes.AddManifests(ctx, o.hosts)
		if err != nil {
			return err
		}
		return o.PrintManifests(objects, "The hosts must be enrolled, and in the stored Cluster document (configmap ha-system/cluster), before.")
	case o.print:
		return o.printScript(ctx)
	}
	question := "Go on?"
	if o.hosts.Enrolled {
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
