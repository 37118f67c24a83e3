package addon

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// installOptions install addons.
type installOptions struct {
	options
	addon.InstallOptions
	dryRun bool
	cli.WaitFlags
	yes bool
}

func newInstall(shared options) *cobra.Command {
	o := &installOptions{options: shared}
	c := &cobra.Command{
		Use:   "install NAME|FOLDER…",
		Short: "Install addons, or bring them to this program's versions",
		Long: cli.Paragraphs(
			"Applies the manifests of addons, and of what they need, and waits until all is well. What somebody else has changed is reported and left alone. Doing it again changes nothing, or renews certificates that have less than a third of their life left.",
			"Nodes take images from registries, or have them already: `kubectl ha images push` brings those of a bundle made with --addons. Manifests that upstream publishes come from that bundle with --bundle, else from upstream; their checksums are pinned."),
		Example: cli.Examples(`
			kubectl ha addon install metrics-server
			kubectl ha addon install monitoring --without grafana

			# Without the internet
			kubectl ha bundle create --addons etcd-operator --out addons.tar
			kubectl ha images push addons.tar
			kubectl ha addon install etcd-operator --bundle addons.tar

			# The manifests as they would be applied
			kubectl ha addon install ./my-addon -o yaml`),
		ValidArgsFunction: completeAddons,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return action.Invalidf("name an addon; %s addon list shows them", program.Name)
			}
			o.Names = args
			_, err := o.Run(c.Context())
			return err
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.With, "with", nil, "also install these `variants` of the addons")
	f.StringSliceVar(&o.Without, "without", nil, "leave these `variants` out")
	o.addFlags(c)
	return c
}

// addFlags adds the flags that the dashboard's installation has too.
func (o *installOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.Source.Bundle, "bundle", "", "take upstream's manifests from this bundle (`file`)")
	cli.AddTrustFlags(f, &o.Source.Trust, "bundle-")
	f.StringVar(&o.Source.Mirror, "mirror", "", "a base `URL` that serves upstream's files under their own paths")
	cli.AddDryRun(f, &o.dryRun, "show what would be done, and end")
	o.Add(f, "", "begin it, and leave")
	cli.AddYes(f, &o.yes, "")
	f.StringVarP(&o.output, "output", "o", "", "text (default), json: an event per line; or yaml: the manifests, and nothing is done")
}

// Run shows what is done, asks, and has the cluster do it. The cluster's document is for who
// has something to say about it.
func (o *installOptions) Run(ctx context.Context) (cluster *v1alpha1.Cluster, err error) {
	if err := cli.CheckOutput(o.output, cli.OutputYAML); err != nil {
		return nil, err
	}
	if err := addon.CheckInstall(o.InstallOptions); err != nil {
		return nil, err
	}
	if o.Config, err = cli.RestConfig(o.access); err != nil {
		return nil, err
	}
	o.StateDir = cli.StateDir
	if o.output == cli.OutputYAML {
		objects, err := addon.Manifests(ctx, o.InstallOptions)
		if err != nil {
			return nil, err
		}
		return nil, cli.PrintManifests(o.Out, objects)
	}
	p, err := addon.PlanInstall(ctx, o.InstallOptions)
	if err != nil {
		return nil, err
	}
	if err := cli.PrintSteps(o.Out, o.output, p.Steps); err != nil || o.dryRun {
		return nil, err
	}
	if err := p.Sign(ctx); err != nil {
		return nil, err
	}
	if !o.yes {
		if err := cli.Confirm(ctx, o.In, o.ErrOut, "Install?"); err != nil {
			return nil, err
		}
	}
	return p.Cluster, cli.BeginAndWatch(ctx, o.IOStreams, p, o.output, o.WaitFlags)
}
