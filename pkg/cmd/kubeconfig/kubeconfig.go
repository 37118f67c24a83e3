package kubeconfig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/apihttp"
)

// kubeconfigOptions make a kubeconfig.
type kubeconfigOptions struct {
	genericiooptions.IOStreams
	access  *genericclioptions.ConfigFlags
	file    string
	output  string
	hostKey cli.HostKeyFlag
	// Where it points: at most one of the three.
	vip, balanced bool
	node          string
	merge         string
	duration      time.Duration
	// certUser is the name in the administrator's certificate; user and groups are of
	// somebody's who need not be one.
	certUser, user string
	groups         []string
	adminUser      bool
	exec           bool

	cluster *v1alpha1.Cluster
	// overSSH: there is no kubeconfig to go by.
	overSSH bool
	// server and name are what the kubeconfig points at and how it calls that.
	server, name string
}

// userFlag is who the new kubeconfig is for; in kubectl's own flags, of which it takes the
// place here, it is a login of the old one.
const userFlag = "user"

// requestTimeoutFlag says nothing of which cluster is meant.
const requestTimeoutFlag = "request-timeout"

// ownFiles is --merge without a file: kubectl's own rules.
const ownFiles = "-"

func NewKubeconfig(streams genericiooptions.IOStreams) *cobra.Command {
	o := &kubeconfigOptions{IOStreams: streams, access: cli.NewAccess()}
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
	cli.AddAccess(c, o.access)
	o.addFlags(c)
	c.AddCommand(newKubeconfigCredential(streams))
	return c
}

func (o *kubeconfigOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&o.vip, "vip", false, "point at the virtual IP")
	f.BoolVar(&o.balanced, "loadbalancer", false, "point at the load balancer")
	f.StringVar(&o.node, "node", "", "point at this control plane (`name`) alone, for when the others are in doubt")
	f.StringVarP(&o.file, "filename", "f", "", "the Cluster `file`; with no kubeconfig flag given, the way in is SSH")
	f.StringVar(&o.merge, "merge", "", "put it into this `file`, or without one into your own kubeconfig ($KUBECONFIG, else ~/.kube/config); an entry that is there gets the new address and identity and keeps all else; what was there is kept in a copy")
	f.Lookup("merge").NoOptDefVal = ownFiles
	cli.AddOutFlag(c, o.IOStreams, &o.output, "the `file` to write (default NAME.kubeconfig); - is standard output")
	f.DurationVar(&o.duration, "duration", 0, "how long the identity lives, 10m to 8760h")
	f.StringVar(&o.user, userFlag, "", "make it for the user of this `name`, who may do what roles are bound to it")
	f.StringArrayVar(&o.groups, "group", nil, "with --user, a `group` that the user is in; may be repeated")
	f.BoolVar(&o.adminUser, "admin-user", false, "use a token of the service account "+kubeconfig.AdminAccount+", and nothing else")
	f.BoolVar(&o.exec, "exec", false, "keep the credentials out of the file: kubectl asks this plugin for them")
	f.StringVar(&o.certUser, "cert-user", "", "the `name` in your own client certificate (default your login name)")
	cli.AddHostKeyFlag(c, &o.hostKey)
}

// arguments takes the file of `--merge FILE`, which is an argument to a flag that may
// stand without one.
func (o *kubeconfigOptions) arguments(c *cobra.Command, args []string) error {
	if len(args) == 1 && o.merge == ownFiles {
		o.merge = args[0]
		return nil
	}
	return cli.NoArgs(c, args)
}

// Complete reads the Cluster file and decides on the way in.
func (o *kubeconfigOptions) Complete(c *cobra.Command) error {
	if o.certUser == "" {
		o.certUser = cli.CertificateUser()
	}
	if o.file == "" {
		return nil
	}
	cluster, _, err := cli.LoadCluster(o.file, o.In)
	if err != nil {
		return err
	}
	o.cluster, o.overSSH = cluster, true
	for _, f := range cli.AccessFlags(o.access) {
		if f.Name != userFlag && f.Name != requestTimeoutFlag && c.Flags().Changed(f.Name) {
			o.overSSH = false
		}
	}
	return nil
}

// Validate refuses what contradicts itself.
func (o *kubeconfigOptions) Validate() error {
	where := 0
	for _, given := range []bool{o.vip, o.balanced, o.node != ""} {
		if given {
			where++
		}
	}
	switch {
	case where > 1:
		return action.Invalidf("--vip, --loadbalancer and --node exclude each other")
	case o.merge != "" && o.output != "":
		return action.Invalidf("--merge and --out exclude each other")
	case o.duration != 0 && (o.duration < kubeconfig.MinDuration || o.duration > kubeconfig.MaxDuration):
		return action.Invalidf("--duration must be between %s and %s", kubeconfig.MinDuration, kubeconfig.MaxDuration)
	case len(o.groups) > 0 && o.user == "":
		return action.Invalidf("--group is for --user")
	case o.user != "" && o.adminUser:
		return action.Invalidf("--user and --admin-user exclude each other")
	case strings.HasPrefix(o.user, "system:"):
		return action.Invalidf("--user %s: names that begin with system: are those of the cluster's own parts", o.user)
	}
	for _, g := range o.groups {
		if strings.HasPrefix(g, "system:") {
			// kube-apiserver refuses system:masters in such a certificate as well.
			return action.Invalidf("--group %s: groups that begin with system: are the cluster's own; bind a role to a group of yours", g)
		}
	}
	return nil
}

// Run makes the kubeconfig, tries it, and only then writes it.
func (o *kubeconfigOptions) Run(ctx context.Context) error {
	config, through, leave, err := o.wayIn(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := o.target(ctx, config); err != nil {
		return err
	}
	if err := o.validateOutput(); err != nil {
		return err
	}
	issued, err := kubeconfig.Issue(ctx, config, o.options())
	if err != nil {
		if errors.Is(err, kubeconfig.ErrNoAccount) {
			return action.Invalidf("%w\nnext: %s addon install dashboard --admin-user makes it", err, program.Name)
		}
		return action.OfCluster(err)
	}
	content, err := kubeconfig.Encode(issued.Config)
	if err != nil {
		return err
	}
	far, err := verifyIssued(ctx, content, issued, through)
	if err != nil {
		return action.OfCluster(err)
	}
	if content, err = o.withExec(issued, content); err != nil {
		return err
	}
	where, err := o.store(content, issued)
	if err != nil {
		return err
	}
	return o.tell(where, issued, far)
}

// wayIn is the access that there is: by kubeconfig, or through a control plane
// over SSH, in which case through dials from there.
func (o *kubeconfigOptions) wayIn(ctx context.Context) (config *rest.Config, through kubeconfig.Dial, leave func(), err error) {
	if !o.overSSH {
		config, err = cli.RestConfig(o.access)
		return config, nil, func() {}, err
	}
	sink := cli.NewProgress(o.ErrOut, "")
	quiet := report.SinkFunc(func(e report.Event) {
		if e.Kind == report.Warning {
			sink.Emit(e)
		}
	})
	defer sink.Close()
	limit, err := clientcmd.ParseTimeout(*o.access.Timeout)
	if err != nil {
		return nil, nil, nil, action.Invalidf("--%s: %w", requestTimeoutFlag, err)
	}
	login, err := o.hostKey.Login()
	if err != nil {
		return nil, nil, nil, err
	}
	if config, through, leave, err = remote.Admin(ctx, o.cluster, login, quiet); err != nil {
		return nil, nil, nil, action.OfHosts(err)
	}
	config.Timeout = limit
	apihttp.LimitRequests(config)
	return config, through, leave, nil
}

// validateOutput refuses to replace a kubeconfig of other clusters.
func (o *kubeconfigOptions) validateOutput() error {
	if o.merge != "" || o.output == "-" {
		return nil
	}
	context := o.options().Context
	if o.output == "" {
		o.output = fileName(context)
	}
	_, err := kubeconfig.Load(o.output, context)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return action.Invalidf("the kubeconfig can't go to %w; choose another file with --out, or --merge", err)
}

// store puts the kubeconfig where it was asked for, and says where that is.
func (o *kubeconfigOptions) store(content []byte, issued *kubeconfig.Issued) (string, error) {
	switch {
	case o.merge != "":
		paths := clientcmd.NewDefaultPathOptions()
		if o.merge != ownFiles {
			paths.LoadingRules.ExplicitPath = o.merge
		}
		done, err := kubeconfig.Merge(paths, issued.Config, time.Now())
		if errors.Is(err, kubeconfig.ErrTaken) {
			return "", action.As(action.Invalid, err)
		}
		where := "merged into " + done.File
		for _, b := range done.Backups {
			where += "; as it was: " + b
		}
		if len(done.Kept) > 0 {
			where += "\nkept of what was there: " + strings.Join(done.Kept, "; ")
		}
		return where, err
	case o.output == "-":
		_, err := o.Out.Write(content)
		return "written to standard output", err
	}
	return o.output + " written", kubeconfig.Replace(o.output, issued.Config, content)
}

func (o *kubeconfigOptions) tell(where string, issued *kubeconfig.Issued, far bool) error {
	w := o.Out
	if o.output == "-" {
		w = o.ErrOut
	}
	if _, err := fmt.Fprintf(w, "%s\ncontext %s at %s, %s; it %s\n", where, issued.Config.CurrentContext, o.server, issued.Identity, cli.Expiry(issued.Expires)); err != nil {
		return err
	}
	if far {
		if _, err := fmt.Fprintf(w, "This machine does not reach %s by itself; the kubeconfig was tried from a control plane.\n", o.server); err != nil {
			return err
		}
	}
	if _, err := exec.LookPath(kubeconfig.ExecProgram); o.exec && err != nil {
		if _, err := fmt.Fprintf(w, "It does not work yet: kubectl looks for the program %s on the PATH, and it is not there.\n", kubeconfig.ExecProgram); err != nil {
			return err
		}
	}
	if !issued.Admin {
		if _, err := fmt.Fprintf(w, "It may do what roles are bound to it, for example:\n  kubectl create rolebinding %s-view --clusterrole view %s -n NAMESPACE\n", o.user, o.subject()); err != nil {
			return err
		}
	}
	if o.merge != "" || o.output == "-" {
		return nil
	}
	path, err := filepath.Abs(o.output)
	if err != nil {
		// Only a hint, which a relative path serves as well.
		path = o.output
	}
	_, err = fmt.Fprintf(w, "\n  export KUBECONFIG=%s\n  kubectl get nodes\n", path)
	return err
}
