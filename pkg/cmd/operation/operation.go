package operation

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// operationOptions are what all verbs of Operations share.
type operationOptions struct {
	genericiooptions.IOStreams
	access *genericclioptions.ConfigFlags
	output string
	cli.WaitFlags
	ops *incluster.Operations
}

func NewOperation(streams genericiooptions.IOStreams) *cobra.Command {
	o := &operationOptions{IOStreams: streams, access: cli.NewAccess()}
	c := &cobra.Command{
		Use:     "operation",
		Aliases: []string{"operations", "op"},
		Short:   "List, show, watch, pause, resume and abort what is done to the cluster",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Everything that changes the cluster is an Operation: a resource in it that says what is wanted, how it is done step by step, and how far that is. A coordinator inside the cluster carries it out; whoever starts one may close the laptop.",
			"`kubectl get operations` shows them as well, `kubectl describe operation NAME` what happened, and `kubectl wait --for=condition=Complete operation/NAME` waits for one."),
		Example: cli.Examples(`
			kubectl ha operation list
			kubectl ha operation watch
			kubectl ha operation show join-x7k2p`),
		Args: cobra.ArbitraryArgs,
		RunE: cli.RunGroup,
	}
	cli.AddAccess(c, o.access)
	c.AddCommand(o.newList(), o.newShow(), o.newWatch(),
		o.newVerb("pause", "Stop an Operation before its next step; running steps finish", "is paused before its next step",
			func(ctx context.Context, name string) error { return o.ops.Pause(ctx, name) }),
		o.newVerb("resume", "Carry a paused or failed Operation on; what failed is tried again", "goes on",
			o.resume),
		o.newVerb("abort", "End an Operation for good: running steps finish, the clean-up runs", "is being ended; its clean-up runs",
			func(ctx context.Context, name string) error { return o.ops.Abort(ctx, name) }),
	)
	return c
}

// Complete connects to the cluster, to look.
func (o *operationOptions) Complete() error {
	config, err := cli.RestConfig(o.access)
	if err != nil {
		return err
	}
	o.ops, err = incluster.NewOperations(config, nil)
	return err
}

// completeToAct connects to the cluster for what may start a coordinator.
func (o *operationOptions) completeToAct(ctx context.Context) error {
	config, err := cli.RestConfig(o.access)
	if err != nil {
		return err
	}
	agents, err := agents.Usual(ctx, config)
	if err != nil {
		return action.OfCluster(err)
	}
	o.ops, err = incluster.NewOperations(config, agents)
	return err
}

// newVerb makes a verb that tells an Operation what to do.
func (o *operationOptions) newVerb(verb, short, done string, do func(context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " NAME",
		Short:             short,
		Example:           cli.Examples(fmt.Sprintf("kubectl ha operation %s join-x7k2p", verb)),
		Args:              cli.OneArg("the Operation"),
		ValidArgsFunction: o.completeNames,
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.completeToAct(c.Context()); err != nil {
				return err
			}
			if err := do(c.Context(), args[0]); err != nil {
				return action.OfCluster(err)
			}
			_, err := fmt.Fprintf(o.Out, "operation %s %s; %s operation watch %s shows it\n", args[0], done, program.Name, args[0])
			return err
		},
	}
}

// resume carries an Operation on. One that has failed may be waiting for a mended
// agent, and is given this program's; one in progress has the nodes for itself.
func (o *operationOptions) resume(ctx context.Context, name string) error {
	op, err := o.ops.Get(ctx, name)
	if err != nil {
		return err
	}
	ops := o.ops
	if op.Status.Phase == v1alpha1.OperationFailed && !op.Spec.Aborted {
		config, err := cli.RestConfig(o.access)
		if err != nil {
			return err
		}
		shown := cli.NewProgress(o.Out, o.output)
		agents, err := agents.Ensure(ctx, config, shown)
		shown.Close()
		if err != nil {
			return err
		}
		ops = ops.WithAgents(agents)
	}
	return ops.Resume(ctx, name)
}

// nameIn is the name among the arguments, if there is one.
func nameIn(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// completeNames completes an Operation's name for the shell.
func (o *operationOptions) completeNames(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
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

func (o *operationOptions) newWatch() *cobra.Command {
	c := &cobra.Command{
		Use:   "watch [NAME]",
		Short: "Show what an Operation does until it ends; leaving does not end it",
		Long: cli.Paragraphs(
			"Shows what has happened and what happens, until the Operation ends. Without a name: the one that runs, else the latest. Ctrl-C leaves; the Operation goes on in the cluster."),
		Example: cli.Examples(`
			kubectl ha operation watch
			kubectl ha operation watch join-x7k2p -o json`),
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: o.completeNames,
		RunE: func(c *cobra.Command, args []string) error {
			if err := cli.CheckOutput(o.output); err != nil {
				return err
			}
			if err := o.Complete(); err != nil {
				return err
			}
			return o.watch(c.Context(), nameIn(args))
		},
	}
	o.addOutput(c, "text (default), or json: an event per line")
	o.AddTimeout(c.Flags(), "")
	return c
}

func (o *operationOptions) addOutput(c *cobra.Command, usage string) {
	c.Flags().StringVarP(&o.output, "output", "o", "", usage)
}

func (o *operationOptions) watch(ctx context.Context, name string) error {
	op, err := o.pick(ctx, name)
	if err != nil {
		return action.OfCluster(err)
	}
	ctx, stop := o.Limited(ctx)
	defer stop()
	shown := cli.NewProgress(o.Out, o.output)
	err = o.ops.Watch(ctx, op.Name, shown)
	shown.Close()
	var failed *incluster.FailedError
	switch {
	case err == nil && o.output == cli.OutputJSON:
		return nil
	case err == nil:
		_, err = fmt.Fprintf(o.Out, "operation %s succeeded\n", op.Name)
		return err
	case errors.As(err, &failed) || ctx.Err() != nil:
		return err
	}
	return action.OfCluster(err)
}

// pick finds the Operation of that name, or the one that a person means who
// gives none.
func (o *operationOptions) pick(ctx context.Context, name string) (*v1alpha1.Operation, error) {
	if name != "" {
		return o.ops.Get(ctx, name)
	}
	all, err := o.ops.List(ctx)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, action.Invalidf("there is no Operation in this cluster")
	}
	for i := len(all) - 1; i >= 0; i-- {
		if operations.Unfinished(all[i]) {
			return &all[i], nil
		}
	}
	return &all[len(all)-1], nil
}
