package members

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdcare"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
)

const (
	// lockTimeout is for a task on a host that was thought lost and is not.
	lockTimeout = 5 * time.Minute
	fitTimeout  = 2 * time.Minute
)

// About is the host that a step's ID names last; empty for none.
func About(id string) string {
	parts := strings.Split(id, "/")
	return parts[len(parts)-1]
}

// Backups says what a change makes of the backups on the hosts.
type Backups struct {
	// Name is that of its own.
	Name string
	// Protect are those that stay besides those that are kept anyway.
	Protect []string
	// Hold has each host remember that its own is of before a change that is not through, for a seat
	// of which no Operation tells; Release ends that.
	Hold, Release bool
}

// Request is the request of a step's task. It is pure.
func Request(s v1alpha1.StepStatus, spec *v1alpha1.EtcdSpec, c *v1alpha1.Cluster, b Backups) (node.Request, error) {
	kind, rest, _ := strings.Cut(s.ID, "/")
	version, _, _ := strings.Cut(rest, "/")
	down := spec.Change == v1alpha1.EtcdDowngrade
	// Settings may be the larger quota that a full etcd needs.
	mayBeFull := spec.Change == v1alpha1.EtcdApply
	switch kind {
	case StepWell:
		return gate(c, etcdcare.GateSpec{MayBeFull: mayBeFull})
	case StepMay:
		r, err := gate(c, etcdcare.GateSpec{Target: version, Downgrade: down, SnapshotCount: snapshotCount(c)})
		r.Timeout = etcdcare.MayTimeout
		return r, err
	case StepGate:
		return gate(c, etcdcare.GateSpec{MayBeFull: mayBeFull})
	case StepSettled:
		return gate(c, etcdcare.GateSpec{Settled: version})
	case StepFit:
		return request(tasks.EtcdFit, fitTimeout, etcdmember.FitSpec{Versions: spec.Versions})
	case StepBackup:
		return request(tasks.Backup, backup.Timeout, backup.Spec{Operation: b.Name, Endpoints: ownFirst(c, s.Node), Keep: int(spec.KeepBackups), Protect: b.Protect, Hold: b.Hold, For: strings.TrimSpace(string(spec.Change) + " " + strings.Join(spec.Versions, " ")), Release: b.Release})
	case StepLower:
		return request(tasks.EtcdDowngrade, etcdcare.DowngradeTimeout, etcdcare.DowngradeSpec{Endpoints: c.EtcdEndpoints(), Version: version})
	}
	h, ok := c.Host(About(s.ID))
	if !ok {
		return node.Request{}, fmt.Errorf("the stored Cluster document has no host %s", About(s.ID))
	}
	switch kind {
	case StepMember:
		return request(tasks.EtcdUpgrade, etcdmember.UpgradeTimeout, etcdmember.UpgradeSpec{Version: version, Name: h.Name, Address: h.Address, Members: addresses(c)})
	case StepApply:
		return request(tasks.EtcdSettings, etcdmember.UpgradeTimeout, etcdmember.SettingsSpec{Name: h.Name, Address: h.Address, Members: addresses(c), Args: c.Spec.Etcd.ExtraArgs})
	}
	return node.Request{}, fmt.Errorf("there is no task for the step %s", s.ID)
}

// snapshotCount is what the members were told, zero for etcd's default.
func snapshotCount(c *v1alpha1.Cluster) uint64 {
	// What is no number etcd would not have started with.
	n, _ := strconv.ParseUint(c.Spec.Etcd.ExtraArgs["snapshot-count"], 10, 64)
	return n
}

// gate asks for every apiserver too.
func gate(c *v1alpha1.Cluster, spec etcdcare.GateSpec) (node.Request, error) {
	spec.Endpoints = c.EtcdEndpoints()
	for _, h := range c.ControlPlanes() {
		spec.APIServers = append(spec.APIServers, c.APIServerAddress(h.Address))
	}
	return request(tasks.EtcdGate, etcdcare.GateTimeout, spec)
}

func request(task string, timeout time.Duration, spec any) (node.Request, error) {
	r, err := node.NewRequest(task, timeout, spec)
	r.LockTimeout = lockTimeout
	return r, err
}

// addresses maps the members' names to addresses.
func addresses(c *v1alpha1.Cluster) map[string]string {
	out := map[string]string{}
	for _, m := range c.EtcdMembers() {
		out[m.Name] = m.Address
	}
	return out
}

// ownFirst are the endpoints with a host's own first: it gives the snapshot when it is well.
func ownFirst(c *v1alpha1.Cluster, host string) []string {
	var own, rest []string
	for i, m := range c.EtcdMembers() {
		if url := c.EtcdEndpoints()[i]; m.Name == host {
			own = append(own, url)
		} else {
			rest = append(rest, url)
		}
	}
	return append(own, rest...)
}
