package bundle

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// summary is a bundle in a line.
func summary(c bundle.Contents) string {
	hosts := strings.Join(c.Archs(), " and ")
	if c.KubernetesVersion == "" {
		return fmt.Sprintf("%s for %s, %s", report.Plural(len(c.Images), "image", "images"), hosts, report.Size(c.Size()))
	}
	return fmt.Sprintf("Kubernetes %s for %s, %d images and %d programs, %s",
		c.KubernetesVersion, hosts, len(c.Images), len(c.Binaries), report.Size(c.Size()))
}

// inspectOptions tell what is in a bundle.
type inspectOptions struct {
	genericiooptions.IOStreams
	output cli.Output
	sbom   bool
}

func newInspect(streams genericiooptions.IOStreams) *cobra.Command {
	o := &inspectOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:   "inspect FILE",
		Short: "List the contents of a bundle",
		Long: cli.Paragraphs(
			"Lists the images and binaries of a bundle with digest, size, source and the host roles that need them. Then it lists what was not verified when the bundle was created: neither by a built-in digest, nor by a digest in the image reference, nor by a signature. Only the metadata of the bundle is read. `kubectl ha bundle verify` reads everything."),
		Example: cli.Examples(`
			kubectl ha bundle inspect bundle.tar
			kubectl ha bundle inspect bundle.tar -o json

			# Print a bill of materials (SPDX 2.3 JSON)
			kubectl ha bundle inspect bundle.tar --sbom`),
		Args: cli.OneArg("the bundle's file"),
		RunE: func(_ *cobra.Command, args []string) error {
			return o.Run(args[0])
		},
	}
	cli.AddOutput(c, &o.output, cli.Formats{})
	c.Flags().BoolVar(&o.sbom, "sbom", false, "print a bill of materials (SPDX 2.3 JSON)")
	return c
}

// Run prints what is in it.
func (o *inspectOptions) Run(path string) error {
	if o.sbom {
		bill, err := bundles.SBOM(path, time.Now())
		if err != nil {
			return err
		}
		return cli.WriteJSON(o.Out, bill)
	}
	b, err := bundles.Inspect(path)
	switch {
	case err != nil:
		return err
	case o.output.ForPrograms():
		return o.output.Print(o.Out, b)
	}
	return printContents(o.Out, b)
}

func printContents(w io.Writer, b bundles.Inspected) error {
	c := b.Contents
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	// A tabwriter keeps its errors until Flush.
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) }
	line("%s", summary(c))
	line("%s", b.Digest)
	if b.Signed {
		line("Signed; `%s bundle verify --key` checks the signature", program.Name)
	}
	if c.KubernetesVersion != "" {
		line("etcd %s, containerd %s, runc %s, CNI plugins %s", c.EtcdVersion, c.ContainerdVersion, c.RuncVersion, c.CNIVersion)
	}
	if left := missing(b); left != "" {
		line("%s", left)
	}
	arch := func(a string) string { return "" }
	if len(c.Archs()) > 1 {
		arch = func(a string) string { return a + "\t" }
	}
	line("\nIMAGE\t%sSIZE\tFOR\tDIGEST", arch("ARCH"))
	for _, i := range c.Images {
		line("%s\t%s%s\t%s\t%s", i.Ref, arch(i.Arch), report.Size(bundle.SizeOf(i.Blobs)), forWhom(i.For), i.Manifest.Digest)
	}
	if len(c.Binaries) > 0 {
		line("\nPROGRAM\t%sVERSION\tSIZE\tFOR\tSHA256\tFROM", arch("ARCH"))
	}
	for _, p := range c.Binaries {
		line("%s\t%s%s\t%s\t%s\t%.12s\t%s", p.Path, arch(p.Arch), p.Version, report.Size(p.Size), forWhom(p.For), p.SHA256, p.Source)
	}
	if len(c.Addons) > 0 {
		line("\nADDON\tVERSION\tIMAGES")
	}
	for _, a := range c.Addons {
		line("%s\t%s\t%d", a.Name, a.Version, len(a.Images))
	}
	if len(c.Files) > 0 {
		line("\nMANIFEST\tSIZE\tSHA256\tFROM")
	}
	for _, f := range c.Files {
		line("%s\t%s\t%.12s\t%s", f.Name, report.Size(f.Blob.Size), f.Blob.Digest.Encoded(), f.Source)
	}
	if err := printUnverified(t, "\n", b.Unverified, ""); err != nil {
		return err
	}
	return t.Flush()
}

// forWhom writes roles for people.
func forWhom(roles []v1alpha1.Role) string {
	var out []string
	for _, r := range roles {
		out = append(out, string(r))
	}
	return strings.Join(out, ",")
}

// missing tells what a difference leaves out, nothing when it is whole.
func missing(b bundles.Inspected) string {
	if b.MissingBlobs == 0 {
		return ""
	}
	return fmt.Sprintf("Partial bundle: %[2]d blobs (%[3]s) are in the bundle %[1]s and not here.",
		b.Since.Bundle, b.MissingBlobs, report.Size(b.MissingBytes))
}

// printUnverified writes them as a table between two texts, and nothing when there are none. w
// may be a tabwriter, whose errors come with Flush.
func printUnverified(w io.Writer, before string, list []bundles.Unverified, after string) error {
	if len(list) == 0 {
		return nil
	}
	if _, err := fmt.Fprint(w, before, "NOT VERIFIED\tIDENTIFIED BY\n"); err != nil {
		return err
	}
	for _, u := range list {
		if _, err := fmt.Fprintf(w, "%s\t%s\n", u.Name, u.KnownBy); err != nil {
			return err
		}
	}
	_, err := fmt.Fprint(w, after)
	return err
}
