package uninstall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap/uninstall"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
)

// uninstallOptions take a cluster off its hosts.
type uninstallOptions struct {
	genericiooptions.IOStreams
	file        string
	output      string
	snapshotOut string
	hostKey     cli.HostKeyFlag
	noSnapshot  bool
	forget      bool
	nameOnly    bool
	dryRun      bool
	yes         bool

	cluster *v1alpha1.Cluster
	state   string
}

func NewUninstall(streams genericiooptions.IOStreams) *cobra.Command {
	o := &uninstallOptions{IOStreams: streams}
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
	cli.AddDryRun(f, &o.dryRun, "list everything that would be done on every host, change nothing")
	cli.AddYes(f, &o.yes, "")
	f.BoolVar(&o.noSnapshot, "no-snapshot", false, "don't take a last snapshot of etcd: without a majority of its members there can be none")
	f.StringVar(&o.snapshotOut, "snapshot-out", "", "the `file` for the last snapshot of etcd (default NAME-etcd-TIME.db)")
	f.BoolVar(&o.forget, "forget", false, "remove what this machine has of the cluster as well, with the etcd CA's key, once no host is left")
	f.BoolVar(&o.nameOnly, "unidentified", false, "take hosts too of which only the name tells that they are the cluster's: this machine does not have the etcd CA with which it was made")
	f.StringVarP(&o.output, "output", "o", "", "text (default), or json: an event per line, then a summary")
	cli.AddHostKeyFlag(c, &o.hostKey)
	return c
}

// Complete reads the Cluster file and finds out where things go.
func (o *uninstallOptions) Complete() (err error) {
	if o.cluster, _, err = cli.FindCluster(&o.file, o.In); err != nil {
		return err
	}
	if o.state, err = cli.StateDir(o.cluster); err != nil {
		return err
	}
	if o.snapshotOut == "" {
		o.snapshotOut = fmt.Sprintf("%s-etcd-%s.db", o.cluster.Metadata.Name, time.Now().UTC().Format("20060102-150405"))
	}
	o.snapshotOut, err = filepath.Abs(bundles.ExpandHome(o.snapshotOut))
	return err
}

// Validate refuses what would fail later, before any host is looked at.
func (o *uninstallOptions) Validate() error {
	if err := cli.CheckOutput(o.output); err != nil {
		return err
	}
	if _, interactive := cli.Terminal(o.In); !o.yes && !o.dryRun && (!interactive || o.output == cli.OutputJSON || o.file == "-") {
		return action.Invalidf("nobody can be asked, since there is no terminal to ask on: add --yes, or --dry-run to see what would be done")
	}
	if o.noSnapshot {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(o.snapshotOut)); err != nil || !info.IsDir() {
		return action.Invalidf("the snapshot can't be written to %s: there is no such directory", o.snapshotOut)
	}
	if _, err := os.Lstat(o.snapshotOut); !errors.Is(err, fs.ErrNotExist) {
		return action.Invalidf("there is something at %s already; choose another file with --snapshot-out", o.snapshotOut)
	}
	if o.forget && uninstall.Within(o.state, o.snapshotOut) {
		return action.Invalidf("--forget would remove the snapshot with %s; choose another place with --snapshot-out", o.state)
	}
	return nil
}

// Run takes the cluster off its hosts.
func (o *uninstallOptions) Run(ctx context.Context) error {
	started := time.Now()
	shown := cli.NewProgress(o.Out, o.output)
	defer shown.Close()
	stop := context.AfterFunc(ctx, func() { shown.Emit(cli.Interrupted()) })
	defer stop()

	hosts, err := cli.Connect(ctx, o.cluster, &o.hostKey, shown)
	if hosts == nil {
		return err
	}
	defer remote.Close(hosts, shown)
	result, err := uninstall.Run(ctx, uninstall.Config{Cluster: o.cluster, Hosts: hosts, Failed: hosts.Failed(), StateDir: o.state,
		SnapshotFile: o.snapshotOut, NoSnapshot: o.noSnapshot, Unidentified: o.nameOnly, Forget: o.forget, DryRun: o.dryRun,
		Confirm: func(ctx context.Context, p plan.Plan) error { return o.confirm(ctx, p, shown) }}, shown)
	shown.Close()
	if err != nil && len(result.Hosts) == 0 {
		return o.refused(err)
	}
	if err := o.report(result, time.Since(started)); err != nil {
		return err
	}
	return o.outcome(ctx, result, err)
}

// refused is the error of a run that did nothing.
func (o *uninstallOptions) refused(err error) error {
	var found *bootstrap.PreflightError
	switch {
	case errors.As(err, &found):
		return action.As(action.Findings, err)
	case errors.Is(err, bootstrap.ErrLocked):
		return action.As(action.Invalid, err)
	}
	return err
}

// confirm shows the plan and asks for the cluster's name.
func (o *uninstallOptions) confirm(ctx context.Context, p plan.Plan, shown *cli.Progress) error {
	if o.output == cli.OutputJSON {
		return nil
	}
	shown.Close()
	defer shown.Open()
	if err := cli.PrintPlan(o.Out, cli.StyleFor(o.Out), o.cluster, p); err != nil || o.yes {
		return err
	}
	// Not the name alone: that is the same for most clusters, and typed without a look.
	which := o.cluster.Metadata.Name + "@" + o.cluster.Spec.VirtualIP
	return cli.ConfirmName(ctx, o.In, o.Out, fmt.Sprintf("The cluster %s at %s with all that is in it ends, and it does not come back. To go on write %s:",
		o.cluster.Metadata.Name, o.cluster.Spec.VirtualIP, which), which)
}

// outcome is the error, with the exit code, of a run that left something.
func (o *uninstallOptions) outcome(ctx context.Context, r uninstall.Result, err error) error {
	if errors.Is(context.Cause(ctx), cli.ErrInterrupted) {
		return errors.New("run the same command again: it looks at the hosts and does what is left")
	}
	away := o.unreachable(r)
	var more plan.Explained
	if err != nil {
		if errors.As(err, &more) {
			if _, hint := more.Explain(); hint != "" {
				err = fmt.Errorf("%w\n%s", err, hint)
			}
		}
		if away != nil {
			err = fmt.Errorf("%w\n%w", err, away)
		}
		return err
	}
	if away == nil {
		return nil
	}
	return action.As(action.Unreachable, away)
}

// unreachable names the hosts to which there was no way; nil for none.
func (o *uninstallOptions) unreachable(r uninstall.Result) error {
	left := map[string]string{}
	for _, h := range r.Left() {
		if h.State == uninstall.Unreachable {
			left[h.Host] = h.Error
		}
	}
	if len(left) == 0 {
		return nil
	}
	var lines []string
	for _, host := range slices.Sorted(maps.Keys(left)) {
		lines = append(lines, "  "+left[host])
	}
	what := "left for later"
	if o.dryRun {
		what = "not looked at"
	}
	return fmt.Errorf("%s, since there is no way to them:\n%s\nrun the same command again when they are back",
		report.Plural(len(left), "host is "+what, "hosts are "+what), strings.Join(lines, "\n"))
}

// report tells what was done, or would be.
func (o *uninstallOptions) report(r uninstall.Result, took time.Duration) error {
	if o.output == cli.OutputJSON {
		hosts := slices.Clone(r.Hosts)
		if !o.dryRun {
			for i := range hosts {
				hosts[i].Changes = nil // They came as events of the steps, and are many.
			}
		}
		return cli.WriteJSONLine(o.Out, map[string]any{"kind": "summary", "cluster": o.cluster.Metadata.Name, "dryRun": o.dryRun, "hosts": hosts,
			"snapshot": r.Snapshot, "forgotten": r.Forgotten, "elapsed": took.Seconds()})
	}
	if o.dryRun {
		return o.printChanges(r)
	}
	var b strings.Builder
	free := len(r.Hosts) - len(r.Left())
	fmt.Fprintf(&b, "\nCluster %s: %s as before kubectl-ha, %d left, after %s.\n", o.cluster.Metadata.Name,
		report.Plural(free, "host is", "hosts are"), len(r.Left()), report.Elapsed(took))
	for _, h := range r.Hosts {
		for _, l := range h.Left {
			fmt.Fprintf(&b, "  %s keeps %s\n", h.Host, l)
		}
	}
	if r.Snapshot != nil {
		fmt.Fprintf(&b, "The last snapshot of etcd is %s; it holds every secret of the cluster.\n", r.Snapshot.File)
	}
	switch {
	case r.Forgotten:
		fmt.Fprintf(&b, "This machine has forgotten the cluster; %s.kubeconfig and the like are yours to remove.\n", o.cluster.Metadata.Name)
	case len(r.Left()) == 0:
		fmt.Fprintf(&b, "The etcd CA stays in %s, for a cluster of the same name; --forget removes it.\n", o.state)
	}
	_, err := io.WriteString(o.Out, b.String())
	return err
}

// printChanges lists everything that would be done, host by host.
func (o *uninstallOptions) printChanges(r uninstall.Result) error {
	var b strings.Builder
	if err := cli.PrintPlan(&b, cli.StyleFor(o.Out), o.cluster, r.Plan); err != nil {
		return err
	}
	for _, h := range r.Hosts {
		if len(h.Changes) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s, %s:\n", h.Host, report.Plural(len(h.Changes), "change", "changes"))
		for _, c := range h.Changes {
			line := fmt.Sprintf("  %-8s %s", c.Action, c.Target)
			if c.Note != "" {
				line += "  (" + c.Note + ")"
			}
			b.WriteString(line + "\n")
		}
	}
	b.WriteString("A dry run: nothing was changed.\n")
	_, err := io.WriteString(o.Out, b.String())
	return err
}

// The transport fits.
var _ uninstall.Hosts = (*ssh.Hosts)(nil)
