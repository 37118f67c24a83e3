package v1alpha1

// OperationAddon installs addons, or removes them with all that they made.
const OperationAddon OperationType = "Addon"

// AddonAction is what is done to addons.
// +kubebuilder:validation:Enum=Install;Uninstall
type AddonAction string

// The actions.
const (
	AddonInstall   AddonAction = "Install"
	AddonUninstall AddonAction = "Uninstall"
)

// AddonSpec says what is done to which addons.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.addon can't be changed; create a new Operation"
type AddonSpec struct {
	Action AddonAction `json:"action"`
	// Addons in the order in which they are installed; they are uninstalled in
	// the order given, too.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +listType=map
	// +listMapKey=name
	Addons []AddonItem `json:"addons"`
	// DeleteObjects lets an uninstall remove a resource definition although there
	// are objects of it that the addon did not make.
	DeleteObjects bool `json:"deleteObjects,omitempty"`
}

// AddonItem is one addon. All but the name is for an installation.
type AddonItem struct {
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// +kubebuilder:validation:MaxLength=128
	Version string `json:"version,omitempty"`
	// Variants are the parts beside the addon's own that are wanted.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=set
	Variants []string `json:"variants,omitempty"`
	// For is the addon that needs this one; empty when a person asked for it.
	// +kubebuilder:validation:MaxLength=63
	For string `json:"for,omitempty"`
	// Digest is that of the packed addon, which is in a ConfigMap of ha-system.
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest,omitempty"`
}
