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
		Short: "Print a token for logging in to the dashboard",
		Long: cli.Paragraphs(
			"Requests a token for the account that can read everything except Secrets, or with --admin-user for the one with full access. The token expires."),
		Example: cli.Examples(`
			kubectl ha dashboard token
			kubectl ha dashboard token --duration 8h --admin-user`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.token(c.Context(), what) },
	}
	c.Flags().DurationVar(&what.Life, "duration", time.Hour, "validity of the token, 10m to 48h")
	c.Flags().BoolVar(&what.Admin, "admin-user", false, "request a token of "+manifests.DashboardAdmin+", which has full access")
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
		if _, err := fmt.Fprintf(o.ErrOut, "the token expires at %s, earlier than requested\n", t.Ends.Format(time.RFC3339)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(o.Out, t.Value)
	return err
}
