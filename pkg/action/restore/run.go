package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/offsite"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/restore"
)

const (
	stageTimeout = 45 * time.Minute
	stepTimeout  = 10 * time.Minute
	etcdTimeout  = 5 * time.Minute
)

// Run carries the restore out. An error says how to go on: the same command does what is left, and
// TakeBack goes back to what was there before.
func (r *Restore) Run(ctx context.Context) (Result, error) {
	result := Result{Plan: r.Plan}
	members, planes := r.hosts(r.Plan.Members), r.planes()
	release := func() {}
	defer func() { release() }()
	steps := []step{
		// Until the end of the second nothing of the cluster was touched, but by a salvage.
		{"bring the snapshot to " + strings.Join(r.Plan.Members, ", "), func() error { return r.distribute(ctx, members) }},
		{"restore it beside the data in use", func() error { return r.each(ctx, members, restore.Stage, stageTimeout) }},
		{"stop the apiservers", func() error { return r.each(ctx, planes, restore.StopAPI, stepTimeout) }},
		// The next only begins when this is through on all: a member with the old data must not
		// meet one with the new.
		{"put the data of etcd aside", func() error {
			return errors.Join(r.each(ctx, r.hosts(r.Plan.LeftOut), restore.Aside, stepTimeout), r.each(ctx, members, restore.Swap, stepTimeout))
		}},
		{"start etcd", func() error {
			if err := r.each(ctx, members, restore.Start, stepTimeout); err != nil {
				return err
			}
			return r.healthy(ctx)
		}},
		{"start the apiserver of " + planes[0].Name, func() error {
			if err := r.each(ctx, planes[:1], restore.ServeAPI, stepTimeout); err != nil {
				return err
			}
			return r.wait(ctx, planes[0])
		}},
		{"end what the snapshot believes in", func() error {
			c, err := r.api(ctx, planes[0])
			if err != nil {
				return err
			}
			if result.Ended, result.Removed, err = c.end(ctx, r.Plan.Lost); err != nil {
				return err
			}
			// From now on others could begin, and hosts are changed until the end.
			if release, err = c.hold(ctx, r.Plan.ID, r.sink); err != nil {
				return err
			}
			result.Settled = c.settle(ctx)
			return nil
		}},
		{"start the rest", func() error {
			// This one, whose apiserver runs, comes first: the others may not find theirs at once.
			return errors.Join(r.each(ctx, planes, restore.Serve, stepTimeout), r.each(ctx, r.others(), restore.Serve, stepTimeout))
		}},
		{"check the cluster", func() error { return r.checked(ctx, planes, &result) }},
		{"note that the restore is through", func() error { return r.each(ctx, r.present(), restore.Finish, stepTimeout) }},
	}
	if r.Plan.Through {
		steps = steps[len(steps)-1:] // The cluster is in use again: nothing of it is stopped, or ended, once more.
	}
	return result, r.carryOut(ctx, "restore/", steps)
}

// step is one of a restore, on all hosts that it is about.
type step struct {
	title string
	do    func() error
}

func (r *Restore) carryOut(ctx context.Context, prefix string, steps []step) error {
	for _, s := range steps {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := action.Step(r.sink, prefix+s.title, s.title, s.do); err != nil {
			return action.OfRun(err)
		}
	}
	return nil
}

func (r *Restore) hosts(names []string) (out []v1alpha1.Host) {
	for _, h := range r.present() {
		if slices.Contains(names, h.Name) {
			out = append(out, h)
		}
	}
	return out
}

// planes are the control planes that take part.
func (r *Restore) planes() (out []v1alpha1.Host) {
	for _, h := range r.present() {
		if h.Has(v1alpha1.RoleControlPlane) {
			out = append(out, h)
		}
	}
	return out
}

// others are the nodes that are no control planes.
func (r *Restore) others() (out []v1alpha1.Host) {
	for _, h := range r.present() {
		if h.Has(v1alpha1.RoleWorker) && !h.Has(v1alpha1.RoleControlPlane) {
			out = append(out, h)
		}
	}
	return out
}

func (r *Restore) each(ctx context.Context, hosts []v1alpha1.Host, a restore.Action, timeout time.Duration) error {
	return action.Each(hosts, func(_ int, h v1alpha1.Host) error {
		_, err := r.step(ctx, h, a, timeout, r.spec(h))
		return err
	})
}

// spec is what all steps on a host are told.
func (r *Restore) spec(h v1alpha1.Host) restore.Spec {
	s := restore.Spec{ID: r.Plan.ID, DataDir: r.Cluster.Spec.Etcd.DataDir, Name: r.looks[h.Name].Name, SHA256: r.from.sha256, Bytes: r.from.bytes,
		APIAddress: net.JoinHostPort(h.Address, strconv.Itoa(int(r.Cluster.Spec.APIServerPort)))}
	for _, name := range r.Plan.Members {
		s.Members = append(s.Members, restore.Member{Name: r.looks[name].Name, PeerURL: r.looks[name].PeerURL})
	}
	return s
}

func (r *Restore) step(ctx context.Context, h v1alpha1.Host, a restore.Action, timeout time.Duration, spec restore.Spec) (restore.Data, error) {
	spec.Action = a
	var data restore.Data
	err := r.call(ctx, h.Name, tasks.Restore, "restore-"+string(a)+"/"+h.Name, timeout, spec, &data)
	return data, err
}

// distribute brings the snapshot to all members. What is there already is not sent again.
func (r *Restore) distribute(ctx context.Context, members []v1alpha1.Host) error {
	if name := r.from.member; name != "" {
		h, _ := r.Cluster.Host(name)
		// Nobody may write meanwhile, or it would be lost.
		if err := r.each(ctx, r.planes(), restore.StopAPI, stepTimeout); err != nil {
			return err
		}
		data, err := r.step(ctx, h, restore.Salvage, stageTimeout, r.spec(h))
		if err != nil {
			return err
		}
		if data.Snapshot == nil {
			return fmt.Errorf("%s: it says nothing of the snapshot that it has made", name)
		}
		r.from = source{host: name, sha256: data.Snapshot.SHA256, bytes: data.Snapshot.Bytes}
		action.Tell(r.sink, "%s: a snapshot at revision %d", name, data.Snapshot.Revision)
	}
	return action.Each(members, func(_ int, h v1alpha1.Host) error {
		spec := r.spec(h)
		switch {
		case r.from.object != nil:
			spec.Store, spec.Folder, spec.Part, spec.Key = r.from.object.Store, r.from.object.Folder, r.from.object.Part, r.from.object.Key
			_, err := r.step(ctx, h, restore.Fetch, offsite.Timeout, spec)
			return err
		case r.from.host == h.Name && r.from.backup != "":
			spec.Backup = r.from.backup
			_, err := r.step(ctx, h, restore.Fetch, stageTimeout, spec)
			return err
		case r.from.host == h.Name:
			return nil
		}
		return r.feed(ctx, h, spec)
	})
}

// feed sends the snapshot piece by piece, from where an interrupted run has stopped: no more than
// one piece is in memory.
func (r *Restore) feed(ctx context.Context, h v1alpha1.Host, spec restore.Spec) error {
	read, done, err := r.reader()
	if err != nil {
		return err
	}
	defer done()
	have, err := r.step(ctx, h, restore.Receive, stepTimeout, spec)
	for err == nil && have.Have < r.from.bytes && !have.Already {
		if spec.Data, err = read(ctx, have.Have); err != nil {
			break
		}
		if len(spec.Data) == 0 {
			return fmt.Errorf("%s ends after %d of %d bytes", r.Plan.Source, have.Have, r.from.bytes)
		}
		spec.Offset = have.Have
		have, err = r.step(ctx, h, restore.Receive, stepTimeout, spec)
	}
	return err
}

// reader reads pieces of the snapshot, of this machine's file or through its host's session.
func (r *Restore) reader() (read func(ctx context.Context, offset int64) ([]byte, error), done func(), err error) {
	if r.from.file == "" {
		return func(ctx context.Context, offset int64) ([]byte, error) {
			var data restore.ReadData
			err := r.call(ctx, r.from.host, tasks.ReadSnapshot, "read/"+r.from.host, stepTimeout, restore.ReadSpec{Backup: r.from.backup, Offset: offset}, &data)
			return data.Data, err
		}, func() {}, nil
	}
	f, err := os.Open(r.from.file)
	if err != nil {
		return nil, nil, err
	}
	buffer := make([]byte, restore.ChunkBytes)
	return func(_ context.Context, offset int64) ([]byte, error) {
		n, err := f.ReadAt(buffer, offset)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return buffer[:n], err
	}, func() { _ = f.Close() }, nil // it was only read
}

// healthy waits until all restored members have found each other.
func (r *Restore) healthy(ctx context.Context) error {
	var endpoints []string
	for _, h := range r.hosts(r.Plan.Members) {
		endpoints = append(endpoints, h.EtcdURL())
	}
	first := r.Plan.Members[0]
	var id taskbackup.IdentityData
	if err := r.call(ctx, first, tasks.EtcdIdentity, "etcd-identity/"+first, lookTimeout, taskbackup.IdentitySpec{}, &id); err != nil {
		return err
	}
	return r.call(ctx, first, tasks.EtcdHealth, "etcd-health/"+first, etcdTimeout, etcdmember.HealthSpec{Endpoints: endpoints, CA: id.CA, Cert: id.Cert, Key: id.Key}, nil)
}
