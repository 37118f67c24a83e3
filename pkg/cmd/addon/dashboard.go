package addon

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// NewDashboard makes the command dashboard.
func NewDashboard(streams genericiooptions.IOStreams) *cobra.Command {
	access := cli.NewAccess()
	c := &cobra.Command{
		Use:     "dashboard",
		Short:   "Install the dashboard, open it in the browser, get a token to log in with",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			fmt.Sprintf("Headlamp, at the cluster's stable address, port %d, with a certificate that the cluster's CA has signed. There is an account that may look at everything but Secrets; one that may do everything is made only when asked for.", manifests.DashboardNodePort)),
		Example: cli.Examples(`
			kubectl ha dashboard install
			kubectl ha dashboard token
			kubectl ha dashboard open`),
		Args: cobra.ArbitraryArgs,
		RunE: cli.RunGroup,
	}
	cli.AddAccess(c, access)
	shared := options{IOStreams: streams, access: access}
	c.AddCommand(newDashboardInstall(shared), newDashboardUninstall(shared), newDashboardOpen(shared), newDashboardURL(shared), newDashboardToken(shared))
	return c
}

func newDashboardInstall(shared options) *cobra.Command {
	o := &installOptions{options: shared}
	var monitoring, admin bool
	c := &cobra.Command{
		Use:   "install",
		Short: "Install the dashboard and metrics-server, or bring them to this program's versions",
		Long: cli.Paragraphs(
			"Installs Headlamp, one for each control plane, and metrics-server; for that the kubelets take serving certificates that the cluster's CA signs, and an approver of their requests is installed.",
			"With --monitoring also Prometheus, node-exporter and Grafana, with dashboards and alerts for etcd, the API servers, the virtual IP and the nodes."),
		Example: cli.Examples(`
			kubectl ha dashboard install
			kubectl ha dashboard install --monitoring --admin-user`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.InstallOptions = addon.DashboardInstall(o.InstallOptions, monitoring, admin)
			cluster, err := o.Run(c.Context())
			if err != nil || o.dryRun || o.Detach || o.forPrograms() {
				return err
			}
			_, err = fmt.Fprintf(o.Out, "%s\nlog in with the token of: %s dashboard token\n", addon.DashboardURL(cluster), program.Name)
			return err
		},
	}
	f := c.Flags()
	f.BoolVar(&monitoring, "monitoring", false, "also install the addon monitoring")
	f.BoolVar(&admin, "admin-user", false, "also make "+manifests.DashboardAdmin+", who may do everything")
	f.StringSliceVar(&o.Without, "without", nil, "leave these `variants` of the addons out, such as grafana")
	o.addFlags(c)
	return c
}

func newDashboardUninstall(shared options) *cobra.Command {
	o := &uninstallOptions{options: shared, UninstallOptions: addon.UninstallOptions{Names: []string{addon.DashboardName}}}
	c := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove the dashboard and all that came with it",
		Long: cli.Paragraphs(
			"Removes the dashboard with its accounts and bindings, and the addons that it has brought in and nothing else needs."),
		Example: cli.Examples(`kubectl ha dashboard uninstall`),
		Args:    cli.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return o.Run(c.Context()) },
	}
	o.addFlags(c)
	return c
}

// dashboard finds the one that is installed.
func (o *options) dashboard(ctx context.Context) (*addon.Dashboard, error) {
	config, err := cli.RestConfig(o.access)
	if err != nil {
		return nil, err
	}
	return addon.FindDashboard(ctx, config)
}

func newDashboardURL(shared options) *cobra.Command {
	o := &shared
	return &cobra.Command{
		Use:     "url",
		Short:   "Print the dashboard's address",
		Example: cli.Examples(`kubectl ha dashboard url`),
		Args:    cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := o.dashboard(c.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(o.Out, d.URL())
			return err
		},
	}
}
