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
		Short: "Set the load balancer up, or change it",
		Long: cli.Paragraphs(
			"Shows the plan, asks, brings the load balancer's image to the control planes, and has the cluster do the rest. The same command with another --type or --use-for changes what is there: no new connection is refused meanwhile, and open streams have 20 seconds to end. Another --port needs a remove first while anything uses the old one.",
			"Nobody uses it who was not asked to: kube-proxy and the workers' kubelets go on with the virtual IP's own port, unless --use-for names them. The kubelets of control planes stay with their own API server."),
		Example: cli.Examples(`
			kubectl ha loadbalancer install
			kubectl ha loadbalancer install --use-for kube-proxy,kubelets,kubeconfig --yes

			# nginx, its image from a bundle that was made with --load-balancer nginx
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
	f.StringVar(&o.want.Type, "type", "", "haproxy or nginx (default: the Cluster document's, which is haproxy)")
	f.Int32Var(&o.want.Port, "port", 0, "its `port` on every control plane and on the virtual IP (default: the Cluster document's, which is 8443)")
	f.StringSliceVar(&o.useFor, "use-for", nil, "who uses it: kube-proxy, kubelets (those of the workers, and cluster-info), kubeconfig (of `kubectl ha kubeconfig`)")
	f.StringVar(&o.want.Image, "image", "", "the image's `reference`, in place of the one that this program was tested with")
	f.StringVar(&o.want.Bundle, "bundle", "", "take the image from this bundle (`file`)")
	cli.AddTrustFlags(f, &o.want.Trust, "bundle-")
	f.StringVarP(&o.Output, "output", "o", "", "text (default), json: the plan, then an event per line; or yaml: the manifests, and nothing is done")
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
	if err := cli.CheckOutput(o.Output, cli.OutputYAML); err != nil {
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
	if o.Output == cli.OutputYAML {
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
	if err := o.Decide(ctx, fmt.Sprintf("Set %s up at %s?", i.Spec.Type, will.BalancedEndpoint()), i.Plan); err != nil || o.DryRun {
		return err
	}
	if err := o.Carry(ctx, i.Begin); err != nil || o.Detach || o.Output == cli.OutputJSON {
		return err
	}
	_, err = fmt.Fprintf(o.Out, "%s hands https://%s to %s\n", i.Spec.Type, will.BalancedEndpoint(), report.Plural(len(will.ControlPlanes()), "API server", "API servers"))
	return err
}
