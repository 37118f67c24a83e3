package backups

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/offsite"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/restore"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

const (
	lockWait = 2 * time.Minute
	// keepAll is more than any host has.
	keepAll = 1 << 20
)

// Options say which cluster it is, how its hosts are reached, and where backups are.
type Options struct {
	Cluster *v1alpha1.Cluster
	// Hosts runs tasks on the cluster's hosts: over SSH, or as Jobs.
	Hosts transport.Runner
	// On are the hosts that can be reached so; those that have nothing to back up are left out.
	On []v1alpha1.Host
	// Target is where backups are sent; nil: they stay on the hosts.
	Target *Target
	// Of is another cluster whose backups at the target are read, by its name or identity; empty: this
	// cluster's. Here: this machine asks the target itself, since there is no host left that could.
	Of   string
	Here bool
	// Began are upgrades that are not through, and when they began, and InProgress the backups that
	// Operations are making, by name; the API tells. Unknown: nobody could be asked.
	Began      map[string]time.Time
	InProgress []string
	Unknown    bool

	// left are hosts that could not be connected to.
	left []string
}

// OverSSH reaches the hosts of a Cluster file by their logins, for when there is no API. Those that
// are not connected, failed says why by name, are left out, and that is told.
func OverSSH(c *v1alpha1.Cluster, hosts transport.Runner, failed map[string]error, sink report.Sink) Options {
	o := Options{Cluster: c, Hosts: hosts, Unknown: true}
	for _, h := range c.Spec.Hosts {
		if err := failed[h.Name]; err != nil {
			action.Warn(sink, "", "%s is left out: %v", h.Name, err)
			o.left = append(o.left, h.Name)
			continue
		}
		o.On = append(o.On, h)
	}
	return o
}

// NewName is the name of a backup that was given none.
func NewName(now time.Time) string { return "backup-" + now.UTC().Format("20060102-150405") }

func (o Options) call(ctx context.Context, h v1alpha1.Host, task string, timeout time.Duration, spec, into any, sink report.Sink) error {
	res, err := bootstrap.Call(ctx, o.Hosts, h.Name, node.Request{Cluster: o.Cluster.Metadata.Name, Task: task, Step: task + "/" + h.Name, Timeout: timeout, LockTimeout: lockWait}, spec, report.Inner(sink))
	if err != nil {
		return action.OfRun(err)
	}
	if err := json.Unmarshal(res.Data, into); err != nil {
		return fmt.Errorf("%s: the answer of %s can't be read", h.Name, task)
	}
	return nil
}

// Create makes a backup on the hosts, and sends it to the target when there is one: encrypted, the
// manifest last. Made already by an interrupted run, it is not made again, only sent.
func Create(ctx context.Context, o Options, name string, sink report.Sink) (backup.Manifest, error) {
	hosts := o.Cluster.Keepers(o.On)
	m := backups.Manifest(o.Cluster, name)
	if taskbackup.Scheduled(name) {
		return m, action.Invalidf("names that begin with %s are those of scheduled backups, which are removed by their schedule", taskbackup.ScheduledPrefix)
	}
	if len(hosts) == 0 {
		return m, action.Invalidf("there is no control plane or etcd member to back up")
	}
	if o.Target != nil {
		// Before anything is done on a host.
		if _, err := backup.Recipients(o.Cluster.Spec.Backup.Recipients); err != nil {
			return m, action.Invalidf("spec.backup: %w", err)
		}
		list, err := List(ctx, o, sink)
		if err != nil {
			return m, err
		}
		if at := slices.IndexFunc(list.Backups, func(b backup.Manifest) bool { return b.Name == name }); at >= 0 {
			// A run before this one has come as far as that.
			m = list.Backups[at]
			action.Warn(sink, "for another one, choose another name", "the backup %s is at the target already, of %s: nothing was made or sent", name, m.Created.UTC().Format(time.RFC3339))
			return m, nil
		}
	}
	made := make([]taskbackup.Data, len(hosts))
	if err := action.Step(sink, "backup", "back up "+report.Plural(len(hosts), "host", "hosts"), func() error {
		return action.Each(hosts, func(i int, h v1alpha1.Host) error {
			spec := taskbackup.Spec{Operation: name, Keep: taskbackup.DefaultKeep}
			for what := range o.Began {
				spec.Protect = append(spec.Protect, what)
			}
			if o.Unknown {
				spec.Keep = keepAll
			}
			if o.Target == nil || i == 0 {
				spec.Endpoints = backups.Endpoints(o.Cluster, h)
			}
			return o.call(ctx, h, tasks.Backup, taskbackup.Timeout, spec, &made[i], sink)
		})
	}); err != nil {
		return m, err
	}
	if !slices.ContainsFunc(made, func(d taskbackup.Data) bool { return !d.Already }) {
		action.Warn(sink, "for another one, choose another name", "the backup %s was on its hosts already, of %s", name, made[0].Created.UTC().Format(time.RFC3339))
	}
	backups.Note(&m, made[0].Backup)
	if o.Target == nil {
		return m, nil
	}
	sent := make([]offsite.SendData, len(hosts))
	if err := action.Step(sink, "send", "send it to "+o.Target.URL, func() error {
		return action.Each(hosts, func(i int, h v1alpha1.Host) error {
			return o.call(ctx, h, tasks.SendBackup, offsite.Timeout, offsite.SendSpec{Backup: name, Host: h.Name, Snapshot: i == 0, Recipients: o.Cluster.Spec.Backup.Recipients, Store: *o.Target}, &sent[i], sink)
		})
	}); err != nil {
		return m, err
	}
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	if err := backups.Gather(&m, names, sent); err != nil {
		return m, err
	}
	return m, action.Step(sink, "finish", "write the manifest", func() error {
		var data offsite.TargetData
		return o.call(ctx, hosts[0], tasks.BackupTarget, backups.TargetTimeout, o.tidies(offsite.TargetSpec{Store: *o.Target, Finish: &m}), &data, sink)
	})
}

// tidies has what others have left at the target removed as well, unless nobody could be asked what is
// being made.
func (o Options) tidies(spec offsite.TargetSpec) offsite.TargetSpec {
	spec.Tidy, spec.Spared = !o.Unknown, o.InProgress
	return spec
}

// target asks the first control plane that answers: a target is one as the hosts reach it.
func (o Options) target(ctx context.Context, spec offsite.TargetSpec, sink report.Sink) (data offsite.TargetData, by v1alpha1.Host, err error) {
	if o.Target == nil {
		return data, by, action.Invalidf("name the target")
	}
	spec.Store, spec.Of = *o.Target, o.Of
	if o.Here {
		data, err = o.here(ctx, spec)
		return data, by, err
	}
	hosts := o.Cluster.Keepers(o.On)
	if len(hosts) == 0 {
		return data, by, action.As(action.Unreachable, errors.New("no control plane or etcd member can be reached that could ask the target"))
	}
	var errs []error
	for _, h := range hosts {
		err := o.call(ctx, h, tasks.BackupTarget, backups.TargetTimeout, spec, &data, sink)
		if err == nil {
			return data, h, nil
		}
		errs = append(errs, err)
		var failed *bootstrap.TaskError
		if ctx.Err() != nil || errors.As(err, &failed) {
			break // Others would get the same answer.
		}
	}
	return data, by, errors.Join(errs...)
}

// here asks the target from this machine.
func (o Options) here(ctx context.Context, spec offsite.TargetSpec) (data offsite.TargetData, err error) {
	switch {
	case strings.HasPrefix(o.Target.URL, "file:"):
		return data, action.Invalidf("%s is a folder of the hosts, and can't be read from here", o.Target.URL)
	case o.Of == "" && !spec.Owners:
		return data, action.Invalidf("whose backups? There is no host to tell: name the cluster with --of-cluster (kubectl ha backup list --clusters lists them)")
	}
	s, err := store.Open(ctx, *o.Target)
	if err != nil {
		return data, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	data, err = offsite.Look(ctx, s, "", spec)
	if hint := host.Hint(err); hint != "" {
		err = fmt.Errorf("%w\nnext: %s", err, hint)
	}
	return data, err
}

// Owners are all clusters that have backups at the target.
func Owners(ctx context.Context, o Options, sink report.Sink) ([]backup.Owner, error) {
	o.Of = ""
	data, _, err := o.target(ctx, offsite.TargetSpec{Owners: true}, sink)
	return data.Owners, err
}

// List lists the backups of this cluster at the target, or those of o.Of.
func List(ctx context.Context, o Options, sink report.Sink) (backup.Listed, error) {
	data, _, err := o.target(ctx, offsite.TargetSpec{}, sink)
	return data.Listed, err
}

// DeleteOptions say which backups go.
type DeleteOptions struct {
	// Names are those that go. Without any, those that Keep does not keep.
	Names []string
	Keep  backup.Keep
	// DryRun only says which they are.
	DryRun bool
	// Confirm, when set, is asked with their names before they are removed; an error ends it.
	Confirm func(ctx context.Context, names []string) error
}

// Delete removes backups, and says which. It refuses to remove the newest, or the last of before an
// upgrade that is not through. Exactly those that were confirmed go, if they still may.
func Delete(ctx context.Context, o Options, d DeleteOptions, sink report.Sink) ([]string, error) {
	going, err := o.choose(ctx, d, sink)
	if err != nil || d.DryRun || len(going) == 0 {
		return going, err
	}
	if d.Confirm != nil {
		if err := d.Confirm(ctx, going); err != nil {
			return nil, err
		}
		if going, err = o.choose(ctx, DeleteOptions{Names: going}, sink); err != nil {
			return nil, err
		}
	}
	_, _, err = o.target(ctx, o.tidies(offsite.TargetSpec{Delete: going}), sink)
	return going, err
}

// choose says which backups at the target go.
func (o Options) choose(ctx context.Context, d DeleteOptions, sink report.Sink) ([]string, error) {
	keep := d.Keep
	switch {
	case len(d.Names) > 0 && !keep.All():
		return nil, action.Invalidf("either name backups, or use --keep-…")
	case keep.Last < 0 || keep.Daily < 0 || keep.Weekly < 0:
		return nil, action.Invalidf("--keep-last, --keep-daily and --keep-weekly cannot be negative")
	case len(d.Names) == 0 && keep.All():
		return nil, action.Invalidf("name backups, or say which are to stay: --keep-last, --keep-daily, --keep-weekly")
	case len(d.Names) == 0 && o.Unknown:
		return nil, action.Invalidf("whether an upgrade is under way can't be told without the API: name the backups that are to go")
	}
	list, err := List(ctx, o, sink)
	if err != nil {
		return nil, err
	}
	protected := backup.Before(list.Backups, o.Began)
	if len(d.Names) > 0 {
		return d.Names, mayGo(list, d.Names, protected)
	}
	going, _ := backup.Retain(list.Backups, keep, protected, time.Now())
	return going, nil
}

func mayGo(list backup.Listed, names []string, protected map[string]string) error {
	left := len(list.Backups)
	for _, name := range names {
		at := slices.IndexFunc(list.Backups, func(m backup.Manifest) bool { return m.Name == name })
		switch {
		case at < 0 && list.Broken[name] == "":
			return action.Invalidf("there is no backup %s at the target", name)
		case at < 0:
			continue
		case protected[name] != "":
			return action.Invalidf("the backup %s stays: %s", name, protected[name])
		case list.Backups[at].Protected != "":
			return action.Invalidf("the backup %s stays: %s", name, list.Backups[at].Protected)
		}
		left--
	}
	if left == 0 && len(list.Backups) > 0 {
		return action.Invalidf("no whole backup would be left at the target: make another one first")
	}
	return nil
}

// Verified is what a backup was found to hold.
type Verified struct {
	Name string `json:"name"`
	restore.VerifyData
}

// Verify restores a backup for real, into an etcd that is thrown away, and compares what that holds
// with the manifest. It runs on a host with an etcd; the identities stay on this machine.
func Verify(ctx context.Context, o Options, name string, keys []age.Identity, sink report.Sink) (v Verified, err error) {
	m, part, key, by, err := o.open(ctx, name, keys, sink)
	if err != nil {
		return v, err
	}
	if at := slices.IndexFunc(o.On, func(h v1alpha1.Host) bool {
		return o.Cluster.IsMember(h.Name)
	}); at >= 0 {
		by = o.On[at] // A member has etcd's programs.
	}
	v.Name = name
	err = action.Step(sink, "verify", "restore "+name+" into an etcd that is thrown away, on "+by.Name, func() error {
		spec := restore.Spec{ID: "verify", Store: o.Target, Folder: backup.Folder(m.Identity, name), Part: part, Key: key, SHA256: part.SHA256, Bytes: part.Bytes}
		if err := o.call(ctx, by, tasks.VerifyBackup, offsite.Timeout, spec, &v.VerifyData, sink); err != nil {
			return err
		}
		if v.Revision != m.Revision || v.Entries != m.Entries {
			return fmt.Errorf("the backup %s holds the revision %d with %d entries, and its manifest says %d with %d", name, v.Revision, v.Entries, m.Revision, m.Entries)
		}
		return nil
	})
	return v, err
}

func (o Options) open(ctx context.Context, name string, keys []age.Identity, sink report.Sink) (m backup.Manifest, p backup.Part, key backup.FileKey, by v1alpha1.Host, err error) {
	if len(keys) == 0 {
		return m, p, nil, by, action.Invalidf("the backup is encrypted: name the file with your age identity (--identity)")
	}
	data, by, err := o.target(ctx, offsite.TargetSpec{Head: name}, sink)
	if err != nil {
		return m, p, nil, by, err
	}
	at := slices.IndexFunc(data.Backups, func(m backup.Manifest) bool { return m.Name == name })
	if at < 0 {
		return m, p, nil, by, action.Invalidf("there is no backup %s at the target", name)
	}
	m = data.Backups[at]
	if p, err = m.Snapshot(); err == nil {
		key, err = backup.Unlock(data.Head, keys...)
	}
	return m, p, key, by, action.As(action.Invalid, err)
}

// Download reads a backup to a new directory of this machine, decrypted: for its owner alone. This
// machine must reach the target itself.
func Download(ctx context.Context, o Options, name, dir string, keys []age.Identity, sink report.Sink) (m backup.Manifest, err error) {
	if o.Target != nil && strings.HasPrefix(o.Target.URL, "file:") {
		return m, action.Invalidf("a folder of the hosts can't be read from here: copy it from a host")
	}
	found, _, _, _, err := o.open(ctx, name, keys, sink)
	if err != nil {
		return m, err
	}
	identity := found.Identity
	s, err := store.Open(ctx, *o.Target)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if m, err = backup.Read(ctx, s, identity, name); err != nil {
		return m, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return m, action.As(action.Invalid, err)
	}
	for _, p := range m.Parts {
		folder := backup.Folder(identity, name)
		head, err := backup.Head(ctx, s, folder, p)
		if err != nil {
			return m, err
		}
		key, err := backup.Unlock(head, keys...)
		if err == nil {
			err = fetch(ctx, s, folder, p, key, filepath.Join(dir, p.Object[:len(p.Object)-len(filepath.Ext(p.Object))]))
		}
		if err != nil {
			return m, err
		}
	}
	return m, nil
}

func fetch(ctx context.Context, s store.Store, folder string, p backup.Part, key backup.FileKey, file string) error {
	f, err := os.OpenFile(file+".partial", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = backup.Fetch(ctx, s, folder, p, key, f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(file+".partial"))
	}
	return os.Rename(file+".partial", file)
}
