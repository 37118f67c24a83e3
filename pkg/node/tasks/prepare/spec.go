// Package prepare makes a bare host able to run Kubernetes. Its tasks are
// prepare (binaries, units, sysctls, kernel modules, containerd), images (the
// bundle's and the agent's own, into containerd) and tidy (what was fetched goes).
package prepare

import (
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// Spec is what a host needs.
type Spec struct {
	// Node is the host's node name.
	Node string `json:"node"`
	// Roles of the host. A host with only the etcd role gets etcd's binaries alone.
	Roles []v1alpha1.Role `json:"roles"`
	// Contents is the bundle's, already cut to what this host's roles need. Its
	// images are of no interest here.
	Contents bundle.Contents `json:"contents"`
	// Source is this host's peer, which brings blobs that are missing to StoreDir.
	Source swarm.Source `json:"source"`
	// SandboxImage is the pause image's reference.
	SandboxImage string `json:"sandboxImage,omitempty"`
	// Environment for containerd and the kubelet (proxies), NAME=value.
	Environment []string `json:"environment,omitempty"`
	// RegistryMirrors maps a registry to base URLs for containerd's hosts.toml.
	RegistryMirrors map[string][]string `json:"registryMirrors,omitempty"`
}

// ImagesSpec is what a host's containerd needs.
type ImagesSpec struct {
	// Images are the bundle's that this host's roles need.
	Images []bundle.Image `json:"images"`
	// Source is this host's peer, which brings blobs that are missing to StoreDir.
	Source swarm.Source `json:"source"`
	// SandboxImage is the pause image's reference; it is pinned.
	SandboxImage string `json:"sandboxImage,omitempty"`
	// AgentImage is the reference given to the agent's own image.
	AgentImage string `json:"agentImage,omitempty"`
}

// TidySpec has no settings.
type TidySpec struct{}

// StoreDir is where a host's peer puts what it fetches, and keeps it for the
// others, until Tidy.
const StoreDir = host.StateDir + "/blobs"

// kube tells whether the host runs pods.
func (s Spec) kube() bool {
	return slices.Contains(s.Roles, v1alpha1.RoleControlPlane) || slices.Contains(s.Roles, v1alpha1.RoleWorker)
}

// Data is what was found.
type Data struct {
	// ImportedImages and InstalledBinaries count what was really done.
	ImportedImages    int   `json:"importedImages"`
	InstalledBinaries int   `json:"installedBinaries"`
	FetchedBytes      int64 `json:"fetchedBytes"`
}
