package loadbalancer

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operate"
)

// removeOptions take the load balancer away.
type removeOptions struct {
	operate.Options
}

func newRemove(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &removeOptions{Options: operate.Options{IOStreams: streams, Access: access}}
	c := &cobra.Command{
		Use:   "remove",
		Short: "Remove the load balancer",
		Long: cli.Paragraphs(
			"Points kube-proxy, cluster-info and the kubelets of workers back to the API port of the virtual IP if they use the load balancer, then removes it. Kubeconfigs that point to its port stop working; create new ones with kubectl ha kubeconfig --vip."),
		Example: cli.Examples(`
			kubectl ha loadbalancer remove
			kubectl ha loadbalancer remove --dry-run`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Complete(c.Context()); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	o.AddFlags(c)
	cli.AddOutput(c, &o.Output, cli.Formats{Documents: "the plan, then one event per line", Manifests: true})
	return c
}

// Complete checks the flags, and connects.
func (o *removeOptions) Complete(ctx context.Context) error {
	if err := o.ValidateYes(); err != nil {
		return err
	}
	return o.Connect(ctx)
}

// Run shows the plan, asks, and has it done.
func (o *removeOptions) Run(ctx context.Context) error {
	opts := loadbalancer.RemoveOptions{To: o.Connection, DryRun: o.DryRun}
	if o.Output.Manifests() {
		objects, err := loadbalancer.RemoveManifests(ctx, opts)
		if err != nil {
			return err
		}
		return o.PrintManifests(objects, "Kubeconfigs that point at the load balancer's port stop working.")
	}
	r, err := loadbalancer.PlanRemove(ctx, opts)
	if err != nil {
		return err
	}
	if r.Plan == nil {
		_, err := fmt.Fprintln(o.Out, "no load balancer is installed, nothing to do")
		return err
	}
	if err := o.Show(r.Plan); err != nil || o.DryRun {
		return err
	}
	if err := r.Check(); err != nil {
		return err
	}
	if err := o.Ask(ctx, "Remove the load balancer? Kubeconfigs that point at "+r.Endpoint+" stop working."); err != nil {
		return err
	}
	return o.Carry(ctx, r.Begin)
}
