package bundle

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// diffOptions compare two bundles.
type diffOptions struct {
	genericiooptions.IOStreams
	output cli.Output
}

func newDiff(streams genericiooptions.IOStreams) *cobra.Command {
	o := &diffOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Compare two bundles and show how much would be transferred",
		Long: cli.Paragraphs(
			"Lists what NEW adds, removes and changes, and how many bytes hosts need that have all of OLD. That is the amount an upgrade transfers, and the size of `kubectl ha bundle create --since OLD`. The exit code is 0 even if the bundles differ."),
		Example: cli.Examples(`
			kubectl ha bundle diff v1.36.tar v1.37.tar
			kubectl ha bundle diff v1.36.tar v1.37.tar -o json`),
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return action.Invalidf("specify two bundle files: %s", c.UseLine())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return o.Run(args[0], args[1]) },
	}
	cli.AddOutput(c, &o.output, cli.Formats{})
	return c
}

// Run compares them.
func (o *diffOptions) Run(from, to string) error {
	d, err := bundles.Compare(from, to)
	switch {
	case err != nil:
		return err
	case o.output.ForPrograms():
		return o.output.Print(o.Out, d)
	}
	return printDifference(o.Out, d)
}

// printDifference prints a table for each kind of change.
func printDifference(w io.Writer, d bundles.Compared) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	// A tabwriter keeps its errors until Flush.
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) }
	name := func(i bundle.Item) string {
		if d.SeveralArchs {
			return i.Name + " (" + i.Arch + ")"
		}
		return i.Name
	}
	if len(d.Changed) > 0 {
		line("CHANGED\tFROM\tTO\tTRANSFER")
	}
	for _, c := range d.Changed {
		to := c.To.Version
		if to == c.From.Version {
			to += " (other content)"
		}
		line("%s\t%.20s\t%.40s\t%s", name(c.To.Item), c.From.Version, to, report.Size(c.To.Bytes))
	}
	if len(d.Added) > 0 {
		line("\nADDED\tVERSION\tTRANSFER")
	}
	for _, a := range d.Added {
		line("%s\t%.20s\t%s", name(a.Item), a.Version, report.Size(a.Bytes))
	}
	if len(d.Removed) > 0 {
		line("\nREMOVED\tVERSION")
	}
	for _, r := range d.Removed {
		line("%s\t%.20s", name(r), r.Version)
	}
	switch {
	case len(d.Changed)+len(d.Added)+len(d.Removed) == 0:
		line("The bundles have the same contents.")
	case d.Blobs == 0:
		line("\nNothing to transfer.")
	default:
		line("\n%s in %s to transfer; shared parts are transferred once.", report.Size(d.Bytes), report.Plural(d.Blobs, "blob", "blobs"))
	}
	return t.Flush()
}
