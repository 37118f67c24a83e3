package cmd

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// summary is a bundle in a line.
func summary(c bundle.Contents) string {
	hosts := strings.Join(c.Archs(), " and ")
	if c.KubernetesVersion == "" {
		return fmt.Sprintf("%d images for %s, %s", len(c.Images), hosts, size(c.Size()))
	}
	return fmt.Sprintf("Kubernetes %s for %s, %d images and %d programs, %s",
		c.KubernetesVersion, hosts, len(c.Images), len(c.Binaries), size(c.Size()))
}

// size writes bytes for people.
func size(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func newBundleInspect(streams genericiooptions.IOStreams) *cobra.Command {
	output := ""
	c := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Tell what is in a bundle",
		Example: examples(`
			kubectl ha bundle inspect bundle.tar
			kubectl ha bundle inspect bundle.tar -o json`),
		Args: oneArg("the bundle's file"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			b, err := openBundle(args[0])
			if err != nil {
				return err
			}
			defer b.Close() //nolint:errcheck // only read
			if output == outputJSON {
				return writeJSON(streams.Out, b.Contents())
			}
			return printContents(streams.Out, b)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "text (default) or json")
	return c
}

// openBundle opens a bundle; what is wrong with it is the caller's to correct.
func openBundle(path string) (*bundle.Bundle, error) {
	b, err := bundle.Open(path)
	return b, withCode(ExitUsage, err)
}

func printContents(w io.Writer, b *bundle.Bundle) error {
	c := b.Contents()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	// A tabwriter keeps its errors until Flush.
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) }
	line("%s", summary(c))
	line("%s", b.Digest())
	line("etcd %s, containerd %s, runc %s, CNI plugins %s", c.EtcdVersion, c.ContainerdVersion, c.RuncVersion, c.CNIVersion)
	line("\nIMAGE\tSIZE\tDIGEST")
	for _, i := range c.Images {
		var n int64
		for _, blob := range i.Blobs {
			n += blob.Size
		}
		line("%s\t%s\t%s", i.Ref, size(n), i.Manifest.Digest)
	}
	line("\nPROGRAM\tVERSION\tSIZE\tSHA256\tFROM")
	for _, p := range c.Binaries {
		line("%s\t%s\t%s\t%.12s\t%s", p.Path, p.Version, size(p.Size), p.SHA256, p.Source)
	}
	return t.Flush()
}

func newBundleVerify(streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE",
		Short: "Read a whole bundle and check every digest in it",
		Example: examples(`
			kubectl ha bundle verify bundle.tar`),
		Args: oneArg("the bundle's file"),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := openBundle(args[0])
			if err != nil {
				return err
			}
			defer b.Close() //nolint:errcheck // only read
			p := newProgress(streams.ErrOut, "")
			err = b.Verify(c.Context(), p)
			p.Close()
			if err != nil {
				return withCode(ExitUsage, err)
			}
			_, err = fmt.Fprintf(streams.Out, "%s is sound: %s\n", args[0], summary(b.Contents()))
			return err
		},
	}
}
