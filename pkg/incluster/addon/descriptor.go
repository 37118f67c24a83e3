package addon

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// DescriptorFile is the descriptor's name in an addon's folder.
	DescriptorFile = "addon.yaml"
	// Kind is the descriptor's kind; its apiVersion is that of all documents of ours.
	Kind = "Addon"
	// DefaultDeadline is for how long an addon may take to become healthy.
	DefaultDeadline = 5 * time.Minute
)

// Descriptor says what an addon is and needs, beside its manifests: all other
// YAML files of its folder.
type Descriptor struct {
	metav1.TypeMeta `json:",inline"`
	// Name is a DNS label, and the folder's name for those that come with kubectl-ha.
	Name string `json:"name"`
	// Description is one line for people.
	Description string `json:"description"`
	// Hidden addons are only brought in by others that need them.
	Hidden  bool `json:"hidden,omitempty"`
	Release `json:",inline"`
	// Needs are other addons, which are installed first.
	Needs []string `json:"needs,omitempty"`
	// KubeletCertificates has every kubelet ask the cluster for its serving
	// certificate (serverTLSBootstrap).
	KubeletCertificates bool `json:"kubeletCertificates,omitempty"`
	// Certificates are made before the manifests are applied.
	Certificates []Certificate `json:"certificates,omitempty"`
	// Settings are what in the manifests depends on the cluster.
	Settings []Setting `json:"settings,omitempty"`
	// Variants are parts that may be had or left out, by name.
	Variants map[string]Variant `json:"variants,omitempty"`
	Health   Health             `json:"health,omitempty"`
}

// Release is what a version consists of. Of the addons that come with
// kubectl-ha it stands in versions.yaml.
type Release struct {
	// Version is upstream's.
	Version string `json:"version,omitempty"`
	// Images maps each image of the manifests, without a tag, to its tag.
	Images map[string]string `json:"images,omitempty"`
	// Files are manifests that upstream publishes.
	Files []File `json:"files,omitempty"`
}

// File is a manifest that is fetched, not copied.
type File struct {
	// URL is upstream's, with https.
	URL string `json:"url"`
	// SHA256 is the hex digest of its content.
	SHA256 string `json:"sha256"`
}

// Authority is who signs a certificate.
type Authority string

const (
	// AuthorityCluster is the cluster's CA, whose key is on the control planes.
	AuthorityCluster Authority = "cluster"
	// AuthorityEtcd is etcd's CA, whose key is on the workstation that made the cluster.
	AuthorityEtcd Authority = "etcd"
)

// Certificate is one that is put into a Secret of type kubernetes.io/tls, with
// the authority's own as ca.crt.
type Certificate struct {
	Secret     string    `json:"secret"`
	Namespace  string    `json:"namespace"`
	Authority  Authority `json:"authority"`
	CommonName string    `json:"commonName"`
	// Server is for a server with the cluster's stable address, those of its
	// nodes and localhost; otherwise it is a client's.
	Server bool `json:"server,omitempty"`
}

// Setting puts a fact about the cluster into an object.
type Setting struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	// Path leads to the field; a number is an index of a list.
	Path []string `json:"path"`
	// Value names the fact, see Facts.
	Value string `json:"value"`
}

// Variant is a part of an addon.
type Variant struct {
	Description string `json:"description"`
	// Manifests are files of the folder that are applied with this variant only.
	Manifests []string `json:"manifests"`
	// Default variants are applied unless they are left out by name.
	Default bool `json:"default,omitempty"`
}

// Health says when an addon is well, beside what is known of Deployments,
// DaemonSets, StatefulSets, Jobs, APIServices and resource definitions.
type Health struct {
	// Deadline is for how long that may take. Default DefaultDeadline.
	Deadline metav1.Duration `json:"deadline,omitempty"`
	// Conditions of objects that must be True.
	Conditions []Condition `json:"conditions,omitempty"`
}

// Condition names a condition in an object's status.
type Condition struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"`
	Type       string `json:"type"`
}
