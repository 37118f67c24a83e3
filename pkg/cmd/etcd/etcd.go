// Package etcd has the commands about a cluster's etcd.
package etcd

import (
	"context"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// New makes the group. more are commands of other packages that belong to it.
func New(streams genericiooptions.IOStreams, more ...*cobra.Command) *cobra.Command {
	access := cli.NewAccess()
	c := &cobra.Command{
		Use:     "etcd",
		Short:   "Show, upgrade and maintain the cluster's etcd members",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Shows what the etcd members report, and maintains them one at a time, so that etcd always has a quorum.",
			"Without -f, everything goes through the API: short Jobs query the members and an Operation changes them. With -f, the hosts in the Cluster file are reached over SSH instead: use it if the API is down, if etcd accepts no writes, or if etcd runs on dedicated hosts."),
		Example: cli.Examples(`
			kubectl ha etcd status
			kubectl ha etcd upgrade v3.6.16

			# The API is down
			kubectl ha etcd status -f cluster.yaml`),
		Args: cobra.ArbitraryArgs,
		RunE: cli.RunGroup,
	}
	cli.AddAccess(c, access)
	c.AddCommand(newStatus(streams, access), newMembers(streams, access), newCheck(streams, access), newAlarm(streams, access), newDefrag(streams, access), newCompact(streams, access),
		newUpgrade(streams, access), newDowngrade(streams, access), newApply(streams, access))
	c.AddCommand(more...)
	return c
}

// options are what all of them share.
type options struct {
	genericiooptions.IOStreams
	access  *genericclioptions.ConfigFlags
	file    string
	output  cli.Output
	hostKey cli.HostKeyFlag
	yes     bool
	dryRun  bool
	action  etcd.Options
}

// addFlags adds the flags that all have.
func (o *options) addFlags(c *cobra.Command, formats cli.Formats) {
	f := c.Flags()
	f.StringVarP(&o.file, "filename", "f", "", "Cluster `file`: reach the hosts over SSH instead of through the API")
	// MarkFlagFilename fails only for a flag that is not there.
	_ = c.MarkFlagFilename("filename", "yaml", "yml")
	cli.AddHostKeyFlag(c, &o.hostKey)
	cli.AddOutput(c, &o.output, formats)
}

// mayAsk refuses a command that is going to ask where it can't.
func (o *options) mayAsk() error {
	switch {
	case o.yes || o.dryRun:
		return nil
	case o.output.ForPrograms():
		return action.Invalidf("cannot prompt with -o %s; use --yes, or --dry-run to see the plan", o.output)
	}
	return cli.Askable(o.In)
}

// complete reads what the kubeconfig and the Cluster file say. With a file a kubeconfig need not be
// there.
func (o *options) complete(ctx context.Context) error {
	config, err := cli.RestConfig(o.access)
	if err != nil && o.file == "" {
		return err
	}
	var given *v1alpha1.Cluster
	if o.file != "" {
		if given, _, err = cli.FindCluster(&o.file, o.In); err != nil {
			return err
		}
	}
	if o.action, err = etcd.Reach(ctx, config, given); err != nil || given == nil {
		return err
	}
	o.action.StateDir, err = cli.StateDir(given)
	return err
}

// connect logs in to the hosts of the Cluster file; leave ends that. Without a file there is
// nothing to do.
func (o *options) connect(ctx context.Context, sink report.Sink) (leave func(), err error) {
	leave = func() {}
	if o.file == "" {
		return leave, nil
	}
	hosts, err := cli.Connect(ctx, o.action.Cluster, &o.hostKey, sink, o.action.Logins()...)
	if hosts == nil {
		return leave, err
	}
	o.action.Hosts, o.action.Failed = hosts, hosts.Failed()
	return func() { remote.Close(hosts, sink) }, nil
}

// run does something with the cluster, and shows its progress on w.
func (o *options) run(ctx context.Context, w io.Writer, format cli.Output, do func(shown *cli.Progress) error) error {
	if err := o.complete(ctx); err != nil {
		return err
	}
	shown := cli.NewProgress(w, format)
	defer shown.Close()
	defer cli.TellInterrupted(ctx, shown)()
	leave, err := o.connect(ctx, shown)
	if err != nil {
		return err
	}
	defer leave()
	err = do(shown)
	shown.Close()
	return cli.Ended(ctx, action.OfHosts(err))
}

// endpointHost names a member for people: its host, else its endpoint.
func endpointHost(c *v1alpha1.Cluster, endpoint string) string {
	for _, h := range c.EtcdMembers() {
		if h.EtcdURL() == endpoint {
			return h.Name
		}
	}
	return endpoint
}
