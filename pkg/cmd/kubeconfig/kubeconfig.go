// Package kubeconfig is the command that makes a kubeconfig.
package kubeconfig

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/access"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// options make a kubeconfig.
type options struct {
	genericiooptions.IOStreams
	access.IssueOptions
	flags   *genericclioptions.ConfigFlags
	file    string
	output  string
	merge   string
	hostKey cli.HostKeyFlag

	// overSSH: there is no kubeconfig to go by.
	overSSH bool
}

// userFlag is who the new kubeconfig is for; in kubectl's own flags, of which it takes the
// place here, it is a login of the old one.
const userFlag = "user"

// requestTimeoutFlag says nothing of which cluster is meant.
const requestTimeoutFlag = "request-timeout"

// ownFiles is --merge without a file: kubectl's own rules.
const ownFiles = "-"

// New is the command kubeconfig.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{IOStreams: streams, flags: cli.NewAccess()}
	c := &cobra.Command{
		Use:     "kubeconfig [--vip | --loadbalancer | --node NAME] [--merge [FILE] | --out FILE]",
		Short:   "Create a kubeconfig for yourself or for another user",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Writes a kubeconfig with new credentials, after testing it. It points to the virtual IP, to the load balancer, or to one control plane node. The default is the virtual IP, or the load balancer if that was set up for kubeconfigs. It uses your current kubeconfig, or with -f logs in to a control plane node over SSH.",
			fmt.Sprintf("For yourself, it uses a token of the service account %s if that exists (valid for %s by default), else a client certificate in your name and the group %s, issued by the cluster (valid for %s by default). The ClusterRoleBinding of the same name as the group defines its permissions. --admin-user requires the service account.",
				kubeconfig.AdminAccount, kubeconfig.DefaultToken, kubeconfig.AdminGroup, kubeconfig.DefaultCertificate),
			"For another user, --user and --group create a client certificate with that name. Its permissions are the roles bound to the user or the groups. A certificate cannot be revoked, so choose a short duration."),
		Example: cli.Examples(`
			# Write NAME.kubeconfig, using your current kubeconfig
			kubectl ha kubeconfig --vip

			# Without a kubeconfig: over SSH, into ~/.kube/config
			kubectl ha kubeconfig --vip -f cluster.yaml --merge

			# For a colleague, valid for 8 hours, through the load balancer
			kubectl ha kubeconfig --loadbalancer --user alice --group devs --duration 8h --out alice.conf

			# Keep credentials out of the file: kubectl gets them from this plugin, which renews them
			kubectl ha kubeconfig --exec --merge`),
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.arguments(c, args); err != nil {
				return err
			}
			if err := o.Complete(c); err != nil {
				return err
			}
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	cli.AddAccess(c, o.flags)
	o.addFlags(c)
	c.AddCommand(newCredential(streams))
	return c
}

// addFlags adds its own flags.
func (o *options) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&o.VirtualIP, "vip", false, "point to the virtual IP")
	f.BoolVar(&o.LoadBalancer, "loadbalancer", false, "point to the load balancer")
	f.StringVar(&o.Node, "node", "", "point to this control plane node (`name`) only, for troubleshooting")
	f.StringVarP(&o.file, "filename", "f", "", "Cluster `file`; without a kubeconfig flag, access is over SSH")
	f.StringVar(&o.merge, "merge", "", "merge into this `file`, or into your kubeconfig ($KUBECONFIG, else ~/.kube/config); an existing entry gets the new address and credentials and keeps everything else; the previous file is kept as a copy")
	f.Lookup("merge").NoOptDefVal = ownFiles
	cli.AddOutFlag(c, o.IOStreams, &o.output, "`file` to write (default NAME.kubeconfig); - is standard output")
	f.DurationVar(&o.Duration, "duration", 0, "validity of the credentials, 10m to 8760h")
	f.StringVar(&o.User, userFlag, "", "create it for the user of this `name`; roles bound to the name define the permissions")
	f.StringArrayVar(&o.Groups, "group", nil, "with --user: `group` of the user; can be repeated")
	f.BoolVar(&o.Account, "admin-user", false, "use a token of the service account "+kubeconfig.AdminAccount+", and nothing else")
	f.BoolVar(&o.Exec, "exec", false, "keep credentials out of the file: kubectl gets them from this plugin")
	f.StringVar(&o.CertificateUser, "cert-user", "", "user `name` in your client certificate (default: your login name)")
	cli.AddHostKeyFlag(c, &o.hostKey)
}

// arguments takes the file of `--merge FILE`, which is an argument to a flag that may
// stand without one.
func (o *options) arguments(c *cobra.Command, args []string) error {
	if len(args) == 1 && o.merge == ownFiles {
		o.merge = args[0]
		return nil
	}
	return cli.NoArgs(c, args)
}

// Complete reads the Cluster file, and decides on the way in and on where it goes.
func (o *options) Complete(c *cobra.Command) error {
	if o.CertificateUser == "" {
		o.CertificateUser = cli.CertificateUser()
	}
	o.StateDir = cli.StateDir
	if o.merge != "" {
		o.Merge = clientcmd.NewDefaultPathOptions()
		if o.merge != ownFiles {
			o.Merge.LoadingRules.ExplicitPath = o.merge
		}
	}
	if o.NoFile = o.output == "-"; !o.NoFile {
		o.File = o.output
	}
	if o.file == "" {
		return nil
	}
	cluster, _, err := cli.LoadCluster(o.file, o.In)
	if err != nil {
		return err
	}
	o.Cluster, o.overSSH = cluster, true
	for _, f := range cli.AccessFlags(o.flags) {
		if f.Name != userFlag && f.Name != requestTimeoutFlag && c.Flags().Changed(f.Name) {
			o.overSSH = false
		}
	}
	return nil
}

// Validate refuses what contradicts itself.
func (o *options) Validate() error { return access.CheckIssue(o.IssueOptions) }

// Run makes the kubeconfig, and tells where it is.
func (o *options) Run(ctx context.Context) error {
	if err := o.wayIn(); err != nil {
		return err
	}
	shown := cli.NewProgress(o.ErrOut, cli.Output{})
	defer shown.Close()
	result, err := access.RunIssue(ctx, o.IssueOptions, report.Warnings(shown))
	shown.Close()
	if err != nil {
		return err
	}
	if o.NoFile {
		if _, err := o.Out.Write(result.Content); err != nil {
			return err
		}
	}
	return o.tell(result)
}

// wayIn is the access that there is: by kubeconfig, or the caller's login to hosts.
func (o *options) wayIn() (err error) {
	if !o.overSSH {
		o.Config, err = cli.RestConfig(o.flags)
		return err
	}
	if o.Timeout, err = clientcmd.ParseTimeout(*o.flags.Timeout); err != nil {
		return action.Invalidf("--%s: %w", requestTimeoutFlag, err)
	}
	o.Login, err = o.hostKey.Login()
	return err
}
