package bundle

import (
	"io/fs"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// Blob is a piece of content by its digest.
type Blob struct {
	// Digest is sha256:<hex>.
	Digest digest.Digest `json:"digest"`
	// Size in bytes.
	Size int64 `json:"size"`
	// MediaType is the OCI media type.
	MediaType string `json:"mediaType,omitempty"`
}

// Contents lists what a bundle holds: name, version, digest, size and source of
// everything in it. It is the config blob of the bundle's own manifest.
type Contents struct {
	// KubernetesVersion, such as v1.36.3; the others alike, with the leading v.
	// All are empty in a bundle of images only.
	KubernetesVersion string `json:"kubernetesVersion"`
	EtcdVersion       string `json:"etcdVersion"`
	ContainerdVersion string `json:"containerdVersion"`
	RuncVersion       string `json:"runcVersion"`
	CNIVersion        string `json:"cniVersion"`
	// Arch is the hosts' architecture in Go's terms: amd64. It is empty in a
	// bundle for several, which are then in Platforms.
	Arch      string   `json:"arch"`
	Platforms []string `json:"platforms,omitempty"`
	Binaries  []Binary `json:"binaries"`
	Images    []Image  `json:"images"`
	// Addons are those that it has all of: images, by their digests among Images,
	// and manifests among Files.
	Addons []Addon `json:"addons,omitempty"`
	Files  []File  `json:"files,omitempty"`
	// Since is set in a bundle that is only the difference to another.
	Since *Since `json:"since,omitempty"`
}

// Since names the bundle that a difference is to be used together with, and
// what is left out because it is in that one. A blob that is left out is listed
// like all others where it belongs, but is not in the file.
type Since struct {
	// Bundle is the other bundle's Digest.
	Bundle digest.Digest `json:"bundle"`
	// Blobs are left out, in the order of their digests.
	Blobs []digest.Digest `json:"blobs"`
}

// Addon is one whose parts are in the bundle.
type Addon struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Images are the references, whose digests are in Contents.Images.
	Images []string `json:"images,omitempty"`
}

// File is a manifest that upstream publishes, as it is.
type File struct {
	Name string `json:"name"`
	// Source is the upstream URL that it came from, without any mirror.
	Source string `json:"source"`
	// Blob is the file itself; its digest is what its addon says.
	Blob Blob `json:"blob"`
}

// Binary is one file to be installed on hosts.
type Binary struct {
	// Name is the file's name: kubelet, containerd-shim-runc-v2, bridge.
	Name string `json:"name"`
	// Component groups binaries: kubernetes, etcd, containerd, runc, cni.
	Component string `json:"component"`
	Version   string `json:"version"`
	// Path is where it is installed: /usr/local/bin/kubelet, /opt/cni/bin/bridge.
	Path string `json:"path"`
	// Arch is empty in a bundle for one architecture: Contents has it.
	Arch string      `json:"arch,omitempty"`
	Mode fs.FileMode `json:"mode"`
	// Blob is the file compressed with zstd.
	Blob Blob `json:"blob"`
	// SHA256 is the hex digest of the file itself; Size its size in bytes.
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	// Source is the upstream URL that it came from, without any mirror.
	Source string `json:"source"`
	// Check is by what the file that it was taken from is known.
	Check Check `json:"check,omitempty"`
	// For lists the roles that need it.
	For []v1alpha1.Role `json:"for"`
}

// Image is one container image for one platform.
type Image struct {
	// Ref is the full reference under which pods name it:
	// registry.k8s.io/kube-apiserver:v1.36.3.
	Ref string `json:"ref"`
	// Arch is empty in a bundle for one architecture: Contents has it.
	Arch string `json:"arch,omitempty"`
	// Source is where it came from, in the notation of containers-transports(5)
	// and without any mirror: docker://registry.k8s.io/pause:3.10.2, or only the
	// transport (docker-archive) of a local file. Empty in older bundles.
	Source string `json:"source,omitempty"`
	// Check is by what it is known.
	Check Check `json:"check,omitempty"`
	// Manifest is the image's manifest; it is one of Blobs.
	Manifest Blob `json:"manifest"`
	// Blobs are the manifest, the config and the layers.
	Blobs []Blob `json:"blobs"`
	// For lists the roles that need it.
	For []v1alpha1.Role `json:"for"`
}
