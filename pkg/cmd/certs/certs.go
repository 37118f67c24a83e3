// Package certs has the commands about a cluster's certificates.
package certs

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// New makes the group.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	access := cli.NewAccess()
	c := &cobra.Command{
		Use:     "certs",
		Aliases: []string{"certificates"},
		Short:   "Show and renew the cluster's certificates",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"The certificates of a cluster expire; those created by bootstrap after one year. `certs renew` renews them while they are in use, without interruption. The etcd CA signs on this machine, the kubeadm CAs sign on the control plane nodes. No private key leaves its host.",
			"If certificates have expired, `certs rescue` recovers the cluster over SSH."),
		Example: cli.Examples(`
			kubectl ha certs status
			kubectl ha certs renew -f cluster.yaml

			# The API is down because certificates have expired
			kubectl ha certs rescue -f cluster.yaml`),
		Args: cobra.ArbitraryArgs,
		RunE: cli.RunGroup,
	}
	cli.AddAccess(c, access)
	c.AddCommand(newStatus(streams, access), newRenew(streams, access), newRescue(streams), newRotate(streams, access))
	return c
}

// options are what all of them share.
type options struct {
	genericiooptions.IOStreams
	access  *genericclioptions.ConfigFlags
	file    string
	output  cli.Output
	hostKey cli.HostKeyFlag
	action  certs.Options
	// caCerts and caKeys are files.
	caCerts, caKeys []string
	// yes has the plan carried out without a question.
	yes bool
}

// addFlags adds the flags of what goes through the API. The file is for hosts that are no nodes.
func (o *options) addFlags(c *cobra.Command) {
	o.addFile(c, "Cluster `file`, to log in to etcd hosts that are not nodes")
	o.addHostFlags(c)
}

func (o *options) addFile(c *cobra.Command, usage string) {
	c.Flags().StringVarP(&o.file, "filename", "f", "", usage)
	// MarkFlagFilename fails only for a flag that is not there.
	_ = c.MarkFlagFilename("filename", "yaml", "yml")
}

func (o *options) addHostFlags(c *cobra.Command) {
	cli.AddHostKeyFlag(c, &o.hostKey)
	c.Flags().StringSliceVar(&o.action.Only, "host", nil, "only these hosts (`names` in the Cluster document); can be repeated")
}

// addLife adds the hidden flag for tests, which can't turn clocks.
func (o *options) addLife(c *cobra.Command) {
	f := c.Flags()
	f.DurationVar(&o.action.Life, "life-for-tests", 0, "validity of signed certificates")
	f.Lookup("life-for-tests").Hidden = true
}

// warnOfLife says what a certificate of minutes means.
func (o *options) warnOfLife(sink report.Sink) {
	if o.action.Life > 0 {
		action.Warn(sink, "remove --life-for-tests: it is for tests only, and short-lived certificates break the cluster",
			"certificates signed now are valid for only %s", o.action.Life)
	}
}

// complete reads what the kubeconfig and the Cluster file say of the cluster.
func (o *options) complete(ctx context.Context) error {
	config, _, stored, err := cli.StoredCluster(ctx, o.access)
	if err != nil {
		return err
	}
	o.action.Config = config
	var given *v1alpha1.Cluster
	if o.file != "" {
		if given, _, err = cli.FindCluster(&o.file, o.In); err != nil {
			return err
		}
	}
	return o.action.About(stored, given, cli.StateDir)
}

// readFile reads the Cluster file, for what needs no API.
func (o *options) readFile() (err error) {
	if o.action.Cluster, _, err = cli.FindCluster(&o.file, o.In); err != nil {
		return err
	}
	o.action.StateDir, err = cli.StateDir(o.action.Cluster)
	return err
}

// connect logs in to hosts of the Cluster file; leave ends that. Without a file there are none,
// and what is to be done there is left out and told of.
func (o *options) connect(ctx context.Context, sink report.Sink, logins func() []v1alpha1.Host) (leave func(), err error) {
	leave = func() {}
	if o.action.Cluster == nil || o.file == "" {
		return leave, nil
	}
	only := logins()
	if len(only) == 0 {
		return leave, nil
	}
	hosts, err := cli.Connect(ctx, o.action.Cluster, &o.hostKey, sink, only...)
	if hosts == nil {
		return leave, err
	}
	// Those that can't be reached are named by whoever needs them.
	o.action.Hosts = hosts
	return func() { remote.Close(hosts, sink) }, nil
}

// checkPrompt refuses, before any look, a command that is going to ask where it can't.
func (o *options) checkPrompt() error {
	switch {
	case o.yes || o.action.DryRun:
		return nil
	case o.output.ForPrograms():
		return action.Invalidf("cannot prompt with -o %s; use --yes, or --dry-run to see the plan", o.output)
	}
	return cli.Askable(o.In)
}

// confirm shows a plan and asks whether it is to be carried out, in a pause of the progress.
func (o *options) confirm(ctx context.Context, shown *cli.Progress, show func() error, question string) error {
	if o.output.ForPrograms() {
		return nil
	}
	shown.Close()
	defer shown.Open()
	if err := show(); err != nil || o.yes {
		return err
	}
	return cli.Confirm(ctx, o.In, o.Out, question)
}

// left writes how long it is until then: 184d, 23h, 5m; "ended" when it is past.
func left(until, now time.Time) string {
	d := until.Sub(now)
	switch {
	case until.IsZero():
		return "-"
	case d <= 0:
		return "ended"
	}
	return duration.HumanDuration(d)
}
