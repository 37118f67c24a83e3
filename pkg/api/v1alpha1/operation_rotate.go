package v1alpha1

// OperationRotateAuthority brings a cluster to a phase of the rotation of a CA, or of the key
// that signs tokens of service accounts.
const OperationRotateAuthority OperationType = "RotateAuthority"

// RotateAuthoritySpec says which authority is replaced by which one, and how far.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.rotateAuthority can't be changed; create a new Operation"
// +kubebuilder:validation:XValidation:rule="self.from != self.to",message="from and to are the same"
type RotateAuthoritySpec struct {
	// Authority is kubernetes, front-proxy or service-account.
	// +kubebuilder:validation:Enum=kubernetes;front-proxy;service-account
	Authority string `json:"authority"`
	// Phase is the one that the cluster is in afterwards. trust: everybody trusts both; issue:
	// everything is signed by To, and both are trusted; finish: only To is trusted.
	// +kubebuilder:validation:Enum=trust;issue;finish
	Phase string `json:"phase"`
	// From is the CA's certificate, or the public key, that is replaced, PEM; To the one that
	// replaces it. A rotation is taken back with the two exchanged.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	From string `json:"from"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	To string `json:"to"`
	// Validity is for how long certificates live that are signed, as a Go duration. Empty: as
	// long as those before.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(\.[0-9]{1,6})?(ms|s|m|h))+$`
	Validity string `json:"validity,omitempty"`
}
