package addon

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

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
			if err := cli.CheckOutput(o.output, cli.OutputYAML); err != nil {
				return err
			}
			return o.list(c.Context())
		},
	}
	c.Flags().StringVarP(&o.output, "output", "o", "", "text (default), json or yaml")
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
	if o.forPrograms() {
		return o.document(lines)
	}
	t := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
	// What can't be written the flush tells.
	_, _ = fmt.Fprintln(t, "NAME\tVERSION\tINSTALLED\tDESCRIPTION")
	for _, l := range lines {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.Name, l.Version, dash(l.Installed), l.Description)
	}
	return t.Flush()
}

// forPrograms tells whether a document is asked for.
func (o *options) forPrograms() bool { return o.output != "" && o.output != cli.OutputText }

// document prints a value for programs.
func (o *options) document(v any) error {
	if o.output == cli.OutputJSON {
		return cli.WriteJSONLine(o.Out, v)
	}
	data, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	_, err = o.Out.Write(data)
	return err
}
