package addon

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

func newDashboardToken(shared options) *cobra.Command {
	o := &shared
	var what addon.TokenOptions
	c := &cobra.Command{
		Use:   "token",
		Short: "Print a token to log in to the dashboard with",
		Long: cli.Paragraphs(
			"Asks the cluster for a token of the account that may look at everything but Secrets, or with --admin-user of the one that may do everything. It ends by itself."),
		Example: cli.Examples(`
			kubectl ha dashboard token
			kubectl ha dashboard token --duration 8h --admin-user`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.token(c.Context(), what) },
	}
	c.Flags().DurationVar(&what.Life, "duration", time.Hour, "how long it lives, 10m to 48h")
	c.Flags().BoolVar(&what.Admin, "admin-user", false, "a token of "+manifests.DashboardAdmin+", who may do everything")
	return c
}

func (o *options) token(ctx context.Context, what addon.TokenOptions) error {
	if err := addon.CheckToken(what); err != nil {
		return err
	}
	d, err := o.dashboard(ctx)
	if err != nil {
		return err
	}
	t, err := d.Token(ctx, what)
	if err != nil {
		return err
	}
	if t.Early {
		if _, err := fmt.Fprintf(o.ErrOut, "it ends at %s already\n", t.Ends.Format(time.RFC3339)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(o.Out, t.Value)
	return err
}
