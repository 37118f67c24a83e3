package loadbalancer

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// installOptions set the load balancer up.
type installOptions struct {
	operate.Options
	want   loadbalancer.InstallOptions
	useFor []string
}

func newInstall(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &installOptions{Options: operate.Options{IOStreams: streams, Access: access}}
	c := &cobra.Command{
		Use:   "install",
		Short: "Install the load balancer, or change its settings",
		Long: cli.Paragraphs(
			"Shows the plan, prompts, pushes the image of the load balancer to the control plane nodes, and installs it with an Operation. Run it again with another --type or --use-for to change it: no new connection is refused, and open connections have 20 seconds to finish. To change --port while anything uses the old port, remove the load balancer first.",
			"Clients use it only on request: kube-proxy and the kubelets of workers keep using the API port of the virtual IP unless --use-for names them. The kubelets of control plane nodes keep using their local API server."),
		Example: cli.Examples(`
			kubectl ha loadbalancer install
			kubectl ha loadbalancer install --use-for kube-proxy,kubelets,kubeconfig --yes

			# nginx, with its image from a bundle created with --load-balancer nginx
			kubectl ha loadbalancer install --type nginx --bundle bundle.tar --dry-run`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Complete(c); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	o.AddFlags(c)
	f := c.Flags()
	f.StringVar(&o.want.Type, "type", "", "haproxy or nginx (default: from the Cluster document, else haproxy)")
	f.Int32Var(&o.want.Port, "port", 0, "`port` on every control plane node and on the virtual IP (default: from the Cluster document, else 8443)")
	f.StringSliceVar(&o.useFor, "use-for", nil, "`clients` that use it: kube-proxy, kubelets (of the workers, and cluster-info), kubeconfig (files of kubectl ha kubeconfig)")
	f.StringVar(&o.want.Image, "image", "", "image `reference` (default: the image this program was tested with)")
	f.StringVar(&o.want.Bundle, "bundle", "", "take the image from this bundle `file`")
	cli.AddTrustFlags(f, &o.want.Trust, "bundle-")
	cli.AddOutput(c, &o.Output, cli.Formats{Documents: "the plan, then one event per line", Manifests: true})
	return c
}

// Complete checks the flags, and connects.
func (o *installOptions) Complete(c *cobra.Command) error {
	if c.Flags().Changed("use-for") {
		o.want.UseFor = uses(o.useFor)
	}
	if err := loadbalancer.CheckInstall(o.want); err != nil {
		return err
	}
	if err := o.ValidateYes(); err != nil {
		return err
	}
	err := o.Connect(c.Context())
	o.want.To, o.want.DryRun = o.Connection, o.DryRun
	return err
}

// uses are not nil: who gives none takes all of the document's away.
func uses(names []string) []v1alpha1.LoadBalancerUse {
	out := []v1alpha1.LoadBalancerUse{}
	for _, name := range names {
		out = append(out, v1alpha1.LoadBalancerUse(name))
	}
	return out
}

// Run shows the plan, asks, and has it done.
func (o *installOptions) Run(ctx context.Context) error {
	if o.Output.Manifests() {
		objects, spec, err := loadbalancer.InstallManifests(ctx, o.want)
		if err != nil {
			return err
		}
		return o.PrintManifests(objects, "The control planes must have "+spec.Image+" before: "+program.Name+" images push "+spec.Image)
	}
	i, err := loadbalancer.PlanInstall(ctx, o.want)
	if err != nil {
		return err
	}
	will := i.Plan.Cluster
	if err := o.Decide(ctx, fmt.Sprintf("Install %s at %s?", i.Spec.Type, will.BalancedEndpoint()), i.Plan); err != nil || o.DryRun {
		return err
	}
	if err := o.Carry(ctx, i.Begin); err != nil || o.Detach || o.Output.ForPrograms() {
		return err
	}
	_, err = fmt.Fprintf(o.Out, "%s balances https://%s over %s\n", i.Spec.Type, will.BalancedEndpoint(), report.Plural(len(will.ControlPlanes()), "API server", "API servers"))
	return err
}
