package backups

import (
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// Hosts are those among some that have something to keep: control planes, then etcd members. The
// first takes the snapshot that is sent. It is pure.
func Hosts(c *v1alpha1.Cluster, among []v1alpha1.Host) (out []v1alpha1.Host) {
	for _, h := range among {
		if h.Has(v1alpha1.RoleControlPlane) {
			out = append(out, h)
		}
	}
	for _, h := range among {
		isMember := slices.ContainsFunc(c.EtcdMembers(), func(m v1alpha1.Host) bool { return m.Name == h.Name })
		if isMember && !h.Has(v1alpha1.RoleControlPlane) {
			out = append(out, h)
		}
	}
	return out
}

// Endpoints are etcd's, the host's own first. It is pure.
func Endpoints(c *v1alpha1.Cluster, own v1alpha1.Host) (out []string) {
	for _, h := range c.EtcdMembers() {
		if h.Name == own.Name {
			out = slices.Insert(out, 0, h.EtcdURL())
		} else {
			out = append(out, h.EtcdURL())
		}
	}
	return out
}

// Began are the upgrades that are not through, and when they began: what was made before them is
// the cluster as it was. One that has failed or was aborted needs its backup until a later one has
// succeeded. All Operations are given, the oldest first. It is pure.
func Began(all []v1alpha1.Operation) map[string]time.Time {
	began := map[string]time.Time{}
	for _, op := range all {
		switch {
		case op.Spec.Type != v1alpha1.OperationUpgrade:
		case op.Status.Phase == v1alpha1.OperationSucceeded:
			clear(began)
		default:
			began[op.Name] = op.CreationTimestamp.Time
		}
	}
	return began
}
