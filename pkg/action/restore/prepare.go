package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/offsite"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/restore"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	lookTimeout = 2 * time.Minute
	// lockWait is for an agent of an interrupted run to end.
	lockWait = 2 * time.Minute
)

// Restore is one that was looked into, and that nothing was done of yet.
type Restore struct {
	Options
	Plan  Plan
	sink  report.Sink
	looks map[string]restore.LookData
	// from is where the hosts have the snapshot from.
	from source
	// wait and end are what is done with the API of the first control plane.
	wait func(ctx context.Context, h v1alpha1.Host) error
	api  func(ctx context.Context, h v1alpha1.Host) (cluster, error)
}

// source is the snapshot: a name on a host, a file of this machine, an object at a target, or a
// member of which it is to be made.
type source struct {
	host, backup, file, member string
	object                     *restore.Spec
	sha256                     string
	bytes                      int64
}

// Prepare looks at all hosts and at the backup, and plans. It changes nothing.
func Prepare(ctx context.Context, o Options, sink report.Sink) (*Restore, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	lost, err := o.absent()
	if err != nil {
		return nil, err
	}
	r := &Restore{Options: o, sink: sink}
	r.wait, r.api = r.apiReady, r.connect
	r.Plan.Lost, r.Plan.Members = lost, o.members()
	if err := r.look(ctx); err != nil {
		return nil, err
	}
	for _, h := range o.Cluster.EtcdMembers() {
		if !slices.Contains(r.Plan.Members, h.Name) && !slices.Contains(lost, h.Name) {
			r.Plan.LeftOut = append(r.Plan.LeftOut, h.Name)
		}
	}
	r.newest()
	if err := r.find(ctx); err != nil {
		return nil, err
	}
	return r, r.judge()
}

// present are the hosts that take part.
func (r *Restore) present() (out []v1alpha1.Host) {
	for _, h := range r.Cluster.Spec.Hosts {
		if !slices.Contains(r.Plan.Lost, h.Name) {
			out = append(out, h)
		}
	}
	return out
}

func (r *Restore) call(ctx context.Context, host, task, step string, timeout time.Duration, spec, into any) error {
	res, err := bootstrap.Call(ctx, r.Hosts, host, node.Request{Cluster: r.Cluster.Metadata.Name, Identity: r.Identity, Task: task, Step: step, Timeout: timeout, LockTimeout: lockWait}, spec, report.Inner(r.sink))
	if err != nil {
		return action.OfHosts(err)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(res.Data, into); err != nil {
		// The error could quote the answer, which may be a secret.
		return fmt.Errorf("%s: the answer of %s can't be read", host, task)
	}
	return nil
}

func (r *Restore) look(ctx context.Context) error {
	r.looks = map[string]restore.LookData{}
	var mu sync.Mutex
	return action.Step(r.sink, "look", "look at "+report.Plural(len(r.present()), "host", "hosts"), func() error {
		return action.Each(r.present(), func(_ int, h v1alpha1.Host) error {
			var data restore.LookData
			if err := r.call(ctx, h.Name, tasks.LookForRestore, "look/"+h.Name, lookTimeout, restore.LookSpec{DataDir: r.Cluster.Spec.Etcd.DataDir}, &data); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			r.looks[h.Name] = data
			return nil
		})
	})
}

// newest is what the members have now, which tells what is lost.
func (r *Restore) newest() {
	r.Plan.Survivors = map[string]uint64{}
	for _, h := range r.Cluster.EtcdMembers() {
		l := r.looks[h.Name]
		if !l.HasData {
			continue
		}
		r.Plan.Survivors[h.Name] = l.Applied
		if l.Revision > r.Plan.Newest {
			r.Plan.Newest, r.Plan.NewestOf = l.Revision, h.Name
		}
	}
}

// find finds the snapshot.
func (r *Restore) find(ctx context.Context) (err error) {
	switch {
	case r.FromMember != "":
		err = r.findMember()
	case r.File != "":
		err = r.findFile(ctx)
	case r.Store != nil:
		err = r.findObject(ctx)
	default:
		err = r.findBackup()
	}
	return err
}

func (r *Restore) findMember() error {
	from := r.FromMember
	if from == AnyMember {
		from = ""
		for _, name := range sortedKeys(r.Plan.Survivors) {
			if at := r.Plan.Survivors[name]; at > 0 && (from == "" || at > r.Plan.Survivors[from]) {
				from = name
			}
		}
	}
	if _, has := r.Plan.Survivors[from]; !has {
		return action.Invalidf("no etcd member that can be reached has data to go on with")
	}
	for name, at := range r.Plan.Survivors {
		if at > r.Plan.Survivors[from] {
			r.warn("%s has applied more (%d) than %s (%d): what only it has is lost", name, at, from, r.Plan.Survivors[from])
		}
	}
	r.Plan.Source = "the data of the member on " + from
	r.Plan.Revision = r.looks[from].Revision
	r.from = source{member: from}
	return nil
}

func (r *Restore) warn(format string, args ...any) {
	r.Plan.Warnings = append(r.Plan.Warnings, fmt.Sprintf(format, args...))
}

func (r *Restore) findFile(ctx context.Context) error {
	status, err := etcd.CheckSnapshot(ctx, r.File)
	if err != nil {
		return action.As(action.Invalid, err)
	}
	info, err := os.Stat(r.File)
	if err != nil {
		return action.As(action.Invalid, err)
	}
	r.Plan.Source, r.Plan.Revision, r.Plan.Created = r.File, status.Revision, info.ModTime()
	r.from = source{file: r.File, sha256: status.SHA256, bytes: status.Bytes}
	members, err := etcd.SnapshotMembers(r.File)
	r.ofOthers(members)
	return err
}

// ofOthers warns of a snapshot none of whose members is a host of this cluster. Hosts may have got
// other names and addresses since, so that it is not refused.
func (r *Restore) ofOthers(members []etcd.Member) {
	addresses := map[string]string{}
	for _, h := range r.Cluster.Spec.Hosts {
		addresses[h.Name] = h.Address
	}
	var all []string
	for _, m := range members {
		if etcd.Owner(members, addresses, m) != "" {
			return
		}
		all = append(all, m.String())
	}
	if len(all) > 0 {
		r.warn("the snapshot is of an etcd with the members %s, of which none is a host of this cluster: make sure that it is not another cluster's", strings.Join(all, ", "))
	}
}

func (r *Restore) findBackup() error {
	for _, h := range r.present() {
		for _, b := range r.looks[h.Name].Backups {
			if b.Name != r.Backup || b.Snapshot == nil || b.Snapshot.Revision < r.Plan.Revision {
				continue
			}
			r.Plan.Source, r.Plan.Revision, r.Plan.Created = "the backup "+b.Name+" of "+h.Name, b.Snapshot.Revision, b.Created
			r.from = source{host: h.Name, backup: b.Name, sha256: b.Snapshot.SHA256, bytes: b.Snapshot.Bytes}
		}
	}
	if r.from.host != "" {
		return nil
	}
	var names []string
	for _, l := range r.looks {
		for _, b := range l.Backups {
			if b.Snapshot != nil && !slices.Contains(names, b.Name) {
				names = append(names, b.Name)
			}
		}
	}
	slices.Sort(names)
	return action.Invalidf("no host has a whole backup %s with a snapshot of etcd; there are: %s", r.Backup, strings.Join(append(names, "none")[:max(1, len(names))], ", "))
}

func (r *Restore) findObject(ctx context.Context) error {
	var errs []error
	for _, h := range r.Cluster.ControlPlanes() {
		if slices.Contains(r.Plan.Lost, h.Name) {
			continue
		}
		var data offsite.TargetData
		if err := r.call(ctx, h.Name, tasks.BackupTarget, "target/"+h.Name, lookTimeout, offsite.TargetSpec{Store: *r.Store, Head: r.Backup, Of: r.Of}, &data); err != nil {
			errs = append(errs, err)
			continue
		}
		at := slices.IndexFunc(data.Backups, func(m backup.Manifest) bool { return m.Name == r.Backup })
		if at < 0 {
			return action.Invalidf("there is no backup %s at the target", r.Backup)
		}
		m := data.Backups[at]
		part, err := m.Snapshot()
		if err != nil {
			return action.As(action.Invalid, err)
		}
		key, err := backup.Unlock(data.Head, r.Keys...)
		if err != nil {
			return action.As(action.Invalid, fmt.Errorf("the backup %s: %w", r.Backup, err))
		}
		r.Plan.Source, r.Plan.Revision, r.Plan.Created = "the backup "+m.Name+" at "+r.Store.URL, m.Revision, m.Created
		r.from = source{object: &restore.Spec{Store: r.Store, Folder: backup.Folder(data.Identity, m.Name), Part: part, Key: key}, sha256: part.SHA256, bytes: part.Bytes}
		if r.Of != "" {
			r.Plan.Source += ", of the cluster " + m.Cluster + " (" + m.Identity + ")"
			r.ofOther(m)
		}
		r.versions(m)
		return nil
	}
	return errors.Join(errs...)
}

// ofOther tells what it means when a cluster gets what another one had, such as one that is lost.
func (r *Restore) ofOther(m backup.Manifest) {
	r.warn("all that this cluster has is replaced by what the cluster %s had: its workloads start here, and its nodes that are no hosts of the Cluster file are left for you to remove (kubectl delete node)", m.Cluster)
	if want := r.Cluster.Spec.KubernetesVersion; want != "" && m.KubernetesVersion != "" && minor(m.KubernetesVersion) != minor(want) {
		r.warn("that cluster had Kubernetes %s, and this one is to have %s", m.KubernetesVersion, want)
	}
}

// versions refuses nothing: each host judges the file by its own etcd before anything is stopped.
func (r *Restore) versions(m backup.Manifest) {
	for _, name := range r.Plan.Members {
		if has := r.looks[name].EtcdVersion; has != "" && m.EtcdVersion != "" && minor(m.EtcdVersion) != minor(has) {
			r.warn("the snapshot is of etcd %s, and %s has %s", m.EtcdVersion, name, has)
		}
	}
}

func minor(version string) string {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// mixed tells of members of several versions: an upgrade of etcd is not through, and goes on
// afterwards. Each is restored by its own etcdutl.
func (r *Restore) mixed() {
	var seen, are []string
	for _, name := range r.Plan.Members {
		has := r.looks[name].EtcdVersion
		if has == "" {
			continue
		}
		if !slices.Contains(seen, minor(has)) {
			seen = append(seen, minor(has))
		}
		are = append(are, name+" has "+has)
	}
	if len(seen) > 1 {
		r.warn("an upgrade of etcd is not through (%s): run kubectl ha etcd upgrade again after the restore", strings.Join(are, ", "))
	}
}

// quota refuses a snapshot that a member would not take a write after: the API could not even start.
func (r *Restore) quota() error {
	for _, name := range r.Plan.Members {
		if may := r.looks[name].QuotaBytes; may > 0 && r.from.bytes >= may {
			return action.Invalidf("the snapshot has %s, and etcd of %s may have %s (quota-backend-bytes): it would take no more writes\nnext: write a larger one into %s there, and into spec.etcd.extraArgs of the Cluster file", report.Size(r.from.bytes), name, report.Size(may), etcdmember.ConfigPath)
		}
	}
	return nil
}

// authorities tells what a snapshot does not fit that was taken before a CA was replaced: hosts keep
// the CAs and keys that they have.
func (r *Restore) authorities() {
	for _, h := range r.planes() {
		l := r.looks[h.Name]
		if l.CAs > 1 {
			r.warn("%s is in the middle of a rotation of the CA of Kubernetes, of which the snapshot may not know: if the API still works, complete it first, or take it back (kubectl ha certs rotate-ca kubernetes)", h.Name)
			return
		}
		if !r.Plan.Created.IsZero() && l.CASince.After(r.Plan.Created) {
			r.warn("the CA of Kubernetes is of %s, after the snapshot: what the API then publishes of the former one is replaced, and tokens in Secrets that no key fits are written anew", l.CASince.UTC().Format("2006-01-02 15:04 MST"))
			return
		}
	}
}

// judge completes the plan, and refuses what can't go well.
func (r *Restore) judge() error {
	for _, name := range r.Plan.Members {
		if l := r.looks[name]; l.Name == "" || l.PeerURL == "" {
			return action.Invalidf("%s has no etcd member that is set up: run kubectl ha bootstrap on it first, or leave it out with --members", name)
		}
	}
	if err := r.quota(); err != nil {
		return err
	}
	if len(r.planes()) == 0 {
		return action.Invalidf("no control plane is left to serve the API: at least one has to be there")
	}
	if n := len(r.Plan.Members); n%2 == 0 {
		r.warn("%d members tolerate no more failures than %d; use an odd number", n, n-1)
	}
	if len(r.Plan.Lost) > 0 {
		r.warn("never start %s again as it is: its old data must not meet the restored cluster", strings.Join(r.Plan.Lost, ", "))
	}
	if r.Plan.Newest > 0 && r.Plan.Revision > 0 && r.Plan.Newest > r.Plan.Revision {
		r.warn("%s has revision %d: everything that was written after revision %d is lost", r.Plan.NewestOf, r.Plan.Newest, r.Plan.Revision)
	}
	r.authorities()
	r.mixed()
	s, err := unfinished(r.looks)
	if err != nil {
		return err
	}
	r.Plan.ID = newID(time.Now())
	if s == nil {
		return nil
	}
	if r.from.sha256 != "" && s.SHA256 != r.from.sha256 {
		return action.Invalidf("the restore %s of another snapshot is not through: go on with that, or take it back with --take-back", s.ID)
	}
	var names []string
	for _, m := range s.Members {
		names = append(names, m.Name)
	}
	for _, name := range r.Plan.Members {
		if !slices.Contains(names, r.looks[name].Name) || len(names) != len(r.Plan.Members) {
			return action.Invalidf("the restore %s is of the members %s and is not through: go on with these (--members), or take it back with --take-back", s.ID, strings.Join(names, ", "))
		}
	}
	r.Plan.ID, r.Plan.Resumes, r.Plan.Through = s.ID, true, through(r.looks, s.ID)
	if r.from.member != "" {
		// It was made already; the member's data may have been exchanged since.
		r.from = source{host: begun(r.looks)[s.ID][0], sha256: s.SHA256, bytes: s.Bytes}
	}
	return nil
}
