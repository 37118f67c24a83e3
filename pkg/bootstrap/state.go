package bootstrap

import (
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
)

// done tells whether a task ended well on the host at least once.
func (o HostObservation) done(task string) bool {
	if o.Facts.Ours == nil {
		return false
	}
	return slices.Contains(o.Facts.Ours.Done, task) || task == tasks.JoinNode && slices.Contains(o.Facts.Ours.Done, formerJoinNode)
}

// formerJoinNode is what tasks.JoinNode was called in the ledgers that earlier builds have written.
const formerJoinNode = "enrol"

// controlPlaneMade tells whether the host became a control plane to the end,
// by either way.
func (o HostObservation) controlPlaneMade() bool {
	return o.Facts.State.ControlPlane && (o.done(tasks.Init) || o.done(tasks.Promote))
}

// roles are what the host must be prepared for: its own, and etcd where that
// is implied.
func roles(c *v1alpha1.Cluster, h v1alpha1.Host) []v1alpha1.Role {
	out := slices.Clone(h.Roles)
	if len(out) == 0 {
		out = append(out, v1alpha1.RoleWorker)
	}
	if c.Stacked() {
		// The member is a static pod: the host needs an image, and no programs.
		return slices.DeleteFunc(out, func(r v1alpha1.Role) bool { return r == v1alpha1.RoleEtcd })
	}
	if isIn(c.EtcdMembers(), h) && !h.Has(v1alpha1.RoleEtcd) {
		out = append(out, v1alpha1.RoleEtcd)
	}
	return out
}

// clusterInUse tells whether a control plane of this cluster has a cluster CA:
// from then on an apiserver may have written into etcd.
func clusterInUse(c *v1alpha1.Cluster, o Observation) bool {
	return slices.ContainsFunc(c.ControlPlanes(), func(h v1alpha1.Host) bool {
		seen := o[h.Name]
		return seen.Facts.Ours != nil && seen.Facts.Ours.Cluster == c.Metadata.Name && seen.Facts.State.ClusterCA != ""
	})
}

// source is the control plane that the others are made from, and whether it
// must still be made. No host is special: when the first in the file was lost,
// any that runs will do; when an interrupted run began on another one, that one
// is finished, since etcd may hold what belongs to its CA.
func source(c *v1alpha1.Cluster, o Observation) (h v1alpha1.Host, made bool) {
	var best v1alpha1.Host
	for _, cp := range c.ControlPlanes() {
		seen := o[cp.Name]
		if !seen.controlPlaneMade() {
			continue
		}
		if seen.Facts.State.APIServerReady {
			return cp, true
		}
		if best.Name == "" {
			best = cp
		}
	}
	if best.Name != "" {
		return best, true
	}
	for _, cp := range c.ControlPlanes() {
		if o[cp.Name].Facts.State.ClusterCA != "" {
			return cp, false
		}
	}
	return c.First(), false
}
