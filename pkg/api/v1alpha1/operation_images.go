package v1alpha1

import "slices"

const (
	// OperationImages puts images into the nodes' image stores. The nodes pass
	// them to each other; the workstation sends each byte once.
	OperationImages OperationType = "Images"
	// OperationPruneImages removes images from the nodes' image stores.
	OperationPruneImages OperationType = "PruneImages"

	// DefaultPeerPort is the TCP port on which the nodes of an Images Operation
	// talk to each other.
	DefaultPeerPort = 10271
)

// ImagesSpec says which images go to which nodes.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.images can't be changed; create a new Operation"
type ImagesSpec struct {
	// Parcel identifies all that is to be distributed; who sends it has the same.
	Parcel Content `json:"parcel"`
	// Images are those in the parcel; none when it has programs alone.
	// +kubebuilder:validation:MaxItems=2000
	Images []PushedImage `json:"images"`
	// Nodes are the nodes that get images.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=set
	Nodes []string `json:"nodes"`
	// AllRoles gives every node all images, whatever role they are for.
	AllRoles bool `json:"allRoles,omitempty"`
	// MaxRate bounds what each node sends to others, in bytes per second. Zero: no bound.
	// +kubebuilder:validation:Minimum=0
	MaxRate int64 `json:"maxRate,omitempty"`
	// Port is the nodes' TCP port for each other. Zero: DefaultPeerPort.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}

// Content is some content by its digest.
type Content struct {
	// Digest is sha256:<hex>.
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest"`
	// Size in bytes.
	// +kubebuilder:validation:Minimum=1
	Size int64 `json:"size"`
}

// PushedImage is one image of an Images Operation.
type PushedImage struct {
	// Ref is the reference under which pods name it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Ref string `json:"ref"`
	// Digest is its manifest's.
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest"`
	// Size is the sum of its blobs, in bytes.
	// +kubebuilder:validation:Minimum=1
	Size int64 `json:"size"`
	// For lists the roles that need it; empty: every node.
	// +kubebuilder:validation:MaxItems=8
	For []Role `json:"for,omitempty"`
}

// PruneImagesSpec says which images are to be removed from which nodes.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.pruneImages can't be changed; create a new Operation"
type PruneImagesSpec struct {
	// Nodes with the references that go; what a container uses stays.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	// +listType=map
	// +listMapKey=name
	Nodes []NodeImages `json:"nodes"`
}

// NodeImages are references of images on one node.
type NodeImages struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Refs are the references that go.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	Refs []string `json:"refs"`
}

// PeerPort is the port, or the default.
func (s *ImagesSpec) PeerPort() int32 {
	if s.Port == 0 {
		return DefaultPeerPort
	}
	return s.Port
}

// Wants tells whether a node with these roles gets an image that is for some.
func (s *ImagesSpec) Wants(imageFor, roles []Role) bool {
	return s.AllRoles || len(imageFor) == 0 ||
		slices.ContainsFunc(imageFor, func(r Role) bool { return slices.Contains(roles, r) })
}
