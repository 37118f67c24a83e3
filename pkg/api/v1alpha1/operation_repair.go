package v1alpha1

// OperationRepair sets right what `doctor` found and is safe to.
const OperationRepair OperationType = "Repair"

// RepairFix names one thing that a Repair sets right.
// +kubebuilder:validation:Enum=kube-proxy;cluster-info;coredns;uncordon
type RepairFix string

// The fixes. Each looks first, and changes nothing where all is well.
const (
	// RepairKubeProxy points kube-proxy at the stable endpoint, and restarts it.
	RepairKubeProxy RepairFix = "kube-proxy"
	// RepairClusterInfo points what joining nodes go by at the stable endpoint.
	RepairClusterInfo RepairFix = "cluster-info"
	// RepairCoreDNS gives CoreDNS a pod for each control plane, spread over nodes.
	RepairCoreDNS RepairFix = "coredns"
	// RepairUncordon uncordons nodes that an Operation cordoned which is over.
	RepairUncordon RepairFix = "uncordon"
)

// RepairSpec says what is set right.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.repair can't be changed; create a new Operation"
type RepairSpec struct {
	// Fixes are what is set right.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=set
	Fixes []RepairFix `json:"fixes"`
}
