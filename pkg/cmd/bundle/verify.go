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
		Short: "Read a whole bundle and check every digest in it",
		Long: cli.Paragraphs(
			"Reads everything: every blob is what its digest says, every image has what its manifest names, every program unpacks to its checksum. That says that it arrived as it was made; --digest and --key say that it is the one which was meant. A bundle made with --since is checked as far as it goes, or with --base together with the one that has the rest."),
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
	c.Flags().StringArrayVar(&o.Bases, "base", nil, "the bundle (`FILE`) that has what this one leaves out; may be repeated")
	return c
}

// Run reads it.
func (o *verifyOptions) Run(ctx context.Context) error {
	p := cli.NewProgress(o.ErrOut, "")
	b, err := bundles.Verify(ctx, o.VerifyOptions, p)
	p.Close()
	if err != nil {
		return err
	}
	if left := missing(b); left != "" {
		_, err = fmt.Fprintf(o.Out, "%s is sound as far as it goes: %s\n%s\n%s\n", o.Path, summary(b.Contents), left, o.vouched(b))
		return err
	}
	_, err = fmt.Fprintf(o.Out, "%s is sound: %s\n%s\n", o.Path, summary(b.Contents), o.vouched(b))
	return err
}

// vouched says what is known of where it comes from.
func (o *verifyOptions) vouched(b bundles.Inspected) string {
	switch {
	case o.Trust.KeyFile != "":
		return "Signed by the owner of " + o.Trust.KeyFile + "; its digest is " + b.Digest.String()
	case o.Trust.Digest != "":
		return "Its digest is the one that was given."
	case b.Signed:
		return "Signed, but by whom was not asked (--key); its digest is " + b.Digest.String()
	}
	return "Not signed; its digest is " + b.Digest.String()
}
