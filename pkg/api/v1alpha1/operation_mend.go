package v1alpha1

// OperationMend sets right what `doctor` found and is safe to.
const OperationMend OperationType = "Mend"

// MendFix names one thing that a Mend sets right.
// +kubebuilder:validation:Enum=kube-proxy;cluster-info;coredns;uncordon
type MendFix string

// The fixes. Each looks first, and changes nothing where all is well.
const (
	// MendKubeProxy points kube-proxy at the stable endpoint, and restarts it.
	MendKubeProxy MendFix = "kube-proxy"
	// MendClusterInfo points what joining nodes go by at the stable endpoint.
	MendClusterInfo MendFix = "cluster-info"
	// MendCoreDNS gives CoreDNS a pod for each control plane, spread over nodes.
	MendCoreDNS MendFix = "coredns"
	// MendUncordon uncordons nodes that an Operation cordoned which is over.
	MendUncordon MendFix = "uncordon"
)

// MendSpec says what is set right.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.mend can't be changed; create a new Operation"
type MendSpec struct {
	// Fixes are what is set right.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=set
	Fixes []MendFix `json:"fixes"`
}
