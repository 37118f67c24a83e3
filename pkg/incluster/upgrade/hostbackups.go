package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/job"
)

const (
	// askTimeout bounds the reading of all backups on one host.
	askTimeout = 15 * time.Minute
)

// HostBackups asks the control planes and the etcd members that are nodes for the backups
// on their disks, by a read-only Job each, which reads every file and compares its
// digest. The newest come first; what is broken says so. A host that could not be asked
// is in the error, beside what the others have told.
func HostBackups(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster, agents v1alpha1.Agents) ([]Backup, error) {
	hosts := backedUpHosts(c)
	found, failed := make([][]Backup, len(hosts)), make([]error, len(hosts))
	run := "backups-" + rand.String(5)
	var all sync.WaitGroup
	for i, h := range hosts {
		all.Go(func() {
			data, err := askBackups(ctx, kube, engine.JobName(run, h.Name, 1), agents, h.Name)
			if err != nil {
				failed[i] = fmt.Errorf("%s: %w", h.Name, err)
				return
			}
			found[i] = OnHost(h.Name, data)
		})
	}
	all.Wait()
	out := slices.Concat(found...)
	slices.SortStableFunc(out, func(a, b Backup) int { return b.Made.Compare(a.Made) })
	return out, errors.Join(failed...)
}

// backedUpHosts are the nodes that an upgrade of the control planes backs up.
func backedUpHosts(c *v1alpha1.Cluster) []v1alpha1.Host {
	return slices.DeleteFunc(c.Nodes(), func(h v1alpha1.Host) bool {
		etcd := c.IsMember(h.Name)
		return !etcd && !h.Has(v1alpha1.RoleControlPlane)
	})
}

func askBackups(ctx context.Context, kube kubernetes.Interface, name string, agents v1alpha1.Agents, host string) (data backup.ListData, err error) {
	spec, err := json.Marshal(backup.ListSpec{Verify: true})
	if err != nil {
		return data, err
	}
	result, err := job.Runner{Kube: kube, Name: name, Agents: agents, LostAfter: time.Minute}.Once(ctx, host,
		node.Request{Task: tasks.ListBackups, Timeout: askTimeout, Spec: spec}, report.Discard())
	if err != nil {
		return data, err
	}
	if result.Failure != nil {
		return data, result.Failure
	}
	if err := json.Unmarshal(result.Data, &data); err != nil {
		return data, fmt.Errorf("what it says of its backups can't be read: %w", err)
	}
	return data, nil
}

// OnHost says in a line each what is on a host.
func OnHost(host string, data backup.ListData) []Backup {
	var out []Backup
	for _, b := range data.Backups {
		out = append(out, Backup{Name: b.Name, Node: host, Made: b.Created, What: b.Content()})
	}
	for _, name := range slices.Sorted(maps.Keys(data.Broken)) {
		out = append(out, Backup{Name: name, Node: host, What: "NOT whole, of no use: " + data.Broken[name]})
	}
	return out
}
