package images

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	use "github.com/kubectl-ha/kubectl-ha/pkg/action/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// imagesListOptions show images by nodes.
type imagesListOptions struct {
	imagesOptions
	use.ListOptions
}

func newImagesList(shared imagesOptions) *cobra.Command {
	o := &imagesListOptions{imagesOptions: shared}
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "Show which image is on which node",
		Long: cli.Paragraphs(
			"Shows for each node and image what the node reports: present, missing, or present with a digest that differs from most nodes. A kubelet reports only its 50 largest images. If a node reports that many, the state of other images is unknown.",
			"--missing shows which images the nodes lack for a Kubernetes version. --bundle compares the nodes with the contents of a bundle."),
		Example: cli.Examples(`
			kubectl ha images list
			kubectl ha images list --missing ` + v1alpha1.DefaultKubernetesVersion + `
			kubectl ha images list --bundle bundle.tar -o json`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return err
			}
			if err := o.connect(); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&o.Missing, "missing", "", "show the images that nodes lack for this Kubernetes `version`")
	f.StringVar(&o.Bundle, "bundle", "", "compare with the contents of this bundle (`file`)")
	cli.AddTrustFlags(f, &o.Trust, "bundle-")
	o.addSelector(c, "show only")
	cli.AddOutput(c, &o.output, cli.Formats{})
	return c
}

// Validate refuses what contradicts itself.
func (o *imagesListOptions) Validate() error {
	if err := use.CheckList(o.ListOptions); err != nil {
		return err
	}
	return nil
}

// Run shows the matrix.
func (o *imagesListOptions) Run(ctx context.Context) error {
	o.Config, o.Selector = o.config, o.selector
	shown := cli.NewProgress(o.ErrOut, cli.Output{})
	m, err := use.RunList(ctx, o.ListOptions, shown)
	shown.Close()
	switch {
	case err != nil:
		return err
	case o.output.ForPrograms():
		return o.output.Print(o.Out, m)
	case o.Missing != "" && len(m.Images) == 0:
		_, err := fmt.Fprintf(o.Out, "Every node has what it needs for Kubernetes %s.\n", o.Missing)
		return err
	}
	return printMatrix(o.Out, m)
}

// printMatrix prints a line an image.
func printMatrix(w io.Writer, m images.Matrix) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	// Into memory, which does not fail.
	_, _ = fmt.Fprintf(t, "IMAGE\tSIZE\t%s\n", strings.Join(m.Nodes, "\t"))
	for _, r := range m.Images {
		cells := []string{r.Ref, ""}
		if r.Arch != "" {
			cells[0] += " (" + r.Arch + ")"
		}
		if r.Size > 0 {
			cells[1] = report.Size(r.Size)
		}
		for _, n := range m.Nodes {
			s := string(r.States[n])
			if r.States[n] == images.NotNeeded {
				s = "-"
			}
			cells = append(cells, s)
		}
		_, _ = fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return cli.WriteTrimmed(w, b.String())
}
