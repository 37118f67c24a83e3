package addon

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// The names of the addons and the variant that the dashboard's verbs are about.
const (
	addonDashboard   = "dashboard"
	addonMonitoring  = "monitoring"
	variantAdminUser = "admin-user"
)

// Bounds of a token's life: the API server's own shortest, and a day's work twice.
const (
	defaultTokenLife = time.Hour
	minTokenLife     = 10 * time.Minute
	maxTokenLife     = 48 * time.Hour
)

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
	shared := func() AddonOptions { return AddonOptions{IOStreams: streams, Access: access} }
	c.AddCommand(newDashboardInstall(shared()), newDashboardUninstall(shared()), newDashboardOpen(shared()),
		newDashboardURL(shared()), newDashboardToken(shared()))
	return c
}

func newDashboardInstall(shared AddonOptions) *cobra.Command {
	o := &AddonInstallOptions{AddonOptions: shared, Args: []string{addonDashboard}}
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
			if admin {
				o.with = append(o.with, variantAdminUser)
			}
			if monitoring {
				o.companions = []string{addonMonitoring}
			}
			if err := o.Run(c.Context()); err != nil || o.DryRun || o.Detach || o.Output != "" && o.Output != cli.OutputText {
				return err
			}
			_, err := fmt.Fprintf(o.Out, "%s\nlog in with the token of: %s dashboard token\n", o.url(), program.Name)
			return err
		},
	}
	f := c.Flags()
	f.BoolVar(&monitoring, "monitoring", false, "also install the addon monitoring")
	f.BoolVar(&admin, "admin-user", false, "also make "+manifests.DashboardAdmin+", who may do everything")
	f.StringSliceVar(&o.without, "without", nil, "leave these `variants` of the addons out, such as grafana")
	o.addFlags(c)
	return c
}

func newDashboardUninstall(shared AddonOptions) *cobra.Command {
	o := &addonUninstallOptions{AddonOptions: shared, names: []string{addonDashboard}}
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

// url is where the dashboard is.
func (o *AddonOptions) url() string {
	return "https://" + net.JoinHostPort(o.cluster.Spec.VirtualIP, strconv.Itoa(manifests.DashboardNodePort))
}

// installedDashboard reaches the cluster and asks for the dashboard to be there.
func (o *AddonOptions) installedDashboard(ctx context.Context) error {
	if err := o.connect(ctx); err != nil {
		return err
	}
	if _, there := o.find(addonDashboard); !there {
		return action.Invalidf("the dashboard is not installed; %s dashboard install does that", program.Name)
	}
	return nil
}

func newDashboardURL(shared AddonOptions) *cobra.Command {
	o := &shared
	return &cobra.Command{
		Use:     "url",
		Short:   "Print the dashboard's address",
		Example: cli.Examples(`kubectl ha dashboard url`),
		Args:    cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.installedDashboard(c.Context()); err != nil {
				return err
			}
			_, err := fmt.Fprintln(o.Out, o.url())
			return err
		},
	}
}

func newDashboardToken(shared AddonOptions) *cobra.Command {
	o := &shared
	var life time.Duration
	var admin bool
	c := &cobra.Command{
		Use:   "token",
		Short: "Print a token to log in to the dashboard with",
		Long: cli.Paragraphs(
			"Asks the cluster for a token of the account that may look at everything but Secrets, or with --admin-user of the one that may do everything. It ends by itself."),
		Example: cli.Examples(`
			kubectl ha dashboard token
			kubectl ha dashboard token --duration 8h --admin-user`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if life < minTokenLife || life > maxTokenLife {
				return action.Invalidf("--duration must be between %s and %s", minTokenLife, maxTokenLife)
			}
			if err := o.installedDashboard(c.Context()); err != nil {
				return err
			}
			account := manifests.DashboardViewer
			if admin {
				account = manifests.DashboardAdmin
			}
			return o.token(c.Context(), account, life)
		},
	}
	c.Flags().DurationVar(&life, "duration", defaultTokenLife, "how long it lives, 10m to 48h")
	c.Flags().BoolVar(&admin, "admin-user", false, "a token of "+manifests.DashboardAdmin+", who may do everything")
	return c
}

func (o *AddonOptions) token(ctx context.Context, account string, life time.Duration) error {
	seconds := int64(life.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	got, err := o.clients.Kube.CoreV1().ServiceAccounts(manifests.DashboardNamespace).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) && account == manifests.DashboardAdmin {
		return action.Invalidf("there is no %s; %s dashboard install --admin-user makes it", account, program.Name)
	}
	if err != nil {
		return action.OfCluster(err)
	}
	if time.Until(got.Status.ExpirationTimestamp.Time) < life-time.Minute {
		// The API server may have a shorter limit than was asked for.
		if _, err := fmt.Fprintf(o.ErrOut, "it ends at %s already\n", got.Status.ExpirationTimestamp.Format(time.RFC3339)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(o.Out, got.Status.Token)
	return err
}
