// Package backup has the commands about backups.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/backups"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// options are what the commands share.
type options struct {
	genericiooptions.IOStreams
	access                                *genericclioptions.ConfigFlags
	file, to, credentials, identities, of string
	// here: this machine asks the target itself.
	here    bool
	output  cli.Output
	hostKey cli.HostKeyFlag
}

// New makes the command backup.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	access := cli.NewAccess()
	c := &cobra.Command{
		Use:     "backup",
		Short:   "Create, schedule, list and verify backups",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"A backup is a verified etcd snapshot, and the configuration and keys of each control plane node and etcd member. Each upgrade of the control plane starts with one, which stays on its hosts, readable only by root.",
			"With --to, a backup leaves the hosts: to S3, SFTP, or a folder of the hosts that is mounted from elsewhere. It is encrypted by age to spec.backup.recipients of the Cluster file: no host can read what it has sent. To restore one: kubectl ha etcd restore."),
		Example: cli.Examples(`
			kubectl ha backup create --to offsite
			kubectl ha backup list --to offsite
			kubectl ha backup verify backup-20261129-200000 --to offsite --identity key.txt
			kubectl ha backup schedule --to offsite --keep-daily 7 --keep-weekly 5`),
		Args: cobra.ArbitraryArgs,
		RunE: cli.RunGroup,
	}
	cli.AddAccess(c, access)
	c.AddCommand(newCreate(streams, access), newList(streams, access), newVerify(streams, access), newDownload(streams, access), newDelete(streams, access),
		newSchedule(streams, access), newStatus(streams, access))
	return c
}

func (o *options) addFlags(c *cobra.Command, formats cli.Formats) {
	f := c.Flags()
	f.StringVarP(&o.file, "filename", "f", "", "Cluster `file`, to log in to the hosts over SSH instead of using the API")
	// MarkFlagFilename fails only for a flag that is not there.
	_ = c.MarkFlagFilename("filename", "yaml", "yml")
	cli.AddHostKeyFlag(c, &o.hostKey)
	f.StringVar(&o.to, "to", "", "the `target`: a name in spec.backup.targets, or a URL (s3://, sftp://, file://)")
	f.StringVar(&o.credentials, "credentials", "", "`file` with the credentials of the target (default the Secret of the target)")
	cli.AddOutput(c, &o.output, formats)
}

func (o *options) addIdentity(c *cobra.Command) {
	c.Flags().StringVar(&o.identities, "identity", "", "`file` with the age identity that decrypts the backup; it stays on this machine")
}

func (o *options) addOf(c *cobra.Command) {
	c.Flags().StringVar(&o.of, "of-cluster", "", "read the backups of another `cluster`, such as one that is lost: its name, or its identity (see backup list --clusters)")
}

func (o *options) keys() ([]age.Identity, error) {
	if o.identities == "" {
		return nil, action.Invalidf("the backup is encrypted: name the file with your age identity (--identity)")
	}
	raw, err := cli.ReadFile(o.identities, o.In)
	if err != nil {
		return nil, err
	}
	return backups.Identities(raw)
}

// reach finds the ways to the cluster: its API, or with -f its hosts over SSH.
func (o *options) reach(ctx context.Context, sink report.Sink) (a backups.Options, leave func(), err error) {
	leave = func() {}
	if o.of != "" && o.to == "" {
		return a, leave, action.Invalidf("--of-cluster is of backups at a target: name it with --to")
	}
	credentials, err := o.readCredentials()
	if err != nil {
		return a, leave, err
	}
	if o.file != "" {
		return o.overSSH(ctx, credentials, sink)
	}
	config, _, stored, err := cli.StoredCluster(ctx, o.access)
	if err != nil {
		return a, leave, err
	}
	if a, err = backups.InCluster(ctx, config, stored); err != nil || o.to == "" {
		return a, leave, err
	}
	a.Of = o.of
	a, err = a.At(ctx, config, o.to, credentials)
	return a, leave, err
}

// readCredentials are nil when none were given.
func (o *options) readCredentials() ([]byte, error) {
	if o.credentials == "" {
		return nil, nil
	}
	return cli.ReadFile(o.credentials, o.In)
}

func (o *options) overSSH(ctx context.Context, credentials []byte, sink report.Sink) (a backups.Options, leave func(), err error) {
	leave = func() {}
	c, _, err := cli.FindCluster(&o.file, o.In)
	if err != nil {
		return a, leave, err
	}
	var target *backups.Target
	if o.to != "" {
		if target, err = backups.TargetOf(c, o.to, credentials); err != nil {
			return a, leave, err
		}
	}
	if o.here {
		return backups.Options{Cluster: c, Unknown: true, Of: o.of, Here: true, Target: target}, leave, nil
	}
	hosts, err := cli.Connect(ctx, c, &o.hostKey, sink)
	if hosts == nil {
		return a, leave, err
	}
	a = backups.OverSSH(c, hosts, hosts.Failed(), sink)
	a.Target, a.Of = target, o.of
	return a, func() { remote.Close(hosts, sink) }, nil
}

func newCreate(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o, name := &options{IOStreams: streams, access: access}, ""
	c := &cobra.Command{
		Use:   "create [--to TARGET]",
		Short: "Create a backup, and send it to a target",
		Long: cli.Paragraphs(
			"Creates a backup on each control plane node and etcd member: an etcd snapshot, read back page by page, and the host's files. With --to it is encrypted and sent. It counts only once its manifest is at the target, which is written last.",
			"If it is interrupted, run it again with the same --name: what is on the hosts is sent again."),
		Example: cli.Examples(`
			# It stays on the hosts
			kubectl ha backup create

			kubectl ha backup create --to offsite

			# The API is down; credentials from a file
			kubectl ha backup create --to offsite --credentials s3.yaml -f cluster.yaml`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if name == "" {
				name = backups.NewName(time.Now())
			}
			return o.create(c.Context(), name)
		},
	}
	o.addFlags(c, cli.Formats{Documents: "one event per line, then the result"})
	c.Flags().StringVar(&name, "name", "", "`name` of the backup (default backup-TIME)")
	return c
}

func (o *options) create(ctx context.Context, name string) error {
	started := time.Now()
	shown := cli.NewProgress(o.Out, o.output)
	defer shown.Close()
	defer cli.TellInterrupted(ctx, shown)()
	a, leave, err := o.reach(ctx, shown)
	defer leave()
	if err != nil {
		return err
	}
	m, err := backups.Create(ctx, a, name, shown)
	shown.Close()
	if err = cli.Ended(ctx, err); err != nil {
		return fmt.Errorf("%w\nnext: run it again with --name %s", err, name)
	}
	if o.output.ForPrograms() {
		return o.output.PrintLine(o.Out, m)
	}
	where := "on its hosts"
	if a.Target != nil {
		where = fmt.Sprintf("at %s, %s", a.Target.URL, report.Size(m.Size()))
	}
	_, err = fmt.Fprintf(o.Out, "The backup %s is %s, etcd at revision %d, after %s.\n", m.Name, where, m.Revision, report.Elapsed(time.Since(started)))
	return err
}

func newList(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o, hosts, clusters := &options{IOStreams: streams, access: access}, false, false
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List backups, newest first",
		Long: cli.Paragraphs(
			"Lists the backups recorded in Operations of this cluster. --hosts lists the backups on the disks of the hosts instead, including those that no Operation records, and verifies the digest of each file; with -f it does so over SSH, when there is no API. --to lists those of this cluster at a target.",
			"A cluster is known by its etcd CA, not by its name. After a total loss, --clusters lists all clusters that have backups at the target, and --of-cluster those of one of them. With --here, this machine asks the target itself: then no host is needed, only the Cluster file."),
		Example: cli.Examples(`
			kubectl ha backup list
			kubectl ha backup list --hosts
			kubectl ha backup list --to offsite
			kubectl ha backup list -o json

			# The cluster is lost
			kubectl ha backup list --clusters --here --to offsite --credentials s3.yaml -f cluster.yaml`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.to != "" && hosts {
				return action.Invalidf("use either --to or --hosts")
			}
			switch {
			case o.here && o.file == "":
				return action.Invalidf("--here needs the Cluster file (-f)")
			case clusters && o.of != "":
				return action.Invalidf("use either --clusters or --of-cluster")
			case clusters && o.to == "", o.here && o.to == "", o.of != "" && o.to == "":
				return action.Invalidf("name the target with --to")
			case clusters:
				return o.listOwners(c.Context())
			case o.to == "":
				return o.listOnHosts(c.Context(), hosts)
			}
			return o.listAtTarget(c.Context())
		},
	}
	o.addFlags(c, cli.Formats{Names: true})
	o.addOf(c)
	f := c.Flags()
	f.BoolVar(&hosts, "hosts", false, "read and verify the backups on the hosts")
	f.BoolVar(&clusters, "clusters", false, "list all clusters that have backups at the target, with their identities")
	f.BoolVar(&o.here, "here", false, "ask the target from this machine: no host is needed")
	return c
}

func (o *options) listAtTarget(ctx context.Context) error {
	a, leave, err := o.reach(ctx, report.Discard())
	defer leave()
	if err != nil {
		return err
	}
	list, err := backups.List(ctx, a, report.Discard())
	if err != nil {
		return err
	}
	switch {
	case o.output.Names():
		var names []string
		for _, m := range list.Backups {
			names = append(names, m.Name)
		}
		return o.output.PrintNames(o.Out, backupKind, names...)
	case o.output.ForPrograms():
		return o.output.Print(o.Out, list)
	}
	return printListed(o.Out, list, time.Now())
}

// backupKind is before a backup's name with -o name.
var backupKind = schema.GroupKind{Kind: "Backup"}

// clusterKind is that of names of clusters, which are their identities.
var clusterKind = schema.GroupKind{Kind: "Cluster"}

func printListed(w io.Writer, list backup.Listed, now time.Time) error {
	if len(list.Backups)+len(list.Broken) == 0 {
		_, err := fmt.Fprintln(w, "No backups of this cluster found at the target.")
		return err
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	// Into memory, which does not fail.
	_, _ = fmt.Fprintln(t, "NAME\tAGE\tREVISION\tSIZE\tKUBERNETES")
	for _, m := range list.Backups {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\n", m.Name, duration.HumanDuration(now.Sub(m.Created)), m.Revision, report.Size(m.Size()), m.KubernetesVersion)
	}
	for _, name := range slices.Sorted(maps.Keys(list.Broken)) {
		_, _ = fmt.Fprintf(t, "%s\t?\t\t\tNOT whole: %s\n", name, list.Broken[name])
	}
	return errors.Join(t.Flush(), cli.WriteTrimmed(w, b.String()))
}

func (o *options) listOwners(ctx context.Context) error {
	a, leave, err := o.reach(ctx, report.Discard())
	defer leave()
	if err != nil {
		return err
	}
	all, err := backups.Owners(ctx, a, report.Discard())
	if err != nil {
		return err
	}
	switch {
	case o.output.Names():
		names := []string{}
		for _, one := range all {
			names = append(names, one.Identity)
		}
		return o.output.PrintNames(o.Out, clusterKind, names...)
	case o.output.ForPrograms():
		return o.output.Print(o.Out, append([]backup.Owner{}, all...))
	}
	return printOwners(o.Out, all, time.Now())
}

func printOwners(w io.Writer, all []backup.Owner, now time.Time) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "No backups found at the target.")
		return err
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	// Into memory, which does not fail.
	_, _ = fmt.Fprintln(t, "CLUSTER\tIDENTITY\tBACKUPS\tLAST")
	for _, o := range all {
		name, last := "?", "?"
		if o.Backups > 0 {
			name, last = o.Name, duration.HumanDuration(now.Sub(o.Newest))
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%d\t%s\n", name, o.Identity, o.Backups, last)
	}
	return errors.Join(t.Flush(), cli.WriteTrimmed(w, b.String()))
}

func newVerify(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &options{IOStreams: streams, access: access}
	c := &cobra.Command{
		Use:   "verify BACKUP --to TARGET --identity FILE",
		Short: "Restore a backup into an etcd that is thrown away, and compare",
		Long: cli.Paragraphs(
			"Reads the snapshot of the backup from the target on an etcd member, restores it into an etcd that only listens on loopback, counts its keys and compares the result with the manifest. The etcd in use is not touched. Your age identity stays on this machine: the host gets the key of this one object."),
		Example: cli.Examples(`kubectl ha backup verify backup-20261129-200000 --to offsite --identity key.txt`),
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return o.verify(c.Context(), args[0])
		},
	}
	o.addFlags(c, cli.Formats{Documents: "one event per line, then the result"})
	o.addIdentity(c)
	o.addOf(c)
	return c
}

func (o *options) verify(ctx context.Context, name string) error {
	keys, err := o.keys()
	if err != nil {
		return err
	}
	shown := cli.NewProgress(o.Out, o.output)
	defer shown.Close()
	a, leave, err := o.reach(ctx, shown)
	defer leave()
	if err != nil {
		return err
	}
	v, err := backups.Verify(ctx, a, name, keys, shown)
	shown.Close()
	if err = cli.Ended(ctx, err); err != nil {
		return err
	}
	if o.output.ForPrograms() {
		return o.output.PrintLine(o.Out, v)
	}
	_, err = fmt.Fprintf(o.Out, "The backup %s can be restored: revision %d, %d keys, hash %d.\n", v.Name, v.Revision, v.Keys, v.Hash)
	return err
}

func newDownload(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o, dir := &options{IOStreams: streams, access: access}, ""
	c := &cobra.Command{
		Use:   "download BACKUP --to TARGET --identity FILE --dir DIRECTORY",
		Short: "Download and decrypt a backup",
		Long:  cli.Paragraphs("Downloads all objects of a backup to a new directory of this machine, which must reach the target itself. They are decrypted and verified. They contain every Secret of the cluster.", "With --of-cluster and -f no host is needed."),
		Example: cli.Examples(`
			kubectl ha backup download backup-20261129-200000 --to offsite --identity key.txt --dir ./restored

			# The cluster is lost
			kubectl ha backup download backup-20261129-200000 --of-cluster prod --to offsite \
			  --credentials s3.yaml --identity key.txt --dir ./restored -f cluster.yaml`),
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if dir == "" {
				return action.Invalidf("name a new directory with --dir")
			}
			return o.download(c.Context(), args[0], dir)
		},
	}
	o.addFlags(c, cli.Formats{})
	o.addIdentity(c)
	o.addOf(c)
	c.Flags().StringVar(&dir, "dir", "", "new `directory` to write to")
	return c
}

func (o *options) download(ctx context.Context, name, dir string) error {
	keys, err := o.keys()
	if err != nil {
		return err
	}
	o.here = o.of != "" && o.file != "" // It reads the target from here in any case.
	a, leave, err := o.reach(ctx, report.Discard())
	defer leave()
	if err != nil {
		return err
	}
	m, err := backups.Download(ctx, a, name, dir, keys, report.Discard())
	if err != nil {
		return err
	}
	if o.output.ForPrograms() {
		return o.output.Print(o.Out, m)
	}
	_, err = fmt.Fprintf(o.Out, "The backup %s is in %s; it contains every Secret of the cluster.\n", m.Name, dir)
	return err
}

func newDelete(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o, d, yes := &options{IOStreams: streams, access: access}, backups.DeleteOptions{}, false
	c := &cobra.Command{
		Use:   "delete [BACKUP…] --to TARGET",
		Short: "Delete backups at a target",
		Long: cli.Paragraphs(
			"Deletes the named backups, or with --keep-… those that are too many. The newest backup is never deleted by --keep-…, nor the last one from before an upgrade that is not finished; and never the only one that is whole."),
		Example: cli.Examples(`
			kubectl ha backup delete backup-20261129-200000 --to offsite
			kubectl ha backup delete --to offsite --keep-last 3 --keep-daily 7 --keep-weekly 5`),
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			d.Names = args
			if !yes && !d.DryRun {
				if err := cli.CheckPrompt(o.In, o.output.ForPrograms(), "what would be deleted"); err != nil {
					return err
				}
			}
			return o.remove(c.Context(), d, yes)
		},
	}
	o.addFlags(c, cli.Formats{})
	f := c.Flags()
	f.IntVar(&d.Keep.Last, "keep-last", 0, "keep the newest `n`")
	f.IntVar(&d.Keep.Daily, "keep-daily", 0, "keep the newest of each of the last `n` days that have one (UTC)")
	f.IntVar(&d.Keep.Weekly, "keep-weekly", 0, "keep the newest of each of the last `n` weeks that have one (UTC)")
	cli.AddDryRun(f, &d.DryRun, "only show what would be deleted")
	cli.AddYes(f, &yes, "")
	return c
}

func (o *options) remove(ctx context.Context, d backups.DeleteOptions, yes bool) error {
	a, leave, err := o.reach(ctx, report.Discard())
	defer leave()
	if err != nil {
		return err
	}
	d.Confirm = func(ctx context.Context, names []string) error {
		if err := o.printGoing(names); err != nil || yes {
			return err
		}
		return cli.Confirm(ctx, o.In, o.Out, "Delete "+report.Plural(len(names), "backup", "backups")+"?")
	}
	gone, err := backups.Delete(ctx, a, d, report.Discard())
	switch {
	case err != nil:
		return err
	case o.output.ForPrograms():
		return o.output.Print(o.Out, struct {
			Deleted []string `json:"deleted"`
		}{append([]string{}, gone...)})
	case d.DryRun || len(gone) == 0:
		return o.printGoing(gone)
	}
	return nil
}

// printGoing says which backups are to be deleted, to people.
func (o *options) printGoing(names []string) error {
	if o.output.ForPrograms() {
		return nil
	}
	text := "Nothing is to be deleted.\n"
	if len(names) > 0 {
		text = "To be deleted: " + strings.Join(names, ", ") + "\n"
	}
	_, err := io.WriteString(o.Out, text)
	return err
}
