package operation

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// options are what all verbs of Operations share.
type options struct {
	genericiooptions.IOStreams
	access *genericclioptions.ConfigFlags
	output cli.Output
	cli.WaitFlags
	ops *incluster.Operations
}

// New makes `kubectl ha operation`.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{IOStreams: streams, access: cli.NewAccess()}
	c := &cobra.Command{
		Use:     "operation",
		Aliases: []string{"operations", "op"},
		Short:   "List, show, watch, pause, resume and abort Operations",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Every change to the cluster is an Operation: a resource that records the intent, the plan and the progress. A coordinator inside the cluster carries it out. You can disconnect; the Operation continues.",
			"`kubectl get operations` lists them, `kubectl describe operation NAME` shows events, and `kubectl wait --for=condition=Complete operation/NAME` waits for one."),
		Example: cli.Examples(`
			kubectl ha operation list
			kubectl ha operation watch
			kubectl ha operation show join-x7k2p`),
		Args: cobra.ArbitraryArgs,
		RunE: cli.RunGroup,
	}
	cli.AddAccess(c, o.access)
	c.AddCommand(o.newList(), o.newShow(), o.newWatch(),
		o.newVerb("pause", "Pause an Operation before its next step; running steps finish", "will pause before its next step",
			operations.Pause),
		o.newVerb("resume", "Resume a paused or failed Operation; failed steps are retried", "goes on",
			func(ctx context.Context, which operations.Options) error {
				shown := cli.NewProgress(o.Out, o.output)
				defer shown.Close()
				return operations.Resume(ctx, which, shown)
			}),
		o.newVerb("abort", "Abort an Operation; running steps finish, then the cleanup runs", "is being aborted; its cleanup runs",
			operations.Abort),
	)
	return c
}

// find is the Operation that the arguments mean.
func (o *options) find(ctx context.Context, args []string) (*v1alpha1.Operation, error) {
	if err := o.Complete(); err != nil {
		return nil, err
	}
	return operations.Find(ctx, o.ops, nameIn(args))
}

// Complete connects to the cluster, to look.
func (o *options) Complete() error {
	config, err := cli.RestConfig(o.access)
	if err != nil {
		return err
	}
	o.ops, err = incluster.NewOperations(config, nil)
	return err
}

// newVerb makes a verb that tells an Operation what to do.
func (o *options) newVerb(verb, short, done string, do func(context.Context, operations.Options) error) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " NAME",
		Short:             short,
		Example:           cli.Examples(fmt.Sprintf("kubectl ha operation %s join-x7k2p", verb)),
		Args:              cli.OneArg("the Operation"),
		ValidArgsFunction: o.completeNames,
		RunE: func(c *cobra.Command, args []string) error {
			config, err := cli.RestConfig(o.access)
			if err != nil {
				return err
			}
			if err := do(c.Context(), operations.Options{Config: config, Name: args[0]}); err != nil {
				return err
			}
			_, err = fmt.Fprintf(o.Out, "operation %s %s; %s operation watch %s shows its progress\n", args[0], done, program.Name, args[0])
			return err
		},
	}
}

// nameIn is the name among the arguments, if there is one.
func nameIn(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// completeNames completes an Operation's name for the shell.
func (o *options) completeNames(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || o.Complete() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := o.ops.List(c.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, op := range all {
		out = append(out, op.Name+"\t"+string(op.Status.Phase))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (o *options) newWatch() *cobra.Command {
	c := &cobra.Command{
		Use:   "watch [NAME]",
		Short: "Watch an Operation until it ends; it continues if you leave",
		Long: cli.Paragraphs(
			"Shows past and current steps until the Operation ends. Without a name, it watches the running Operation, else the latest. Press Ctrl-C to stop watching; the Operation continues in the cluster."),
		Example: cli.Examples(`
			kubectl ha operation watch
			kubectl ha operation watch join-x7k2p -o json`),
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: o.completeNames,
		RunE: func(c *cobra.Command, args []string) error {
			op, err := o.find(c.Context(), args)
			if err != nil {
				return err
			}
			return cli.WatchOrLeave(c.Context(), o.IOStreams, o.ops, op.Name, o.output, o.WaitFlags)
		},
	}
	cli.AddOutput(c, &o.output, cli.Formats{Documents: "one event per line"})
	o.AddTimeout(c.Flags(), "")
	return c
}
