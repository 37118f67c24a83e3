package bundle

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

// verifyOptions read a bundle through.
type verifyOptions struct {
	genericiooptions.IOStreams
	bundles.VerifyOptions
}

func newVerify(streams genericiooptions.IOStreams) *cobra.Command {
	o := &verifyOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify every digest in a bundle",
		Long: cli.Paragraphs(
			"Reads the whole bundle and verifies the digest of every blob, the completeness of every image, and the checksum of every binary. This shows that the bundle is intact. Use --digest or --key to check that it is also the bundle you expect. A bundle created with --since holds only a part; use --base to verify it together with the bundle that holds the rest."),
		Example: cli.Examples(`
			kubectl ha bundle verify bundle.tar
			kubectl ha bundle verify bundle.tar --key sign.pub
			kubectl ha bundle verify difference.tar --base old.tar`),
		Args: cli.OneArg("the bundle's file"),
		RunE: func(c *cobra.Command, args []string) error {
			o.Path = args[0]
			return o.Run(c.Context())
		},
	}
	cli.AddTrustFlags(c.Flags(), &o.Trust, "")
	c.Flags().StringArrayVar(&o.Bases, "base", nil, "bundle (`FILE`) that holds what this one leaves out; can be repeated")
	return c
}

// Run reads it.
func (o *verifyOptions) Run(ctx context.Context) error {
	p := cli.NewProgress(o.ErrOut, cli.Output{})
	b, err := bundles.Verify(ctx, o.VerifyOptions, p)
	p.Close()
	if err != nil {
		return err
	}
	if left := missing(b); left != "" {
		_, err = fmt.Fprintf(o.Out, "%s is intact, but partial: %s\n%s\n%s\n", o.Path, summary(b.Contents), left, o.vouched(b))
		return err
	}
	_, err = fmt.Fprintf(o.Out, "%s is intact: %s\n%s\n", o.Path, summary(b.Contents), o.vouched(b))
	return err
}

// vouched says what is known of where it comes from.
func (o *verifyOptions) vouched(b bundles.Inspected) string {
	switch {
	case o.Trust.KeyFile != "":
		return "Signed by the owner of " + o.Trust.KeyFile + "; its digest is " + b.Digest.String()
	case o.Trust.Digest != "":
		return "Its digest matches the given one."
	case b.Signed:
		return "Signed, but the signature was not checked (use --key); its digest is " + b.Digest.String()
	}
	return "Not signed; its digest is " + b.Digest.String()
}
