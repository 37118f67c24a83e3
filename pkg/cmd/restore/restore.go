// Package restore has the command that restores etcd; it belongs below `kubectl ha etcd`.
package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/backups"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/restore"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

type options struct {
	genericiooptions.IOStreams
	file                                  string
	output                                cli.Output
	from, credentials, identity, snapshot string
	hostKey                               cli.HostKeyFlag
	yes, dryRun, takeBack                 bool
	action                                restore.Options
}

// New makes the command restore.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{IOStreams: streams}
	c := &cobra.Command{
		Use:   "restore [BACKUP] [-f FILE]",
		Short: "Restore etcd from a backup, over SSH",
		Long: cli.Paragraphs(
			"Use it if the quorum of etcd is lost for good, or if its data is broken. All changes since the backup are lost; it shows how much that is, and asks. It needs no API. All members are restored from the same snapshot, healthy ones too.",
			"Before anything is stopped, the snapshot is on every member, was verified, and was restored beside the data in use. Then the apiservers are stopped, the data is put aside (nothing is deleted), etcd and one apiserver start, Operations that the snapshot believes in are ended, and the rest starts.",
			"If it is interrupted, run the same command again: it does what is left. --take-back goes back to the data that was put aside."),
		Example: cli.Examples(`
			# From a backup on the hosts
			kubectl ha etcd restore upgrade-x7k2p -f cluster.yaml

			# From a backup at a target of the Cluster file
			kubectl ha etcd restore daily-20261129 --from offsite --credentials s3.yaml \
			  --identity key.txt -f cluster.yaml

			# The cluster is lost, and its hosts were bootstrapped anew
			kubectl ha etcd restore daily-20261129 --of-cluster prod --from offsite --credentials s3.yaml \
			  --identity key.txt -f cluster.yaml

			# Two of three members are gone for ever, and there is no backup
			kubectl ha etcd restore --from-member any --members cp1 -f cluster.yaml`),
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.action.Backup = args[0]
			}
			if err := o.validate(); err != nil {
				return err
			}
			return o.run(c.Context())
		},
	}
	cli.AddFileFlag(c, &o.file)
	cli.AddHostKeyFlag(c, &o.hostKey)
	f := c.Flags()
	f.StringVar(&o.snapshot, "snapshot", "", "etcd snapshot `file` on this machine, instead of a backup")
	f.StringVar(&o.from, "from", "", "the `target` that has the backup: a name in spec.backup.targets, or a URL")
	f.StringVar(&o.action.Of, "of-cluster", "", "the backup is of another `cluster`, such as one that is lost: its name, or its identity (see backup list --clusters)")
	f.StringVar(&o.credentials, "credentials", "", "`file` with the credentials of the target")
	f.StringVar(&o.identity, "identity", "", "`file` with the age identity that decrypts the backup; it stays on this machine")
	f.StringVar(&o.action.FromMember, "from-member", "", "`host` of a surviving member whose data is restored; any: the one that has applied most")
	f.StringSliceVar(&o.action.Members, "members", nil, "restore only these members (`hosts`); the others are left out (default all)")
	f.StringSliceVar(&o.action.Lost, "lost", nil, "`hosts` that are gone for ever: their nodes are removed")
	f.BoolVar(&o.takeBack, "take-back", false, "take an interrupted restore back")
	cli.AddDryRun(f, &o.dryRun, "only show what would be lost and done")
	cli.AddYes(f, &o.yes, "")
	cli.AddOutput(c, &o.output, cli.Formats{Documents: "one event per line, then the result"})
	return c
}

func (o *options) validate() error {
	o.action.File = o.snapshot
	if o.takeBack && (o.action.Backup != "" || o.action.File != "" || o.action.FromMember != "") {
		return action.Invalidf("--take-back restores nothing: leave out the backup")
	}
	if o.yes || o.dryRun {
		return nil
	}
	if o.output.ForPrograms() {
		return action.Invalidf("cannot prompt with -o %s; use --yes", o.output)
	}
	return cli.Askable(o.In)
}

func (o *options) run(ctx context.Context) (err error) {
	if o.action.Cluster, _, err = cli.FindCluster(&o.file, o.In); err != nil {
		return err
	}
	stateDir, err := cli.StateDir(o.action.Cluster)
	if err != nil {
		return err
	}
	if o.action.Identity, err = restore.KnownIdentity(ctx, stateDir, o.action.Cluster); err != nil {
		return err
	}
	if o.from != "" {
		if o.action.Store, err = o.target(); err != nil {
			return err
		}
	}
	if o.identity != "" {
		raw, err := cli.ReadFile(o.identity, o.In)
		if err != nil {
			return err
		}
		if o.action.Keys, err = backups.Identities(raw); err != nil {
			return err
		}
	}
	started := time.Now()
	shown := cli.NewProgress(o.Out, o.output)
	defer shown.Close()
	defer cli.TellInterrupted(ctx, shown)()
	hosts, err := cli.Connect(ctx, o.action.Cluster, &o.hostKey, shown)
	if hosts == nil {
		return err
	}
	// Those that can't be reached are judged by whoever needs them.
	defer remote.Close(hosts, shown)
	o.action.Hosts, o.action.Failed = hosts, hosts.Failed()
	if o.takeBack {
		return o.back(ctx, shown)
	}
	r, err := restore.Prepare(ctx, o.action, shown)
	if err != nil {
		return cli.Ended(ctx, err)
	}
	shown.Close()
	if err := o.confirm(ctx, r.Plan); err != nil || o.dryRun {
		return err
	}
	shown.Open()
	result, err := r.Run(ctx)
	shown.Close()
	return o.finish(result, cli.Ended(ctx, err), started)
}

func (o *options) target() (*backups.Target, error) {
	var raw []byte
	if o.credentials != "" {
		var err error
		if raw, err = cli.ReadFile(o.credentials, o.In); err != nil {
			return nil, err
		}
	}
	return backups.TargetOf(o.action.Cluster, o.from, raw)
}

// confirm shows the plan, and asks for the cluster's name.
func (o *options) confirm(ctx context.Context, p restore.Plan) error {
	if o.output.ForPrograms() {
		if o.dryRun {
			return o.output.PrintLine(o.Out, p)
		}
		return nil
	}
	if err := printPlan(o.Out, p, time.Now()); err != nil || o.dryRun || o.yes {
		return err
	}
	name := o.action.Cluster.Metadata.Name
	return cli.ConfirmName(ctx, o.In, o.Out, "Type the name of the cluster ("+name+") to restore it:", name)
}

func printPlan(w io.Writer, p restore.Plan, now time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Restore %s", p.Source)
	if p.Revision > 0 {
		fmt.Fprintf(&b, ", revision %d", p.Revision)
	}
	if !p.Created.IsZero() {
		fmt.Fprintf(&b, ", taken %s (%s ago)", p.Created.Local().Format("2006-01-02 15:04 MST"), duration.HumanDuration(now.Sub(p.Created)))
	}
	fmt.Fprintf(&b, "\nto the members on %s.\n", strings.Join(p.Members, ", "))
	switch {
	case p.Through:
		fmt.Fprintf(&b, "All of it was done by %s; only that is left to be noted on some hosts.\n", p.ID)
	case p.Resumes:
		fmt.Fprintf(&b, "It goes on with %s, which was interrupted.\n", p.ID)
	}
	switch {
	case p.Newest == 0:
		b.WriteString("No member tells its revision: how much is lost is not known. Everything since then is.\n")
	case p.Revision > 0 && p.Newest > p.Revision:
		fmt.Fprintf(&b, "Lost: %d revisions, everything written since then.\n", p.Newest-p.Revision)
	}
	for _, name := range slices.Sorted(keys(p.Survivors)) {
		fmt.Fprintf(&b, "%s has data, applied up to the index %d; it is put aside.\n", name, p.Survivors[name])
	}
	if len(p.LeftOut) > 0 {
		fmt.Fprintf(&b, "Left out: %s.\n", strings.Join(p.LeftOut, ", "))
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "Warning: %s.\n", w)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (o *options) back(ctx context.Context, shown *cli.Progress) error {
	if !o.yes {
		shown.Close()
		if err := cli.Confirm(ctx, o.In, o.Out, "Take the restore back? Everything that was written into the restored cluster is put aside."); err != nil {
			return err
		}
		shown.Open()
	}
	p, err := restore.TakeBack(ctx, o.action, shown)
	shown.Close()
	if err != nil {
		return cli.Ended(ctx, err)
	}
	if o.output.ForPrograms() {
		return o.output.PrintLine(o.Out, p)
	}
	_, err = fmt.Fprintf(o.Out, "%s is taken back. Check the cluster with: kubectl ha status\n", p.ID)
	return err
}

func (o *options) finish(r restore.Result, err error, started time.Time) error {
	if o.output.ForPrograms() {
		return errors.Join(o.output.PrintLine(o.Out, r), err)
	}
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Restored after %s.\n", report.Elapsed(time.Since(started)))
	for _, x := range []struct {
		names []string
		text  string
	}{
		{r.Ended, "Ended Operations of the snapshot"}, {r.Removed, "Removed nodes"},
		{r.NotReady, "Nodes that are not ready yet"}, {r.Cordoned, "Nodes that are cordoned (kubectl uncordon NODE)"},
		{r.Settled.Changed, "Brought to the CAs and keys that are in use"},
		{r.Settled.Bound, "Secrets with a new token (copies of the former one elsewhere are refused)"},
	} {
		if len(x.names) > 0 {
			fmt.Fprintf(&b, "%s: %s.\n", x.text, strings.Join(x.names, ", "))
		}
	}
	for _, advice := range r.Settled.Advice {
		fmt.Fprintf(&b, "To do: %s.\n", advice)
	}
	dir := o.action.Cluster.Spec.Etcd.DataDir
	fmt.Fprintf(&b, "Check the cluster with: kubectl ha status\nThe former data is in %s/member.before-%s on the members; remove it once all is well.\n", dir, r.ID)
	_, err = io.WriteString(o.Out, b.String())
	return err
}
