package addon

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// openOptions forward a port of this machine to the dashboard.
type openOptions struct {
	options
	port      int
	noBrowser bool
}

func newDashboardOpen(shared options) *cobra.Command {
	o := &openOptions{options: shared}
	c := &cobra.Command{
		Use:   "open",
		Short: "Open the dashboard in the browser, through the API server",
		Long: cli.Paragraphs(
			"Forwards a local port to the dashboard and opens it in the browser. Only the API port of the cluster has to be reachable. Press Ctrl-C to stop."),
		Example: cli.Examples(`
			kubectl ha dashboard open
			kubectl ha dashboard open --port 8443 --no-browser`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.port < 0 || o.port > 65535 {
				return action.Invalidf("--port %d is not a valid port", o.port)
			}
			return o.Run(c.Context())
		},
	}
	c.Flags().IntVar(&o.port, "port", 0, "local `port` (default: any free port)")
	c.Flags().BoolVar(&o.noBrowser, "no-browser", false, "only print the address")
	return c
}

// Run forwards until the context ends or the connection does.
func (o *openOptions) Run(ctx context.Context) error {
	d, err := o.dashboard(ctx)
	if err != nil {
		return err
	}
	return d.Forward(ctx, o.port, func(url string) error { return o.show(ctx, url) }, report.SinkFunc(func(e report.Event) {
		// Nobody is left to tell when standard error can't be written to.
		_, _ = fmt.Fprintln(o.ErrOut, e.Message)
	}))
}

// show prints the address and opens the browser there.
func (o *openOptions) show(ctx context.Context, url string) error {
	if _, err := fmt.Fprintf(o.Out, "%s (press Ctrl-C to stop; %s dashboard token prints a login token)\n", url, program.Name); err != nil || o.noBrowser {
		return err
	}
	if err := browse(ctx, url); err != nil {
		_, err := fmt.Fprintf(o.ErrOut, "cannot start a browser (%v); open the address yourself\n", err)
		return err
	}
	return nil
}

// browse opens the browser in the way of the operating system.
func browse(ctx context.Context, address string) error {
	argv := []string{"xdg-open", address}
	switch runtime.GOOS {
	case "darwin":
		argv[0] = "open"
	case "windows":
		argv = []string{"rundll32", "url.dll,FileProtocolHandler", address}
	}
	return exec.CommandContext(ctx, argv[0], argv[1:]...).Start()
}
