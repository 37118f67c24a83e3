// Package clusterfile writes the Cluster file for a lab: what any cluster's
// file has, and the settings that hosts in containers need.
package clusterfile

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/test/lab/host"
)

// Options are the choices in a file.
type Options struct {
	// KubernetesVersion is the version to run. Required.
	KubernetesVersion string
	// EtcdVersion is etcd's. Default: none is named.
	EtcdVersion string
	// User logs in.
	User string
}

// Make writes the Cluster file.
func Make(s host.Status, o Options) ([]byte, error) {
	c := v1alpha1.Cluster{}
	c.APIVersion, c.Kind = v1alpha1.APIVersion, v1alpha1.ClusterKind
	c.Metadata.Name = s.Name
	c.Spec.KubernetesVersion = o.KubernetesVersion
	c.Spec.VirtualIP = s.VirtualIP
	c.Spec.Etcd.Version = o.EtcdVersion
	c.Spec.SSH = v1alpha1.SSH{User: o.User, IdentityFile: s.SSHKey, KnownHostsFile: s.KnownHosts}
	// What the lab has is built from source, and differs from upstream's builds.
	c.Spec.Images.Mirror, c.Spec.Images.TrustMirror = s.MirrorURL, true
	c.Spec.Kubeadm = containerSettings()
	for _, h := range s.Hosts {
		role, err := roleOf(h.Role)
		if err != nil {
			return nil, err
		}
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: h.Name, Address: h.Address, Roles: []v1alpha1.Role{role}})
	}
	return withoutEmpty(c)
}

// roleOf is a lab's role in the file's words.
func roleOf(r host.Role) (v1alpha1.Role, error) {
	switch r {
	case host.RoleControlPlane:
		return v1alpha1.RoleControlPlane, nil
	case host.RoleEtcd:
		return v1alpha1.RoleEtcd, nil
	case host.RoleWorker:
		return v1alpha1.RoleWorker, nil
	}
	return "", fmt.Errorf("role %q has no counterpart in a Cluster file", r)
}

// containerSettings are what hosts in containers need and machines do not: the
// machine may have cgroup v1, swap and a full disk; Docker's resolv.conf names a
// loopback address, in which CoreDNS finds a loop; the machine's connection
// tracking table can't be resized from within.
func containerSettings() v1alpha1.Kubeadm {
	return v1alpha1.Kubeadm{
		KubeletConfiguration: v1alpha1.RawMap{
			"failCgroupV1": false,
			"failSwapOn":   false,
			"resolvConf":   "/etc/resolv.lab",
			"evictionHard": map[string]any{"nodefs.available": "0%", "imagefs.available": "0%"},
			// The disk is the machine's: what is used of it is not the hosts' doing.
			"imageGCHighThresholdPercent": 100,
		},
		KubeProxyConfiguration: v1alpha1.RawMap{
			"mode":      "iptables",
			"conntrack": map[string]any{"maxPerCore": 0},
		},
		IgnorePreflightErrors: []string{"SystemVerification", "Swap"},
	}
}

// withoutEmpty marshals c without the fields that say nothing.
func withoutEmpty(c v1alpha1.Cluster) ([]byte, error) {
	content, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := json.Unmarshal(content, &tree); err != nil {
		return nil, err
	}
	prune(tree)
	return yaml.Marshal(tree)
}

// prune removes empty maps, lists and strings. Numbers and booleans say
// something even when they are zero.
func prune(tree map[string]any) {
	for k, v := range tree {
		switch v := v.(type) {
		case map[string]any:
			prune(v)
			if len(v) == 0 {
				delete(tree, k)
			}
		case []any:
			if len(v) == 0 {
				delete(tree, k)
			}
		case string:
			if v == "" {
				delete(tree, k)
			}
		case nil:
			delete(tree, k)
		}
	}
}
