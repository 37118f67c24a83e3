package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// kubeconfigOptions make a kubeconfig for the virtual IP.
type kubeconfigOptions struct {
	genericiooptions.IOStreams
	access   *genericclioptions.ConfigFlags
	file     string
	output   string
	hostKey  hostKeyFlag
	vip      bool
	merge    bool
	duration time.Duration
	user     string

	cluster *v1alpha1.Cluster
	// overSSH: there is no kubeconfig to go by.
	overSSH bool
}

func newKubeconfig(streams genericiooptions.IOStreams) *cobra.Command {
	o := &kubeconfigOptions{IOStreams: streams, access: newAccess()}
	c := &cobra.Command{
		Use:     "kubeconfig --vip [-f FILE] [--merge | -o FILE]",
		Short:   "Make yourself a kubeconfig for the cluster's stable address",
		GroupID: groupAccess,
		Long: paragraphs(
			"Writes a kubeconfig that points at the virtual IP, with an identity of your own, after trying it. It goes by the kubeconfig that you have, or with -f logs in to a control plane over SSH.",
			fmt.Sprintf("The identity: a token of the service account %s when there is one (%s by default), else a client certificate in your name of the group %s, issued by the cluster (%s by default). What the group may do is up to the ClusterRoleBinding of that name.",
				kubeconfig.AdminAccount, kubeconfig.DefaultToken, kubeconfig.AdminGroup, kubeconfig.DefaultCertificate)),
		Example: examples(`
			# With the kubeconfig that you have: NAME.kubeconfig in this directory
			kubectl ha kubeconfig --vip

			# With none, over SSH, into ~/.kube/config
			kubectl ha kubeconfig --vip -f cluster.yaml --merge

			# For a working day
			kubectl ha kubeconfig --vip -o today.kubeconfig --duration 8h`),
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Complete(c); err != nil {
				return err
			}
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	addAccess(c, o.access)
	f := c.Flags()
	f.BoolVar(&o.vip, "vip", false, "point at the virtual IP")
	f.StringVarP(&o.file, "filename", "f", "", "the Cluster `file`; with no kubeconfig flag given, the way in is SSH")
	f.BoolVar(&o.merge, "merge", false, "put it into your own kubeconfig ($KUBECONFIG, else ~/.kube/config)")
	f.StringVarP(&o.output, "output", "o", "", "the `file` to write (default NAME.kubeconfig); - is standard output")
	f.DurationVar(&o.duration, "duration", 0, "how long the identity lives, 10m to 8760h")
	f.StringVar(&o.user, "cert-user", "", "the `name` in the client certificate (default your login name)")
	addHostKeyFlag(c, &o.hostKey)
	return c
}

// Complete reads the Cluster file and decides on the way in.
func (o *kubeconfigOptions) Complete(c *cobra.Command) error {
	if o.user == "" {
		o.user = certificateUser()
	}
	if o.file == "" {
		return nil
	}
	cluster, _, err := loadCluster(o.file, o.In)
	if err != nil {
		return err
	}
	o.cluster, o.overSSH = cluster, true
	for _, f := range accessFlags(o.access) {
		if c.Flags().Changed(f.Name) {
			o.overSSH = false
		}
	}
	return nil
}

// Validate refuses what contradicts itself.
func (o *kubeconfigOptions) Validate() error {
	switch {
	case !o.vip:
		return usageErrorf("say where the kubeconfig is to point: --vip")
	case o.merge && o.output != "":
		return usageErrorf("--merge and -o exclude each other")
	case o.duration != 0 && (o.duration < kubeconfig.MinDuration || o.duration > kubeconfig.MaxDuration):
		return usageErrorf("--duration must be between %s and %s", kubeconfig.MinDuration, kubeconfig.MaxDuration)
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
	if o.cluster == nil {
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return withCode(ExitUsage, err)
		}
		if o.cluster, err = incluster.StoredCluster(ctx, client); err != nil {
			return clusterError(fmt.Errorf("%w (or give the Cluster file with -f)", err))
		}
	}
	if err := o.validateOutput(); err != nil {
		return err
	}
	issued, err := kubeconfig.Issue(ctx, config, kubeconfig.Options{Cluster: o.cluster.Metadata.Name, Server: serverURL(o.cluster),
		User: o.user, Duration: o.duration})
	if err != nil {
		return clusterError(err)
	}
	content, err := kubeconfig.Encode(issued.Config)
	if err != nil {
		return err
	}
	far, err := verifyAnyhow(ctx, content, issued.Username, through)
	if err != nil {
		return clusterError(err)
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
		config, err = restConfig(o.access)
		return config, nil, func() {}, err
	}
	sink := newProgress(o.ErrOut, "")
	quiet := report.SinkFunc(func(e report.Event) {
		if e.Kind == report.Warning {
			sink.Emit(e)
		}
	})
	defer sink.Close()
	config, through, leave, err = adminOverSSH(ctx, o.cluster, o.hostKey.policy, quiet)
	return config, through, leave, unreachable(err)
}

// validateOutput refuses to replace a kubeconfig of other clusters.
func (o *kubeconfigOptions) validateOutput() error {
	if o.merge || o.output == "-" {
		return nil
	}
	if o.output == "" {
		o.output = o.cluster.Metadata.Name + ".kubeconfig"
	}
	_, err := kubeconfig.Load(o.output, o.cluster.Metadata.Name)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return usageErrorf("the kubeconfig can't go to %w; choose another file with -o, or --merge", err)
}

// store puts the kubeconfig where it was asked for, and says where that is.
func (o *kubeconfigOptions) store(content []byte, issued *kubeconfig.Issued) (string, error) {
	switch {
	case o.merge:
		done, err := kubeconfig.Merge(clientcmd.NewDefaultPathOptions(), issued.Config, time.Now())
		if errors.Is(err, kubeconfig.ErrTaken) {
			return "", withCode(ExitUsage, err)
		}
		where := "merged into " + done.File
		for _, b := range done.Backups {
			where += "; as it was: " + b
		}
		return where, err
	case o.output == "-":
		_, err := o.Out.Write(content)
		return "written to standard output", err
	}
	return o.output + " written", kubeconfig.WriteFile(o.output, content)
}

func (o *kubeconfigOptions) tell(where string, issued *kubeconfig.Issued, far bool) error {
	w := o.Out
	if o.output == "-" {
		w = o.ErrOut
	}
	if _, err := fmt.Fprintf(w, "%s\ncontext %s at %s, %s; it %s\n", where, issued.Config.CurrentContext, serverURL(o.cluster), issued.Identity, expiry(issued.Expires)); err != nil {
		return err
	}
	if far {
		if _, err := fmt.Fprintf(w, "This machine does not reach %s by itself; the kubeconfig was tried from a control plane.\n", o.cluster.Endpoint()); err != nil {
			return err
		}
	}
	if o.merge || o.output == "-" {
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
