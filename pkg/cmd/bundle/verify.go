package bundle

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

type bundleVerifyOptions struct {
	genericiooptions.IOStreams
	bases []string
	trust bundles.Trust
}

func newBundleVerify(streams genericiooptions.IOStreams) *cobra.Command {
	o := &bundleVerifyOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Read a whole bundle and check every digest in it",
		Long: cli.Paragraphs(
			"Reads everything: every blob is what its digest says, every image has what its manifest names, every program unpacks to its checksum. That says that it arrived as it was made; --digest and --key say that it is the one which was meant. A bundle made with --since is checked as far as it goes, or with --base together with the one that has the rest."),
		Example: cli.Examples(`
			kubectl ha bundle verify bundle.tar
			kubectl ha bundle verify bundle.tar --key sign.pub
			kubectl ha bundle verify difference.tar --base old.tar`),
		Args: cli.OneArg("the bundle's file"),
		RunE: func(c *cobra.Command, args []string) error { return o.Run(c.Context(), args[0]) },
	}
	cli.AddTrustFlags(c.Flags(), &o.trust, "")
	c.Flags().StringArrayVar(&o.bases, "base", nil, "the bundle (`FILE`) that has what this one leaves out; may be repeated")
	return c
}

// Run reads it.
func (o *bundleVerifyOptions) Run(ctx context.Context, path string) error {
	b, err := o.trust.Open(path, o.bases...)
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // only read
	p := cli.NewProgress(o.ErrOut, "")
	err = b.Verify(ctx, p)
	p.Close()
	if err != nil {
		return action.As(action.Invalid, err)
	}
	if left := missing(b); left != "" {
		_, err = fmt.Fprintf(o.Out, "%s is sound as far as it goes: %s\n%s\n%s\n", path, summary(b.Contents()), left, o.vouched(b))
		return err
	}
	_, err = fmt.Fprintf(o.Out, "%s is sound: %s\n%s\n", path, summary(b.Contents()), o.vouched(b))
	return err
}

// vouched says what is known of where it comes from.
func (o *bundleVerifyOptions) vouched(b *bundle.Bundle) string {
	switch {
	case o.trust.KeyFile != "":
		return "Signed by the owner of " + o.trust.KeyFile + "; its digest is " + b.Digest().String()
	case o.trust.Digest != "":
		return "Its digest is the one that was given."
	case b.Signed():
		return "Signed, but by whom was not asked (--key); its digest is " + b.Digest().String()
	}
	return "Not signed; its digest is " + b.Digest().String()
}
