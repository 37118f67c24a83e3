// Package restore puts the etcd of a whole cluster back to a snapshot, over SSH, for a cluster whose
// API is gone. It goes on where an interrupted run has stopped, or takes it back.
package restore

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/restore"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// Hosts are the cluster's, reached over SSH.
type Hosts interface {
	transport.Runner
	DialContext(host string) func(ctx context.Context, network, address string) (net.Conn, error)
}

// Options say what is restored, and from where. One of Backup, File and FromMember is set.
type Options struct {
	Cluster *v1alpha1.Cluster
	Hosts   Hosts
	// Failed are the hosts that can't be logged in to, and why.
	Failed map[string]error
	// Identity is the cluster's, when it is known on this machine (ADR 27); hosts of another one refuse.
	Identity string
	// Backup is the name of one on the hosts, or with Store of one at that target.
	Backup string
	Store  *store.Config
	// Of is the cluster whose backup at the target that is, by its name or identity; empty: this one.
	Of string
	// Keys open what is at the target. They stay on this machine.
	Keys []age.Identity
	// File is a snapshot on this machine.
	File string
	// FromMember is the host of a surviving member whose data is taken, or AnyMember.
	FromMember string
	// Members are the hosts of the members that are restored. Empty: all of the Cluster.
	Members []string
	// Lost are further hosts that are gone for ever: their nodes are removed.
	Lost []string
}

// AnyMember is the surviving member that has applied most.
const AnyMember = "any"

// Plan is what a restore is going to do, to be shown before it begins.
type Plan struct {
	// ID is the restore's; the data that is put aside has it in its name.
	ID string `json:"id"`
	// Resumes: an interrupted run of this restore goes on.
	Resumes bool `json:"resumes,omitempty"`
	// Through: all was done but that some hosts do not know it yet, and only that is.
	Through bool `json:"through,omitempty"`
	// Source says what is restored, for people.
	Source string `json:"source"`
	// Revision of the snapshot, and when it was taken; zero when they are told only once it is made.
	Revision int64     `json:"revision,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	// Newest is the highest revision that a member has now, and NewestOf whose; zero when no member
	// tells. What lies between Revision and Newest is lost.
	Newest   int64  `json:"newest,omitempty"`
	NewestOf string `json:"newestOf,omitempty"`
	// Survivors are the hosts with data, with the index of what each has applied; zero when it
	// can't be told.
	Survivors map[string]uint64 `json:"survivors,omitempty"`
	// Members are restored, LeftOut have their data put aside, Lost can't be reached and must
	// never come back as they are.
	Members []string `json:"members"`
	LeftOut []string `json:"leftOut,omitempty"`
	Lost    []string `json:"lost,omitempty"`
	// Warnings are what somebody has to know who says yes.
	Warnings []string `json:"warnings,omitempty"`
}

// Result is what was done.
type Result struct {
	Plan
	// Ended are the Operations of the snapshot that were not through.
	Ended []string `json:"ended,omitempty"`
	// Removed are the nodes of hosts that are lost, NotReady those that have not come back, Cordoned
	// those that an interrupted Operation has left so.
	Removed  []string `json:"removed,omitempty"`
	NotReady []string `json:"notReady,omitempty"`
	Cordoned []string `json:"cordoned,omitempty"`
	// Settled is what of the snapshot's CAs and tokens was brought to those that are in use.
	Settled certs.Settled `json:"settled,omitzero"`
}

func (o Options) check() error {
	sources := 0
	for _, s := range []string{o.Backup, o.File, o.FromMember} {
		if s != "" {
			sources++
		}
	}
	switch {
	case o.Cluster.Stacked():
		return action.Invalidf("%s", "etcd restore is for members under systemd, and these are static pods of kubeadm's (spec.etcd.topology is stacked). "+
			"Nothing was changed; docs/disaster-recovery.md (Stacked etcd) says how a snapshot is restored there by hand")
	case sources != 1:
		return action.Invalidf("name one backup, one file, or --from-member")
	case o.Store != nil && o.Backup == "":
		return action.Invalidf("name the backup at the target")
	case o.Of != "" && o.Store == nil:
		return action.Invalidf("--of-cluster is of backups at a target: name it with --from")
	case o.Store != nil && len(o.Keys) == 0:
		return action.Invalidf("what is at the target is encrypted: name the file with your age identity (--identity)")
	}
	all := o.Cluster.EtcdMembers()
	for i, name := range o.Members {
		if slices.Contains(o.Members[:i], name) {
			return action.Invalidf("--members: %s is named twice", name)
		}
		if !slices.ContainsFunc(all, func(h v1alpha1.Host) bool { return h.Name == name }) {
			return action.Invalidf("--members: %s is no etcd member of the Cluster file", name)
		}
	}
	for _, name := range o.Lost {
		if _, ok := o.Cluster.Host(name); !ok {
			return action.Invalidf("--lost: there is no host %s in the Cluster file", name)
		}
		if slices.Contains(o.members(), name) {
			return action.Invalidf("--lost: %s is a member that is to be restored; name the others with --members", name)
		}
	}
	if from := o.FromMember; from != "" && from != AnyMember && !slices.ContainsFunc(all, func(h v1alpha1.Host) bool { return h.Name == from }) {
		return action.Invalidf("--from-member: %s is no etcd member of the Cluster file", from)
	}
	return nil
}

// members are the hosts that are restored.
func (o Options) members() []string {
	if len(o.Members) > 0 {
		return o.Members
	}
	var out []string
	for _, h := range o.Cluster.EtcdMembers() {
		out = append(out, h.Name)
	}
	return out
}

// absent are the hosts without which the restore goes on: those that are lost, and members that
// are left out and can't be reached.
func (o Options) absent() (lost []string, err error) {
	var errs []error
	for _, h := range o.Cluster.Spec.Hosts {
		why := o.Failed[h.Name]
		member := o.Cluster.IsMember(h.Name)
		switch {
		case slices.Contains(o.Lost, h.Name):
			lost = append(lost, h.Name)
		case why == nil:
		case slices.Contains(o.members(), h.Name):
			errs = append(errs, action.As(action.Unreachable, errors.Join(why, errors.New("its etcd member is to be restored: make it reachable, or leave it out with --members if it is gone for ever"))))
		case member:
			lost = append(lost, h.Name)
		default:
			errs = append(errs, action.As(action.Unreachable, errors.Join(why, errors.New("make it reachable, or say that it is gone for ever: --lost "+h.Name))))
		}
	}
	return lost, errors.Join(errs...)
}

// newID is one that no earlier restore has.
func newID(now time.Time) string { return "restore-" + now.UTC().Format("20060102-150405") }

// begun are the restores that were begun and are not through, by their IDs, each with the hosts that
// say so.
func begun(looks map[string]restore.LookData) map[string][]string {
	out := map[string][]string{}
	for _, name := range sortedKeys(looks) {
		if s := looks[name].State; s != nil && !s.Finished {
			out[s.ID] = append(out[s.ID], name)
		}
	}
	return out
}

// unfinished is the restore that was begun and is not through; nil when there is none. Two are an
// error.
func unfinished(looks map[string]restore.LookData) (*restore.State, error) {
	all := begun(looks)
	ids := sortedKeys(all)
	switch len(ids) {
	case 0:
		return nil, nil
	case 1:
		return looks[all[ids[0]][0]].State, nil
	}
	return nil, action.Invalidf("the hosts are in different restores, %s: take back with --take-back what was only prepared of them", strings.Join(ids, " and "))
}

// through tells whether a restore is, and only not noted on all hosts: that is its last step.
func through(looks map[string]restore.LookData, id string) bool {
	for _, l := range looks {
		if l.State != nil && l.State.ID == id && l.State.Finished {
			return true
		}
	}
	return false
}

func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, strings.Compare)
	return out
}

// KnownIdentity is the cluster's, when it is known on this machine; else empty.
func KnownIdentity(ctx context.Context, stateDir string, c *v1alpha1.Cluster) (string, error) {
	in, err := bootstrap.LocalInputs(ctx, stateDir, c)
	return in.Identity, err
}
