package backups

import (
	"maps"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

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

// InProgress are the backups that Operations are making, by name: those that wait, that run, and that were
// paused, for however long. It is pure.
func InProgress(all []v1alpha1.Operation) (out []string) {
	for _, op := range all {
		if op.Spec.Type == v1alpha1.OperationBackup && operations.Unfinished(op) {
			out = append(out, op.Name)
		}
	}
	return out
}

// Began are the upgrades, of Kubernetes and of etcd, that are not through, and when they began: what
// was made before them is the cluster as it was. One that has failed or was aborted needs its backup
// until a later one of its kind has succeeded. All Operations are given, the oldest first. It is pure.
func Began(all []v1alpha1.Operation) map[string]time.Time {
	kinds := map[v1alpha1.OperationType]map[string]time.Time{v1alpha1.OperationUpgrade: {}, v1alpha1.OperationEtcd: {}}
	for _, op := range all {
		began := kinds[op.Spec.Type]
		switch {
		case began == nil:
		case op.Status.Phase == v1alpha1.OperationSucceeded:
			clear(began)
		default:
			began[op.Name] = op.CreationTimestamp.Time
		}
	}
	out := kinds[v1alpha1.OperationUpgrade]
	maps.Copy(out, kinds[v1alpha1.OperationEtcd])
	return out
}
