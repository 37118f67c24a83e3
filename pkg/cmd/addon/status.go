package addon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

func newStatus(shared options) *cobra.Command {
	o := &shared
	c := &cobra.Command{
		Use:   "status [NAME…]",
		Short: "Show the installed addons and their health",
		Long: cli.Paragraphs(
			fmt.Sprintf("Shows the installed addons and what is wrong with them. The exit code is %d if an addon is not healthy.", cli.ExitFindings)),
		Example: cli.Examples(`
			kubectl ha addon status
			kubectl ha addon status monitoring -o yaml`),
		RunE: func(c *cobra.Command, args []string) error {
			return o.status(c.Context(), args)
		},
	}
	cli.AddOutput(c, &o.output, cli.Formats{Names: true})
	return c
}

func (o *options) status(ctx context.Context, names []string) error {
	config, err := cli.RestConfig(o.access)
	if err != nil {
		return err
	}
	states, err := addon.Status(ctx, config, names)
	if err != nil {
		return err
	}
	return errors.Join(o.printStates(states), addon.Unwell(states))
}

func (o *options) printStates(states []addon.State) error {
	switch {
	case o.output.Names():
		var names []string
		for _, s := range states {
			names = append(names, s.Name)
		}
		return o.output.PrintNames(o.Out, addonKind, names...)
	case o.output.ForPrograms():
		return o.output.PrintLine(o.Out, states)
	}
	if len(states) == 0 {
		_, err := fmt.Fprintf(o.Out, "No addon is installed; %s addon list shows the available addons.\n", program.Name)
		return err
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	// Into memory, which does not fail.
	_, _ = fmt.Fprintln(t, "NAME\tVERSION\tSTATE\tHEALTHY\tFOR\tVARIANTS")
	for _, s := range states {
		well := "yes"
		if !s.Healthy {
			well = "no"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, s.Version, s.State, well, dash(s.For), dash(strings.Join(s.Variants, ",")))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range states {
		for _, l := range s.Lacks {
			fmt.Fprintf(&b, "%s: %s\n", s.Name, l)
		}
	}
	_, err := fmt.Fprint(o.Out, b.String())
	return err
}

// dash stands for what is empty.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
