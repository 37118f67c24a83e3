package v1alpha1

import "slices"

// OperationAddon installs addons, or removes them with all that they made.
const OperationAddon OperationType = "Addon"

// AddonAction is what is done to addons.
type AddonAction string

// The actions.
const (
	AddonInstall   AddonAction = "Install"
	AddonUninstall AddonAction = "Uninstall"
)

// AddonSpec says what is done to which addons.
type AddonSpec struct {
	Action AddonAction `json:"action"`
	// Addons in the order in which they are installed; they are uninstalled in
	// the order given, too.
	Addons []AddonItem `json:"addons"`
	// DeleteObjects lets an uninstall remove a resource definition although there
	// are objects of it that the addon did not make.
	DeleteObjects bool `json:"deleteObjects,omitempty"`
}

// AddonItem is one addon. All but the name is for an installation.
type AddonItem struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	// Variants are the parts beside the addon's own that are wanted.
	Variants []string `json:"variants,omitempty"`
	// For is the addon that needs this one; empty when a person asked for it.
	For string `json:"for,omitempty"`
	// Digest is that of the packed addon, which is in a ConfigMap of ha-system.
	Digest string `json:"digest,omitempty"`
}

// DeepCopyInto copies everything into out; they share nothing.
func (in *AddonSpec) DeepCopyInto(out *AddonSpec) {
	*out = *in
	out.Addons = slices.Clone(in.Addons)
	for i := range out.Addons {
		out.Addons[i].Variants = slices.Clone(in.Addons[i].Variants)
	}
}
