package cmd

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
)

// imagesListOptions show images by nodes.
type imagesListOptions struct {
	imagesOptions
	missing string
	bundle  string
	trust   bundleTrust
}

func newImagesList(shared imagesOptions) *cobra.Command {
	o := &imagesListOptions{imagesOptions: shared}
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "Show which image is on which node",
		Long: paragraphs(
			"Shows images by nodes, by what the nodes report: present, missing, or there with another digest than on most nodes. A kubelet reports its 50 largest images; what a node with that many does not report is unknown.",
			"--missing shows what the nodes lack for a Kubernetes version, --bundle how they stand to what is in a bundle."),
		Example: examples(`
			kubectl ha images list
			kubectl ha images list --missing ` + v1alpha1.DefaultKubernetesVersion + `
			kubectl ha images list --bundle bundle.tar -o json`),
		Args: noArgs,
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
	f.StringVar(&o.missing, "missing", "", "show what nodes lack for this Kubernetes `version`")
	f.StringVar(&o.bundle, "bundle", "", "compare with what is in this bundle (`file`)")
	o.trust.addFlags(f, "bundle-")
	o.addSelector(c, "show only")
	f.StringVarP(&o.output, "output", "o", "", "text (default) or json")
	return c
}

// Validate refuses what contradicts itself.
func (o *imagesListOptions) Validate() error {
	if o.missing != "" && o.bundle != "" {
		return usageErrorf("--missing and --bundle do not go together")
	}
	if err := o.trust.requires(o.bundle != "", "--bundle"); err != nil {
		return err
	}
	return checkOutput(o.output)
}

// Run shows the matrix.
func (o *imagesListOptions) Run(ctx context.Context) error {
	nodes, err := o.nodes(ctx)
	if err != nil {
		return err
	}
	m, err := o.matrix(ctx, nodes)
	if err != nil {
		return err
	}
	if o.missing != "" {
		m.Images = slices.DeleteFunc(m.Images, func(r images.Row) bool {
			return !slices.ContainsFunc(m.Nodes, func(n string) bool { return lacks(r.States[n]) })
		})
	}
	if o.output == outputJSON {
		return writeJSON(o.Out, m)
	}
	if o.missing != "" && len(m.Images) == 0 {
		_, err := fmt.Fprintf(o.Out, "Every node has what it needs for Kubernetes %s.\n", o.missing)
		return err
	}
	return printMatrix(o.Out, m)
}

func lacks(s images.State) bool { return s != images.Present && s != images.NotNeeded }

func (o *imagesListOptions) matrix(ctx context.Context, nodes []corev1.Node) (images.Matrix, error) {
	switch {
	case o.missing != "":
		list, err := o.kubernetesImages(ctx, "missing", o.missing)
		if err != nil {
			return images.Matrix{}, err
		}
		var wanted []v1alpha1.PushedImage
		for _, i := range list {
			wanted = append(wanted, v1alpha1.PushedImage{Ref: i.Ref, For: i.For})
		}
		return images.Compare(nodes, wanted, false), nil
	case o.bundle != "":
		b, err := o.trust.open(o.bundle)
		if err != nil {
			return images.Matrix{}, err
		}
		defer b.Close() //nolint:errcheck // only read
		return o.compare(b.Contents(), nodes)
	}
	return images.Survey(nodes), nil
}

// compare is how nodes stand to a bundle, each to the images of its architecture.
func (o *imagesListOptions) compare(c bundle.Contents, nodes []corev1.Node) (images.Matrix, error) {
	wanted := map[string][]v1alpha1.PushedImage{}
	for _, arch := range c.Archs() {
		wanted[arch] = pushedImages(c.ForArch(arch).Images)
	}
	for _, n := range nodes {
		if _, ok := wanted[archOf(n)]; ok {
			continue
		}
		if _, err := fmt.Fprintf(o.ErrOut, "%s is %s, and the bundle is for %s: nothing in it is for this node\n", n.Name, archOf(n), strings.Join(c.Archs(), " and ")); err != nil {
			return images.Matrix{}, err
		}
	}
	return images.CompareArchs(nodes, archOf, wanted, false), nil
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
			cells[1] = size(r.Size)
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
	return writeTrimmed(w, b.String())
}
