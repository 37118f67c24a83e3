package addon

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// uninstallOptions remove addons.
type uninstallOptions struct {
	options
	addon.UninstallOptions
	dryRun bool
	cli.WaitFlags
	yes bool
}

func newUninstall(shared options) *cobra.Command {
	o := &uninstallOptions{options: shared}
	c := &cobra.Command{
		Use:   "uninstall NAME…",
		Short: "Uninstall addons and everything they created",
		Long: cli.Paragraphs(
			"Removes every object of the addons, and of dependencies that no other addon needs. If an addon defines custom resources and others created objects of these, nothing is removed without --delete-objects.",
			"Images stay on the nodes; `kubectl ha images prune --unused` removes them."),
		Example: cli.Examples(`
			kubectl ha addon uninstall monitoring
			kubectl ha addon uninstall etcd-operator --delete-objects`),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return action.Invalidf("specify an addon; %s addon status shows what is installed", program.Name)
			}
			o.Names = args
			return o.Run(c.Context())
		},
	}
	o.addFlags(c)
	return c
}

func (o *uninstallOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&o.DeleteObjects, "delete-objects", false, "also delete custom resources of the addon that others created")
	cli.AddDryRun(f, &o.dryRun, "only show what would be removed")
	o.Add(f, "", "start the Operation and return")
	cli.AddYes(f, &o.yes, "")
	cli.AddOutput(c, &o.output, cli.Formats{Documents: "one event per line"})
}

// Run shows what goes, asks, and has the cluster do it.
func (o *uninstallOptions) Run(ctx context.Context) (err error) {
	if o.Config, err = cli.RestConfig(o.access); err != nil {
		return err
	}
	u, err := addon.PlanUninstall(ctx, o.UninstallOptions)
	for _, name := range u.Absent {
		if _, printErr := fmt.Fprintf(o.ErrOut, "%s is not installed\n", name); printErr != nil {
			return errors.Join(printErr, err)
		}
	}
	if err != nil || len(u.Going) == 0 {
		return err
	}
	if err := cli.PrintSteps(o.Out, o.output, u.Steps); err != nil || o.dryRun {
		return err
	}
	if !o.yes {
		if err := cli.Confirm(ctx, o.In, o.ErrOut, "Uninstall "+strings.Join(u.Going, ", ")+"?"); err != nil {
			return err
		}
	}
	return cli.BeginAndWatch(ctx, o.IOStreams, u, o.output, o.WaitFlags)
}
