package v1alpha1

import (
	"slices"
	"time"
)

const (
	// OperationUpgrade brings the nodes to another version of Kubernetes, one
	// control plane after the other, then the workers.
	OperationUpgrade OperationType = "Upgrade"
	// OperationRollbackNode puts the binaries and manifests back that an Upgrade
	// kept on one node.
	OperationRollbackNode OperationType = "RollbackNode"

	// DefaultDrainTimeout is how long the pods of one node may take to leave it.
	DefaultDrainTimeout = 10 * time.Minute
	// DefaultKeepBackups is how many generations of backups a node keeps.
	DefaultKeepBackups = 3
	// DefaultMaxUnavailable is how many workers are upgraded at the same time.
	DefaultMaxUnavailable = "1"
)

// UpgradeScope says which part of the cluster an Upgrade is about.
type UpgradeScope string

// The scopes. Nodes are the workers; what the control planes are not at yet, they
// can't be brought to.
const (
	UpgradeAll           UpgradeScope = ""
	UpgradeControlPlanes UpgradeScope = "control-plane"
	UpgradeNodes         UpgradeScope = "nodes"
)

// UpgradeSpec says what the nodes are brought to, and how gently.
type UpgradeSpec struct {
	// Version is that of Kubernetes: v1.36.3.
	Version string `json:"version"`
	// Only narrows it to a part of the cluster.
	Only UpgradeScope `json:"only,omitempty"`
	// MaxUnavailable is how many workers are out at the same time: a number, or a
	// percentage of the workers, rounded down but at least one. Empty: DefaultMaxUnavailable.
	MaxUnavailable string `json:"maxUnavailable,omitempty"`
	// DrainTimeout bounds the eviction of one node's pods, as a Go duration: 10m.
	// Empty: DefaultDrainTimeout.
	DrainTimeout string `json:"drainTimeout,omitempty"`
	// ForceDrain also evicts pods that nothing makes again elsewhere, and deletes
	// those that a budget still holds when the drain's time is up.
	ForceDrain bool `json:"forceDrain,omitempty"`
	// DeleteEmptyDirData evicts pods whose data in emptyDir volumes ends with them. Nil:
	// true, unlike kubectl drain, since the host stays and every node is drained in turn;
	// the plan names those pods.
	DeleteEmptyDirData *bool `json:"deleteEmptyDirData,omitempty"`
	// DrainControlPlanes drains the control planes too; their static pods stay.
	DrainControlPlanes bool `json:"drainControlPlanes,omitempty"`
	// KeepBackups is how many generations of backups each node keeps. Zero: DefaultKeepBackups.
	KeepBackups int32 `json:"keepBackups,omitempty"`
	// Ignore are checks whose findings don't keep the upgrade from being begun:
	// certificates, disk, evictions, deprecated-apis. It holds for whoever looks, the
	// workstation and the coordinator.
	Ignore []string `json:"ignore,omitempty"`
	// RemoveFeatureGates takes the feature gates that the version has no more, or has
	// locked to another value, out of kubeadm's configuration, the kubelets' and
	// kube-proxy's, and out of the stored Cluster document.
	RemoveFeatureGates bool `json:"removeFeatureGates,omitempty"`
}

// RollbackNodeSpec says which node goes back to what.
type RollbackNodeSpec struct {
	Node string `json:"node"`
	// Version is the kept one that the node goes back to: v1.36.1.
	Version string `json:"version"`
}

// DrainTime is DrainTimeout, or the default when it is empty or no duration; the API
// server admits durations only.
func (s *UpgradeSpec) DrainTime() time.Duration {
	if d, err := time.ParseDuration(s.DrainTimeout); err == nil && d > 0 {
		return d
	}
	return DefaultDrainTimeout
}

// DeletesEmptyDirData is DeleteEmptyDirData, or the default.
func (s *UpgradeSpec) DeletesEmptyDirData() bool {
	return s.DeleteEmptyDirData == nil || *s.DeleteEmptyDirData
}

// DeepCopyInto copies everything into out; they share nothing.
func (s *UpgradeSpec) DeepCopyInto(out *UpgradeSpec) {
	*out = *s
	if s.DeleteEmptyDirData != nil {
		yes := *s.DeleteEmptyDirData
		out.DeleteEmptyDirData = &yes
	}
	out.Ignore = slices.Clone(s.Ignore)
}

// Backups is KeepBackups, or the default.
func (s *UpgradeSpec) Backups() int {
	if s.KeepBackups == 0 {
		return DefaultKeepBackups
	}
	return int(s.KeepBackups)
}
