package bundle

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/version"
)

// The versions that a bundle gets beside Kubernetes' own. Change them here and
// nowhere else, and what they must be in digests.txt; the catalogue's tests pin the
// URLs that follow from them.
const (
	// DefaultEtcdVersion is the etcd that a bundle gets unless asked otherwise.
	DefaultEtcdVersion = "v3.6.16"
	// ContainerdVersion is the container runtime's.
	ContainerdVersion = "v2.4.2"
	// RuncVersion is the OCI runtime's.
	RuncVersion = "v1.3.3"
	// CNIVersion is the CNI reference plugins'.
	CNIVersion = "v1.9.1"
	// FlannelImage is flannel's daemon, as the network plugin's manifest names it.
	FlannelImage = "ghcr.io/flannel-io/flannel:v0.28.10"
	// FlannelCNIPluginImage installs flannel's CNI plugin on a node.
	FlannelCNIPluginImage = "ghcr.io/flannel-io/flannel-cni-plugin:v1.9.0-flannel1"
	// HAProxyImage and NginxImage are the load balancers that can be asked for:
	// branches with long-term fixes.
	HAProxyImage = "docker.io/library/haproxy:3.0.21"
	NginxImage   = "docker.io/library/nginx:1.28.3"
	// KubernetesRegistry is where kubeadm's images come from by default.
	KubernetesRegistry = "registry.k8s.io"
)

// kubeadmTags are the tags that are not Kubernetes' own version in the list of
// images of one minor version: CoreDNSVersion, PauseVersion and DefaultEtcdVersion of
// https://github.com/kubernetes/kubernetes/blob/master/cmd/kubeadm/app/constants/constants.go
// in that minor's branch. They are only used where kubeadm itself can't be run.
type kubeadmTags struct{ coreDNS, pause, etcd string }

// tagsOf looks a minor version up; false when it is not known.
func tagsOf(minor uint) (kubeadmTags, bool) {
	tags, ok := kubeadmTagsByMinor()[minor]
	return tags, ok
}

func kubeadmTagsByMinor() map[uint]kubeadmTags {
	return map[uint]kubeadmTags{
		34: {coreDNS: "v1.12.1", pause: "3.10.1", etcd: "3.6.5-0"},
		35: {coreDNS: "v1.13.1", pause: "3.10.1", etcd: "3.6.6-0"},
		36: {coreDNS: "v1.14.2", pause: "3.10.2", etcd: "3.6.8-0"},
		37: {coreDNS: "v1.14.6", pause: "3.10.2", etcd: "3.7.0-0"},
	}
}

// Archs are the architectures that a bundle can be for, in Go's terms.
func Archs() []string { return knownArchs() }

// knownArchs are the architectures for which everything in the catalogue is
// published, in Go's terms.
func knownArchs() []string { return []string{"amd64", "arm64"} }

// checkVersions refuses what can't be turned into a URL or a file name.
func checkVersions(archs []string, versions map[string]string) error {
	if len(archs) == 0 {
		return fmt.Errorf("there is no architecture; it may be one of %v", knownArchs())
	}
	for _, arch := range archs {
		if !slices.Contains(knownArchs(), arch) {
			return fmt.Errorf("architecture %.50q is not one of %v", arch, knownArchs())
		}
	}
	for what, v := range versions {
		parsed, err := version.ParseSemantic(v)
		if err != nil || v == "" || v != "v"+parsed.String() {
			return fmt.Errorf("%s version %q is not a version such as v1.36.3", what, v)
		}
	}
	return nil
}
