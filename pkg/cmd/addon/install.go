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
		Short: "Install addons, or update them to the versions of this program",
		Long: cli.Paragraphs(
			"Applies the manifests of the addons and their dependencies, and waits until everything is ready. Fields that somebody else changed are reported and left alone. Running it again changes nothing, except that it renews certificates with less than a third of their validity left.",
			"Nodes pull the images from registries unless they have them. `kubectl ha images push` pushes the images of a bundle created with --addons. With --bundle, upstream manifests are taken from that bundle too, else they are downloaded. Their checksums are pinned."),
		Example: cli.Examples(`
			kubectl ha addon install metrics-server
			kubectl ha addon install monitoring --without grafana

			# Without internet access
			kubectl ha bundle create --addons etcd-operator --out addons.tar
			kubectl ha images push addons.tar
			kubectl ha addon install etcd-operator --bundle addons.tar

			# Only print the manifests
			kubectl ha addon install ./my-addon -o yaml`),
		ValidArgsFunction: completeAddons,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return action.Invalidf("specify an addon; %s addon list shows them", program.Name)
			}
			o.Names = args
			_, err := o.Run(c.Context())
			return err
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.With, "with", nil, "also install these `variants` of the addons")
	f.StringSliceVar(&o.Without, "without", nil, "do not install these `variants`")
	o.addFlags(c)
	return c
}

// addFlags adds the flags that the dashboard's installation has too.
func (o *installOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.Source.Bundle, "bundle", "", "take upstream manifests from this bundle `file`")
	cli.AddTrustFlags(f, &o.Source.Trust, "bundle-")
	f.StringVar(&o.Source.Mirror, "mirror", "", "base `URL` of a mirror that serves upstream files under their original paths")
	cli.AddDryRun(f, &o.dryRun, "only show what would be done")
	o.Add(f, "", "start the Operation and return")
	cli.AddYes(f, &o.yes, "")
	cli.AddOutput(c, &o.output, cli.Formats{Documents: "one event per line", Manifests: true})
}

// Run shows what is done, asks, and has the cluster do it. The cluster's document is for who
// has something to say about it.
func (o *installOptions) Run(ctx context.Context) (cluster *v1alpha1.Cluster, err error) {
	if err := addon.CheckInstall(o.InstallOptions); err != nil {
		return nil, err
	}
	if o.Config, err = cli.RestConfig(o.access); err != nil {
		return nil, err
	}
	o.StateDir = cli.StateDir
	if o.output.Manifests() {
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
