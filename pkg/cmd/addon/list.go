package addon

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

// addonKind is before an addon's name with -o name.
var addonKind = schema.GroupKind{Kind: "Addon"}

func newList(shared options) *cobra.Command {
	o := &shared
	c := &cobra.Command{
		Use:   "list",
		Short: "List available and installed addons",
		Example: cli.Examples(`
			kubectl ha addon list
			kubectl ha addon list -o yaml`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.list(c.Context())
		},
	}
	cli.AddOutput(c, &o.output, cli.Formats{Names: true})
	return c
}

func (o *options) list(ctx context.Context) error {
	config, noCluster := cli.RestConfig(o.access)
	lines, unknown, err := addon.List(ctx, config)
	if err != nil {
		return err
	}
	if noCluster != nil {
		unknown = noCluster
	}
	if unknown != nil {
		if _, err := fmt.Fprintf(o.ErrOut, "cannot determine what is installed: %v\n", unknown); err != nil {
			return err
		}
	}
	switch {
	case o.output.Names():
		var names []string
		for _, l := range lines {
			names = append(names, l.Name)
		}
		return o.output.PrintNames(o.Out, addonKind, names...)
	case o.output.ForPrograms():
		return o.output.PrintLine(o.Out, lines)
	}
	t := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
	// What can't be written the flush tells.
	_, _ = fmt.Fprintln(t, "NAME\tVERSION\tINSTALLED\tDESCRIPTION")
	for _, l := range lines {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.Name, l.Version, dash(l.Installed), l.Description)
	}
	return t.Flush()
}
