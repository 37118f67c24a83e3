package v1alpha1

import (
	"time"
)

const (
	// OperationAddNode makes full members of hosts that are joined: control planes
	// are promoted, and everybody learns of them.
	OperationAddNode OperationType = "AddNode"
	// OperationRemoveNode takes a host out of the cluster for good.
	OperationRemoveNode OperationType = "RemoveNode"
)

// AddNodeSpec says which hosts of the stored Cluster document are new.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.addNode can't be changed; create a new Operation"
type AddNodeSpec struct {
	// Nodes are the names of those hosts.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=set
	Nodes []string `json:"nodes"`
}

// RemoveNodeSpec says which host leaves, and how gently; or which member of etcd that no
// host has any more.
// +kubebuilder:validation:XValidation:rule="has(self.node) != has(self.etcdMember)",message="either spec.removeNode.node or spec.removeNode.etcdMember is required"
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.removeNode can't be changed; create a new Operation"
// +kubebuilder:validation:XValidation:rule="!has(self.drainTimeout) || duration(self.drainTimeout) > duration('0s')",message="spec.removeNode.drainTimeout is a duration of more than nothing, such as 10m"
type RemoveNodeSpec struct {
	// Node is the host that leaves; empty when EtcdMember is set.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node,omitempty"`
	// EtcdMember is a member of etcd that is no host's, by its peer URL, address, name or
	// ID: one that was added for a host which then was lost. All else is empty then.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=300
	EtcdMember string `json:"etcdMember,omitempty"`
	// Address is the host's, so that what is left to do is known once the stored
	// Cluster document has it no more.
	// +kubebuilder:validation:MaxLength=64
	Address string `json:"address,omitempty"`
	// DrainTimeout bounds the eviction of its pods, as a Go duration: 10m. Empty:
	// DefaultDrainTimeout.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(\.[0-9]{1,6})?(ms|s|m|h))+$`
	DrainTimeout string `json:"drainTimeout,omitempty"`
	// ForceDrain also evicts pods that nothing makes again elsewhere, and deletes
	// those that a budget still holds when the drain's time is up.
	ForceDrain bool `json:"forceDrain,omitempty"`
	// DeleteEmptyDirData allows to evict pods whose data is on this host alone.
	DeleteEmptyDirData bool `json:"deleteEmptyDirData,omitempty"`
	// Fenced says that a host whose kubelet is silent was cut off for good, whatever still
	// seems to answer at its address: it is taken for lost.
	Fenced bool `json:"fenced,omitempty"`
}

// DrainTime is DrainTimeout, or the default when it is empty or no duration; the API
// server admits durations only.
func (s *RemoveNodeSpec) DrainTime() time.Duration {
	if d, err := time.ParseDuration(s.DrainTimeout); err == nil && d > 0 {
		return d
	}
	return DefaultDrainTimeout
}
