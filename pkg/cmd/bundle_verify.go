package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

type bundleVerifyOptions struct {
	genericiooptions.IOStreams
	bases []string
}

func newBundleVerify(streams genericiooptions.IOStreams) *cobra.Command {
	o := &bundleVerifyOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Read a whole bundle and check every digest in it",
		Long: paragraphs(
			"Reads everything: every blob is what its digest says, every image has what its manifest names, every program unpacks to its checksum. A bundle made with --since is checked as far as it goes, or with --base together with the one that has the rest."),
		Example: examples(`
			kubectl ha bundle verify bundle.tar
			kubectl ha bundle verify difference.tar --base old.tar`),
		Args: oneArg("the bundle's file"),
		RunE: func(c *cobra.Command, args []string) error { return o.Run(c.Context(), args[0]) },
	}
	c.Flags().StringArrayVar(&o.bases, "base", nil, "the bundle (`FILE`) that has what this one leaves out; may be repeated")
	return c
}

// Run reads it.
func (o *bundleVerifyOptions) Run(ctx context.Context, path string) error {
	b, err := openBundle(path, o.bases...)
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // only read
	p := newProgress(o.ErrOut, "")
	err = b.Verify(ctx, p)
	p.Close()
	if err != nil {
		return withCode(ExitUsage, err)
	}
	if left := missing(b); left != "" {
		_, err = fmt.Fprintf(o.Out, "%s is sound as far as it goes: %s\n%s\n", path, summary(b.Contents()), left)
		return err
	}
	_, err = fmt.Fprintf(o.Out, "%s is sound: %s\n", path, summary(b.Contents()))
	return err
}
