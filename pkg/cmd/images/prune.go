package images

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	use "github.com/kubectl-ha/kubectl-ha/pkg/action/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// imagesPruneOptions remove images.
type imagesPruneOptions struct {
	imagesOptions
	use.PruneOptions
	yes    bool
	dryRun bool
	cli.WaitFlags
}

func newImagesPrune(shared imagesOptions) *cobra.Command {
	o := &imagesPruneOptions{imagesOptions: shared}
	c := &cobra.Command{
		Use:   "prune --keep VERSION",
		Short: "Remove images of other Kubernetes versions that no pod uses",
		Long: cli.Paragraphs(
			"Removes the images of all other Kubernetes versions from the image stores of the nodes. --unused also removes every other image that no pod uses, including images that only a future Job would need.",
			"Images that a pod or container uses, and pinned images, are always kept. The pods are checked again before the removal, and each node checks containerd before each image. A pinned sandbox (pause) image is removed if containerd is no longer configured to use it. A kubelet reports only its 50 largest images, and only those can be removed. The images are listed before anything is removed."),
		Example: cli.Examples(`
			# Only list what would be removed
			kubectl ha images prune --keep ` + v1alpha1.DefaultKubernetesVersion + ` --dry-run

			kubectl ha images prune --keep ` + v1alpha1.DefaultKubernetesVersion),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Keep == "" {
				return action.Invalidf("specify the Kubernetes version to keep, such as --keep %s", v1alpha1.DefaultKubernetesVersion)
			}
			if err := o.connect(); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&o.Keep, "keep", "", "Kubernetes `version` whose images are kept")
	f.BoolVar(&o.Unused, "unused", false, "also remove all other images that no pod uses")
	o.addSelector(c, "prune only")
	o.Add(f, "", "start the Operation and return")
	cli.AddDryRun(f, &o.dryRun, "only show what would be removed")
	cli.AddYes(f, &o.yes, "")
	cli.AddOutput(c, &o.output, cli.Formats{Documents: "the selected images, then one event per line"})
	return c
}

// Run shows what would go, asks, and has it done.
func (o *imagesPruneOptions) Run(ctx context.Context) error {
	o.Config, o.Selector = o.config, o.selector
	shown := cli.NewProgress(o.ErrOut, cli.Output{})
	defer shown.Close()
	p, err := use.PlanPrune(ctx, o.PruneOptions, shown)
	if err != nil {
		return err
	}
	shown.Close()
	if err := o.show(p.Chosen); err != nil || len(p.Chosen) == 0 || o.dryRun {
		return err
	}
	if !o.yes {
		if err := cli.Confirm(ctx, o.In, o.ErrOut, "Remove these images?"); err != nil {
			return err
		}
	}
	ops, name, err := p.Begin(ctx)
	if err != nil {
		return err
	}
	if name == "" {
		return o.show(nil)
	}
	return cli.WatchOrLeave(ctx, o.IOStreams, ops, name, o.output, o.WaitFlags)
}

func (o *imagesPruneOptions) show(chosen []v1alpha1.NodeImages) error {
	if o.output.ForPrograms() {
		if chosen == nil {
			chosen = []v1alpha1.NodeImages{}
		}
		return o.output.PrintLine(o.Out, map[string]any{"remove": chosen})
	}
	if len(chosen) == 0 {
		_, err := fmt.Fprintln(o.Out, "Nothing to remove.")
		return err
	}
	for _, n := range chosen {
		if _, err := fmt.Fprintf(o.Out, "%s: %s\n", n.Name, report.Plural(len(n.Refs), "image", "images")); err != nil {
			return err
		}
		for _, ref := range n.Refs {
			if _, err := fmt.Fprintf(o.Out, "  %s\n", ref); err != nil {
				return err
			}
		}
	}
	return nil
}
