package v1alpha1

// OperationRenewCertificates exchanges certificates on nodes while they are in use.
const OperationRenewCertificates OperationType = "RenewCertificates"

// RenewCertificatesSpec says which certificates of which nodes are renewed.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.renewCertificates can't be changed; create a new Operation"
type RenewCertificatesSpec struct {
	// Nodes are those that have certificates to be renewed, in the order of their turns.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=name
	Nodes []NodeCertificates `json:"nodes"`
}

// NodeCertificates are those of one node, by the names that `kubectl ha certs status` gives.
// +kubebuilder:validation:XValidation:rule="has(self.signed) || has(self.local)",message="a node has certificates to be renewed, in signed or in local"
// +kubebuilder:validation:XValidation:rule="!has(self.validity) || duration(self.validity) > duration('0s')",message="validity is a duration of more than nothing, such as 8760h"
type NodeCertificates struct {
	// Name is the node's.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Signed were signed elsewhere, and are handed over in the Operation's Secret.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Enum=etcd-server;etcd-peer;apiserver-etcd-client;apiserver;apiserver-kubelet-client;front-proxy-client;admin.conf;super-admin.conf;controller-manager.conf;scheduler.conf;kubeadm-etcd-server;kubeadm-etcd-peer;kubeadm-etcd-healthcheck-client
	// +listType=set
	Signed []string `json:"signed,omitempty"`
	// Local are signed on the node by a CA whose key is there.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z][a-z.-]{0,62}$`
	// +listType=set
	Local []string `json:"local,omitempty"`
	// Validity is for how long those live that are signed on the node, as a Go duration.
	// Empty: as long as those before.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(\.[0-9]{1,6})?(ms|s|m|h))+$`
	Validity string `json:"validity,omitempty"`
}
