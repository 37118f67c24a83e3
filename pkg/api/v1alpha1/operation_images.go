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
type ImagesSpec struct {
	// Parcel identifies all that is to be distributed; who sends it has the same.
	Parcel Content `json:"parcel"`
	// Images are those in the parcel.
	Images []PushedImage `json:"images"`
	// Nodes are the nodes that get images.
	Nodes []string `json:"nodes"`
	// AllRoles gives every node all images, whatever role they are for.
	AllRoles bool `json:"allRoles,omitempty"`
	// MaxRate bounds what each node sends to others, in bytes per second. Zero: no bound.
	MaxRate int64 `json:"maxRate,omitempty"`
	// Port is the nodes' TCP port for each other. Zero: DefaultPeerPort.
	Port int32 `json:"port,omitempty"`
}

// Content is some content by its digest.
type Content struct {
	// Digest is sha256:<hex>.
	Digest string `json:"digest"`
	// Size in bytes.
	Size int64 `json:"size"`
}

// PushedImage is one image of an Images Operation.
type PushedImage struct {
	// Ref is the reference under which pods name it.
	Ref string `json:"ref"`
	// Digest is its manifest's, Size the sum of its blobs in bytes.
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	// For lists the roles that need it; empty: every node.
	For []Role `json:"for,omitempty"`
}

// PruneImagesSpec says which images are to be removed from which nodes.
type PruneImagesSpec struct {
	// Nodes with the references that go; what a container uses stays.
	Nodes []NodeImages `json:"nodes"`
}

// NodeImages are references of images on one node.
type NodeImages struct {
	Name string   `json:"name"`
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

// DeepCopyInto copies everything into out; they share nothing.
func (in *ImagesSpec) DeepCopyInto(out *ImagesSpec) {
	*out = *in
	out.Nodes = slices.Clone(in.Nodes)
	out.Images = slices.Clone(in.Images)
	for i := range out.Images {
		out.Images[i].For = slices.Clone(in.Images[i].For)
	}
}

// DeepCopyInto copies everything into out; they share nothing.
func (in *PruneImagesSpec) DeepCopyInto(out *PruneImagesSpec) {
	out.Nodes = slices.Clone(in.Nodes)
	for i := range out.Nodes {
		out.Nodes[i].Refs = slices.Clone(in.Nodes[i].Refs)
	}
}
