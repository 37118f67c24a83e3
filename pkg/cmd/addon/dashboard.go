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
		Short:   "Install the dashboard, open it in the browser, get a login token",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			fmt.Sprintf("The dashboard is Headlamp, on port %d of the virtual IP, with a certificate signed by the cluster CA. It has an account that can read everything except Secrets. An account with full access is created only on request.", manifests.DashboardNodePort)),
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
		Short: "Install the dashboard and metrics-server, or update them",
		Long: cli.Paragraphs(
			"Installs Headlamp, with one replica per control plane node, and metrics-server. For metrics-server, the kubelets get serving certificates signed by the cluster CA, and an approver for their requests is installed.",
			"--monitoring also installs Prometheus, node-exporter and Grafana, with dashboards and alerts for etcd, the API servers, the virtual IP and the nodes."),
		Example: cli.Examples(`
			kubectl ha dashboard install
			kubectl ha dashboard install --monitoring --admin-user`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.InstallOptions = addon.DashboardInstall(o.InstallOptions, monitoring, admin)
			cluster, err := o.Run(c.Context())
			if err != nil || o.dryRun || o.Detach || o.output.ForPrograms() {
				return err
			}
			_, err = fmt.Fprintf(o.Out, "%s\nlog in with a token from: %s dashboard token\n", addon.DashboardURL(cluster), program.Name)
			return err
		},
	}
	f := c.Flags()
	f.BoolVar(&monitoring, "monitoring", false, "also install the monitoring addon")
	f.BoolVar(&admin, "admin-user", false, "also create "+manifests.DashboardAdmin+", which has full access")
	f.StringSliceVar(&o.Without, "without", nil, "do not install these `variants` of the addons, such as grafana")
	o.addFlags(c)
	return c
}

func newDashboardUninstall(shared options) *cobra.Command {
	o := &uninstallOptions{options: shared, UninstallOptions: addon.UninstallOptions{Names: []string{addon.DashboardName}}}
	c := &cobra.Command{
		Use:   "uninstall",
		Short: "Uninstall the dashboard and everything installed with it",
		Long: cli.Paragraphs(
			"Removes the dashboard with its accounts and bindings, and dependencies that no other addon needs."),
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
		Short:   "Print the address of the dashboard",
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
