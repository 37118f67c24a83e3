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
		Short:   "Make yourself or somebody else a kubeconfig for the cluster",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Writes a kubeconfig with an identity of its own, after trying it. It points at the virtual IP, at the load balancer, or at one control plane; without a word about it at the virtual IP, or at the load balancer where that was set up for kubeconfigs. It goes by the kubeconfig that you have, or with -f logs in to a control plane over SSH.",
			fmt.Sprintf("Your identity: a token of the service account %s when there is one (%s by default), else a client certificate in your name of the group %s, issued by the cluster (%s by default). What the group may do is up to the ClusterRoleBinding of that name. --admin-user insists on the account.",
				kubeconfig.AdminAccount, kubeconfig.DefaultToken, kubeconfig.AdminGroup, kubeconfig.DefaultCertificate),
			"Somebody else's: --user and --group make a client certificate in that name, which may do what roles are bound to the name or the groups. A certificate can't be revoked, so give it a short life."),
		Example: cli.Examples(`
			# With the kubeconfig that you have: NAME.kubeconfig in this directory
			kubectl ha kubeconfig --vip

			# With none, over SSH, into ~/.kube/config
			kubectl ha kubeconfig --vip -f cluster.yaml --merge

			# For a colleague and a working day, through the load balancer
			kubectl ha kubeconfig --loadbalancer --user alice --group devs --duration 8h --out alice.conf

			# Without a secret in the file: the plugin is asked for it, and renews it
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
	f.BoolVar(&o.VirtualIP, "vip", false, "point at the virtual IP")
	f.BoolVar(&o.LoadBalancer, "loadbalancer", false, "point at the load balancer")
	f.StringVar(&o.Node, "node", "", "point at this control plane (`name`) alone, for when the others are in doubt")
	f.StringVarP(&o.file, "filename", "f", "", "the Cluster `file`; with no kubeconfig flag given, the way in is SSH")
	f.StringVar(&o.merge, "merge", "", "put it into this `file`, or without one into your own kubeconfig ($KUBECONFIG, else ~/.kube/config); an entry that is there gets the new address and identity and keeps all else; what was there is kept in a copy")
	f.Lookup("merge").NoOptDefVal = ownFiles
	cli.AddOutFlag(c, o.IOStreams, &o.output, "the `file` to write (default NAME.kubeconfig); - is standard output")
	f.DurationVar(&o.Duration, "duration", 0, "how long the identity lives, 10m to 8760h")
	f.StringVar(&o.User, userFlag, "", "make it for the user of this `name`, who may do what roles are bound to it")
	f.StringArrayVar(&o.Groups, "group", nil, "with --user, a `group` that the user is in; may be repeated")
	f.BoolVar(&o.Account, "admin-user", false, "use a token of the service account "+kubeconfig.AdminAccount+", and nothing else")
	f.BoolVar(&o.Exec, "exec", false, "keep the credentials out of the file: kubectl asks this plugin for them")
	f.StringVar(&o.CertificateUser, "cert-user", "", "the `name` in your own client certificate (default your login name)")
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
	shown := cli.NewProgress(o.ErrOut, "")
	defer shown.Close()
	result, err := access.RunIssue(ctx, o.IssueOptions, onlyWarnings(shown))
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

// onlyWarnings leaves out how far the login is, which takes a moment.
func onlyWarnings(sink report.Sink) report.Sink {
	return report.SinkFunc(func(e report.Event) {
		if e.Kind == report.Warning {
			sink.Emit(e)
		}
	})
}
