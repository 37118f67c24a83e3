// Package uninstall is the command that takes a cluster off its hosts.
package uninstall

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

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
	output  cli.Output
	hostKey cli.HostKeyFlag
	yes     bool
}

// New is the command uninstall.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{IOStreams: streams}
	c := &cobra.Command{
		Use:     "uninstall [-f FILE]",
		Short:   "Uninstall the cluster and restore its hosts",
		GroupID: cli.GroupCluster,
		Long: cli.Paragraphs(
			"Reverts on all hosts in parallel what bootstrap and Operations did: pods and mounts, kubelet, containerd if kubectl-ha installed it, the pod network and its packet filter rules, the virtual IP, etcd with its data, certificates, binaries, kernel settings and the agent. The ledger on each host records these changes: replaced files are restored, and anything created by others is left alone. No host is restarted. It needs only SSH, so it also works on a dead cluster.",
			"First it saves a last etcd snapshot on this machine. The backups on the hosts are deleted. Data in volumes is not touched: volumes are unmounted, and data on the disks of the hosts stays, except emptyDir volumes.",
			fmt.Sprintf("Unreachable hosts are skipped and listed at the end (exit code %d); run the same command again for them. If any host belongs to another cluster, nothing is changed on any host (exit code %d). Clusters are told apart by their etcd CA, not by their name.", cli.ExitUnreachable, cli.ExitFindings)),
		Example: cli.Examples(`
			# List all changes on every host
			kubectl ha uninstall -f cluster.yaml --dry-run

			# Uninstall; prompts for the name and address of the cluster
			kubectl ha uninstall -f cluster.yaml

			# In a script: uninstall a dead cluster, and delete its etcd CA too
			kubectl ha uninstall -f cluster.yaml --yes --no-snapshot --forget`),
		Args: cli.NoArgs,
		RunE: cli.InOrder(o),
	}
	cli.AddFileFlag(c, &o.file)
	f := c.Flags()
	cli.AddDryRun(f, &o.DryRun, "only list all changes on every host")
	cli.AddYes(f, &o.yes, "")
	f.BoolVar(&o.NoSnapshot, "no-snapshot", false, "do not take a last etcd snapshot, which needs a majority of the members")
	f.StringVar(&o.SnapshotFile, "snapshot-out", "", "`file` for the last etcd snapshot (default NAME-etcd-TIME.db)")
	f.BoolVar(&o.Forget, "forget", false, "also delete the local files of the cluster, including the etcd CA key, once no host is left")
	f.BoolVar(&o.Unidentified, "unidentified", false, "include hosts that only their name identifies, because this machine does not have the etcd CA of the cluster")
	cli.AddOutput(c, &o.output, cli.Formats{Documents: "one event per line, then a summary"})
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
	if !o.yes && !o.DryRun {
		if err := cli.CheckPrompt(o.In, o.output.ForPrograms() || o.file == "-", "what would be done"); err != nil {
			return err
		}
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
	if o.output.ForPrograms() {
		return nil
	}
	shown.Close()
	defer shown.Open()
	if err := cli.PrintPlan(o.Out, cli.StyleFor(o.Out), o.Cluster, p); err != nil || o.yes {
		return err
	}
	// Not the name alone: that is the same for most clusters, and typed without a look.
	which := o.Cluster.Metadata.Name + "@" + o.Cluster.EndpointHost()
	return cli.ConfirmName(ctx, o.In, o.Out, fmt.Sprintf("This destroys the cluster %s at %s and everything in it. It cannot be undone. To continue, type %s:",
		o.Cluster.Metadata.Name, o.Cluster.EndpointHost(), which), which)
}
