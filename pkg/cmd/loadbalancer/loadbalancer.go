package loadbalancer

import (
	balancer "github.com/kubectl-ha/kubectl-ha/pkg/action/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operate"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"

	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
)

// loadBalancerOptions set up or remove the load balancer.
type loadBalancerOptions struct {
	operate.Options
	kind   string
	port   int32
	image  string
	bundle string
	trust  bundles.Trust
	useFor []string

	spec v1alpha1.LoadBalancerSpec
}

func NewLoadBalancer(streams genericiooptions.IOStreams) *cobra.Command {
	access := cli.NewAccess()
	c := &cobra.Command{
		Use:     "loadbalancer",
		Aliases: []string{"lb"},
		Short:   "Spread the API's clients over all control planes, at a port of the virtual IP",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"The virtual IP leads to one API server at a time. A load balancer on every control plane, at another port of the virtual IP, hands each connection to one of all API servers instead, checks them twice a second, and ends the streams of one that fails. It follows the control planes by itself.",
			"haproxy does all of that; nginx does most of it, and ends more streams than it must when an API server hangs."),
		Example: cli.Examples(`
			kubectl ha loadbalancer install
			kubectl ha loadbalancer status
			kubectl ha loadbalancer remove`),
		Args: cobra.ArbitraryArgs,
		RunE: cli.RunGroup,
	}
	cli.AddAccess(c, access)
	c.AddCommand(newLoadBalancerInstall(streams, access), newLoadBalancerStatus(streams, access), newLoadBalancerRemove(streams, access))
	return c
}

func newLoadBalancerInstall(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &loadBalancerOptions{Options: operate.Options{IOStreams: streams, Access: access}}
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
			return o.install(c.Context())
		},
	}
	o.AddFlags(c)
	f := c.Flags()
	f.StringVar(&o.kind, "type", "", "haproxy or nginx (default: the Cluster document's, which is haproxy)")
	f.Int32Var(&o.port, "port", 0, "its `port` on every control plane and on the virtual IP (default: the Cluster document's, which is 8443)")
	f.StringSliceVar(&o.useFor, "use-for", nil, "who uses it: kube-proxy, kubelets (those of the workers, and cluster-info), kubeconfig (of `kubectl ha kubeconfig`)")
	f.StringVar(&o.image, "image", "", "the image's `reference`, in place of the one that this program was tested with")
	f.StringVar(&o.bundle, "bundle", "", "take the image from this bundle (`file`)")
	cli.AddTrustFlags(f, &o.trust, "bundle-")
	f.StringVarP(&o.Output, "output", "o", "", "text (default), json: the plan, then an event per line; or yaml: the manifests, and nothing is done")
	return c
}

func newLoadBalancerRemove(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &loadBalancerOptions{Options: operate.Options{IOStreams: streams, Access: access}}
	c := &cobra.Command{
		Use:   "remove",
		Short: "Take the load balancer away",
		Long: cli.Paragraphs(
			"Points kube-proxy, cluster-info and the workers' kubelets back at the virtual IP's own port where they use the load balancer, and then removes it. Kubeconfigs that point at its port stop working; make new ones with kubectl ha kubeconfig --vip."),
		Example: cli.Examples(`
			kubectl ha loadbalancer remove
			kubectl ha loadbalancer remove --dry-run`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Complete(c); err != nil {
				return err
			}
			return o.remove(c.Context())
		},
	}
	o.AddFlags(c)
	c.Flags().StringVarP(&o.Output, "output", "o", "", "text (default), json: the plan, then an event per line; or yaml: the manifests, and nothing is done")
	return c
}

// Complete connects, and takes from the Cluster document what was not given.
func (o *loadBalancerOptions) Complete(c *cobra.Command) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if err := o.Connect(c.Context()); err != nil {
		return err
	}
	have := o.Stored.Spec.LoadBalancer
	o.spec = v1alpha1.LoadBalancerSpec{Type: o.kind, Port: o.port, Image: o.image, UseFor: o.uses()}
	if o.spec.Type == "" {
		o.spec.Type = have.Type
	}
	if o.spec.Port == 0 {
		o.spec.Port = have.Port
	}
	if !c.Flags().Changed("use-for") {
		o.spec.UseFor = slices.Clone(have.UseFor)
	}
	if o.spec.Image == "" {
		o.spec.Image = bundle.LoadBalancerImage(o.spec.Type)
	}
	return nil
}

func (o *loadBalancerOptions) uses() []v1alpha1.LoadBalancerUse {
	var out []v1alpha1.LoadBalancerUse
	for _, u := range o.useFor {
		if use := v1alpha1.LoadBalancerUse(u); !slices.Contains(out, use) {
			out = append(out, use)
		}
	}
	return out
}

// Validate refuses what can't be.
func (o *loadBalancerOptions) Validate() error {
	if err := o.trust.Requires(o.bundle != "", "--bundle"); err != nil {
		return err
	}
	var known []string
	for _, u := range v1alpha1.LoadBalancerUses() {
		known = append(known, string(u))
	}
	for _, u := range o.useFor {
		if !slices.Contains(known, u) {
			return action.Invalidf("--use-for %s is not known; use any of %s", u, strings.Join(known, ","))
		}
	}
	switch o.kind {
	case "", v1alpha1.LoadBalancerHAProxy, v1alpha1.LoadBalancerNginx:
	default:
		return action.Invalidf("--type %s is not known; use %s or %s", o.kind, v1alpha1.LoadBalancerHAProxy, v1alpha1.LoadBalancerNginx)
	}
	// The pods have no rights of root, so the ports below are not theirs.
	if o.port != 0 && (o.port < 1024 || o.port > 65535) {
		return action.Invalidf("--port %d: use 1024 to 65535", o.port)
	}
	if err := cli.CheckOutput(o.Output, cli.OutputYAML); err != nil {
		return err
	}
	return o.ValidateYes()
}

// install shows the plan, asks, brings the image, and has it done.
func (o *loadBalancerOptions) install(ctx context.Context) error {
	spec := v1alpha1.OperationSpec{Type: v1alpha1.OperationLoadBalancer, LoadBalancer: &o.spec}
	if o.Output == cli.OutputYAML {
		return o.Manifests(ctx, spec, o.spec.Type, "The control planes must have "+o.spec.Image+" before: "+program.Name+" images push "+o.spec.Image)
	}
	if err := o.RefuseOther(ctx, spec); err != nil && !o.DryRun {
		return err
	}
	want := loadbalancer.Wanted(o.Stored, &o.spec)
	steps, err := loadbalancer.Plan(&v1alpha1.Operation{Spec: spec}, o.Stored)
	if err != nil {
		return action.As(action.Invalid, err)
	}
	lacking, err := balancer.Lacking(ctx, o.Clients.Kube, o.spec.Image)
	if err != nil {
		return err
	}
	var before []plan.Step
	if len(lacking) > 0 {
		before = append(before, plan.Step{ID: "image", Title: "bring " + o.spec.Image + " to " + strings.Join(lacking, ", ")})
	}
	if err := o.showPlan(want, steps, before...); err != nil || o.DryRun {
		return err
	}
	if err := o.Ask(ctx, fmt.Sprintf("Set %s up at %s?", o.spec.Type, want.BalancedEndpoint())); err != nil {
		return err
	}
	if len(lacking) > 0 {
		shown := cli.NewProgress(o.Out, o.Output)
		err := balancer.Bring(ctx, o.Config, o.spec, o.bundle, o.trust, shown)
		shown.Close()
		if err != nil {
			return err
		}
	}
	if err := o.Operate(ctx, o.Stored, spec, o.WaitFlags); err != nil || o.Detach || o.Output == cli.OutputJSON {
		return err
	}
	_, err = fmt.Fprintf(o.Out, "%s hands https://%s to %s\n", o.spec.Type, want.BalancedEndpoint(), report.Plural(len(want.ControlPlanes()), "API server", "API servers"))
	return err
}

func (o *loadBalancerOptions) showPlan(c *v1alpha1.Cluster, steps []v1alpha1.StepStatus, before ...plan.Step) error {
	p := &operate.Plan{Cluster: c.Metadata.Name}
	p.Inside(steps, before...)
	return o.Show(c, p)
}

// remove shows the plan, asks, and has it done.
func (o *loadBalancerOptions) remove(ctx context.Context) error {
	spec := v1alpha1.OperationSpec{Type: v1alpha1.OperationRemoveLoadBalancer}
	if o.Output == cli.OutputYAML {
		return o.Manifests(ctx, spec, "", "Kubeconfigs that point at the load balancer's port stop working.")
	}
	if err := o.RefuseOther(ctx, spec); err != nil && !o.DryRun {
		return err
	}
	image, err := loadbalancer.Image(ctx, o.Clients.Kube)
	if err != nil {
		return action.OfCluster(err)
	}
	have := o.Stored.Spec.LoadBalancer
	if image == "" && !have.Enabled {
		_, err := fmt.Fprintln(o.Out, "there is no load balancer, nothing to do")
		return err
	}
	if err := o.showPlan(loadbalancer.Without(o.Stored), loadbalancer.PlanRemove(o.Stored)); err != nil || o.DryRun {
		return err
	}
	if err := o.ownAccess(); err != nil {
		return err
	}
	if err := o.Ask(ctx, "Remove the load balancer? Kubeconfigs that point at "+o.Stored.BalancedEndpoint()+" stop working."); err != nil {
		return err
	}
	return o.Operate(ctx, o.Stored, spec, o.WaitFlags)
}

// ownAccess warns of a kubeconfig that leads through what is about to be removed.
func (o *loadBalancerOptions) ownAccess() error {
	_, port, err := net.SplitHostPort(strings.TrimPrefix(o.Config.Host, "https://"))
	if err != nil || port != strconv.Itoa(int(o.Stored.Spec.LoadBalancer.Port)) {
		return nil //nolint:nilerr // an address of another kind is not ours
	}
	return action.As(action.Invalid, errors.New("your kubeconfig leads through the load balancer that is to be removed\nnext: "+program.Name+" kubeconfig --vip makes one that does not; nothing was changed"))
}
