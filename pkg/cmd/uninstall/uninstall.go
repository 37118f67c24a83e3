// Package uninstall is the command that takes a cluster off its hosts.
package uninstall

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/uninstall"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
)

// options take a cluster off its hosts.
type options struct {
	genericiooptions.IOStreams
	uninstall.Options
	file    string
	output  string
	hostKey cli.HostKeyFlag
	yes     bool
}

// New is the command uninstall.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{IOStreams: streams}
	c := &cobra.Command{
		Use:     "uninstall [-f FILE]",
		Short:   "Take the cluster off its hosts, and leave them as they were",
		GroupID: cli.GroupCluster,
		Long: cli.Paragraphs(
			"Takes back on all hosts at once what bootstrap and the Operations did: pods and mounts, kubelet, containerd when kubectl-ha installed it, the pod network with its rules in the packet filter, the virtual IP, etcd with its data, certificates, programs, kernel settings, the agent. Each host's ledger says what that is: what was there before is put back, what others made is left. No host is restarted. It works over SSH alone, and so on a dead cluster too.",
			"A last snapshot of etcd comes to this machine first; the backups on the hosts go with them. Data in volumes is not touched: what pods had mounted is unmounted, what they had on the hosts' own disks stays, but for emptyDir volumes.",
			fmt.Sprintf("Hosts that can't be reached are left, and named at the end (exit code %d): the same command takes them later. When a host belongs to another cluster nothing is done to any (exit code %d): the etcd CA tells it, not the name, which many clusters share.", cli.ExitUnreachable, cli.ExitFindings)),
		Example: cli.Examples(`
			# Everything that would be done, on every host
			kubectl ha uninstall -f cluster.yaml --dry-run

			# Asks for the cluster's name and address
			kubectl ha uninstall -f cluster.yaml

			# In a script, of a cluster that is dead for good, and forget its etcd CA too
			kubectl ha uninstall -f cluster.yaml --yes --no-snapshot --forget`),
		Args: cli.NoArgs,
		RunE: cli.InOrder(o),
	}
	cli.AddFileFlag(c, &o.file)
	f := c.Flags()
	cli.AddDryRun(f, &o.DryRun, "list everything that would be done on every host, change nothing")
	cli.AddYes(f, &o.yes, "")
	f.BoolVar(&o.NoSnapshot, "no-snapshot", false, "don't take a last snapshot of etcd: without a majority of its members there can be none")
	f.StringVar(&o.SnapshotFile, "snapshot-out", "", "the `file` for the last snapshot of etcd (default NAME-etcd-TIME.db)")
	f.BoolVar(&o.Forget, "forget", false, "remove what this machine has of the cluster as well, with the etcd CA's key, once no host is left")
	f.BoolVar(&o.Unidentified, "unidentified", false, "take hosts too of which only the name tells that they are the cluster's: this machine does not have the etcd CA with which it was made")
	f.StringVarP(&o.output, "output", "o", "", "text (default), or json: an event per line, then a summary")
	cli.AddHostKeyFlag(c, &o.hostKey)
	return c
}

// Complete reads the Cluster file and finds out where things go.
func (o *options) Complete() (err error) {
	if o.Cluster, _, err = cli.FindCluster(&o.file, o.In); err != nil {
		return err
	}
	if o.StateDir, err = cli.StateDir(o.Cluster); err != nil {
		return err
	}
	if o.SnapshotFile == "" {
		o.SnapshotFile = uninstall.DefaultSnapshotFile(o.Cluster, time.Now())
	}
	o.SnapshotFile, err = filepath.Abs(bundles.ExpandHome(o.SnapshotFile))
	return err
}

// Validate refuses what would fail later, before any host is looked at.
func (o *options) Validate() error {
	if err := cli.CheckOutput(o.output); err != nil {
		return err
	}
	if _, interactive := cli.Terminal(o.In); !o.yes && !o.DryRun && (!interactive || o.output == cli.OutputJSON || o.file == "-") {
		return action.Invalidf("nobody can be asked, since there is no terminal to ask on: add --yes, or --dry-run to see what would be done")
	}
	return uninstall.Check(o.Options)
}

// Run takes the cluster off its hosts.
func (o *options) Run(ctx context.Context) (err error) {
	if o.Login, err = o.hostKey.Login(); err != nil {
		return err
	}
	started := time.Now()
	shown := cli.NewProgress(o.Out, o.output)
	defer shown.Close()
	stop := cli.TellInterrupted(ctx, shown)
	defer stop()
	o.Confirm = func(ctx context.Context, p plan.Plan) error { return o.confirm(ctx, p, shown) }
	result, err := uninstall.Run(ctx, o.Options, shown)
	shown.Close()
	if err != nil && len(result.Hosts) == 0 {
		return err
	}
	if err := o.report(result, time.Since(started)); err != nil {
		return err
	}
	return cli.Ended(ctx, err)
}

// confirm shows the plan and asks for the cluster's name.
func (o *options) confirm(ctx context.Context, p plan.Plan, shown *cli.Progress) error {
	if o.output == cli.OutputJSON {
		return nil
	}
	shown.Close()
	defer shown.Open()
	if err := cli.PrintPlan(o.Out, cli.StyleFor(o.Out), o.Cluster, p); err != nil || o.yes {
		return err
	}
	// Not the name alone: that is the same for most clusters, and typed without a look.
	which := o.Cluster.Metadata.Name + "@" + o.Cluster.Spec.VirtualIP
	return cli.ConfirmName(ctx, o.In, o.Out, fmt.Sprintf("The cluster %s at %s with all that is in it ends, and it does not come back. To go on write %s:",
		o.Cluster.Metadata.Name, o.Cluster.Spec.VirtualIP, which), which)
}
