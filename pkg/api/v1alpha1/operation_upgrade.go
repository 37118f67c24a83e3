package v1alpha1

import (
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
	// DefaultMaxFailures is how many workers may fail. It is written into each new Operation, so
	// that a cluster that does not know the field yet refuses it and is given the current resource.
	DefaultMaxFailures = "0"
)

// UpgradeScope says which part of the cluster an Upgrade is about.
// +kubebuilder:validation:Enum="";control-plane;nodes
type UpgradeScope string

// The scopes. Nodes are the workers; what the control planes are not at yet, they
// can't be brought to.
const (
	UpgradeAll           UpgradeScope = ""
	UpgradeControlPlanes UpgradeScope = "control-plane"
	UpgradeNodes         UpgradeScope = "nodes"
)

// UpgradeSpec says what the nodes are brought to, and how gently.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.upgrade can't be changed; create a new Operation"
// +kubebuilder:validation:XValidation:rule="!has(self.drainTimeout) || duration(self.drainTimeout) > duration('0s')",message="spec.upgrade.drainTimeout is a duration of more than nothing, such as 10m"
type UpgradeSpec struct {
	// Version is that of Kubernetes: v1.36.3.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^v1\.[0-9]{1,3}\.[0-9]{1,3}(-[0-9A-Za-z.-]+)?$`
	Version string `json:"version"`
	// Only narrows it to a part of the cluster.
	Only UpgradeScope `json:"only,omitempty"`
	// MaxUnavailable is how many workers may be out at the same time, those that are not ready for
	// another reason and those that have failed among them: a number, or a percentage of the
	// workers (of a zone's, with By), rounded down but at least one. Empty: DefaultMaxUnavailable.
	// +kubebuilder:validation:Pattern=`^([1-9][0-9]{0,3}|([1-9][0-9]?|100)%)$`
	MaxUnavailable string `json:"maxUnavailable,omitempty"`
	// MaxFailures is how many workers may fail before no other one's turn begins and the
	// Operation pauses: a number, or a percentage of the workers, rounded down. Those that have
	// failed are left as they are. Empty or 0: the Operation ends at the first one. Control planes
	// may never fail.
	// +kubebuilder:validation:Pattern=`^([0-9]{1,4}|([1-9]?[0-9]|100)%)$`
	MaxFailures string `json:"maxFailures,omitempty"`
	// By is the label of nodes by whose value workers come in groups, one after the other, such
	// as topology.kubernetes.io/zone. Workers without it are a group of their own, the last one.
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`
	By string `json:"by,omitempty"`
	// DrainTimeout bounds the eviction of one node's pods, as a Go duration: 10m.
	// Empty: DefaultDrainTimeout.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(\.[0-9]{1,6})?(ms|s|m|h))+$`
	DrainTimeout string `json:"drainTimeout,omitempty"`
	// ForceDrain also evicts pods that nothing makes again elsewhere, and deletes
	// those that a budget still holds when the drain's time is up.
	ForceDrain bool `json:"forceDrain,omitempty"`
	// DeleteEmptyDirData evicts pods whose data in emptyDir volumes ends with them. Nil:
	// true, unlike kubectl drain, since the host stays and every node is drained in turn;
	// the plan names those pods.
	// +kubebuilder:default=true
	DeleteEmptyDirData *bool `json:"deleteEmptyDirData,omitempty"`
	// DrainControlPlanes drains the control planes too; their static pods stay.
	DrainControlPlanes bool `json:"drainControlPlanes,omitempty"`
	// KeepBackups is how many generations of backups each node keeps. Zero: DefaultKeepBackups.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	KeepBackups int32 `json:"keepBackups,omitempty"`
	// Ignore are checks whose findings don't keep the upgrade from being begun:
	// certificates, disk, evictions, deprecated-apis. It holds for whoever looks, the
	// workstation and the coordinator.
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:Enum=certificates;disk;evictions;deprecated-apis
	// +listType=set
	Ignore []string `json:"ignore,omitempty"`
	// RemoveFeatureGates takes the feature gates that the version has no more, or has
	// locked to another value, out of kubeadm's configuration, the kubelets' and
	// kube-proxy's, and out of the stored Cluster document.
	RemoveFeatureGates bool `json:"removeFeatureGates,omitempty"`
}

// RollbackNodeSpec says which node goes back to what.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.rollbackNode can't be changed; create a new Operation"
type RollbackNodeSpec struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node"`
	// Version is the kept one that the node goes back to: v1.36.1.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^v1\.[0-9]{1,3}\.[0-9]{1,3}(-[0-9A-Za-z.-]+)?$`
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

// Backups is KeepBackups, or the default.
func (s *UpgradeSpec) Backups() int {
	if s.KeepBackups == 0 {
		return DefaultKeepBackups
	}
	return int(s.KeepBackups)
}
