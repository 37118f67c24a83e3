package v1alpha1

// OperationConvert gives a cluster whose endpoint others keep a virtual IP that kubectl-ha keeps,
// and has everything in the cluster use that; or it has everything use the former endpoint again.
const OperationConvert OperationType = "Convert"

// ConvertSpec says which endpoint a cluster is to have.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.convert can't be changed; create a new Operation"
type ConvertSpec struct {
	// VirtualIP is the address that is to be the endpoint's, at the apiservers' port; with Back
	// the one that is not to be used any more.
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=45
	VirtualIP string `json:"virtualIP"`
	// Interface is where keepalived puts it. Default: on each host the interface that has the host's address.
	// +kubebuilder:validation:MaxLength=15
	Interface string `json:"interface,omitempty"`
	// RouterID is the VRRP router id. Default: derived from the cluster's name and the virtual IP.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=255
	RouterID int32 `json:"routerID,omitempty"`
	// Back has everything use the former endpoint again, and takes the virtual IP away.
	Back bool `json:"back,omitempty"`
}
