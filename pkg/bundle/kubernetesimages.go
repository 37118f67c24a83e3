package bundle

import (
	"cmp"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// KubeadmEtcd is the version of etcd, such as v3.6.8, that a cluster with stacked etcd has at a Kubernetes version:
// the one that it names, or kubeadm's choice. Empty of a version that is not known.
func KubeadmEtcd(kubernetes string, c *v1alpha1.Cluster) string {
	if c.Spec.Etcd.Version != "" {
		return c.Spec.Etcd.Version
	}
	refs, err := kubeadmTable(kubernetes, KubernetesRegistry, etcdImage{wanted: true})
	if err != nil {
		return ""
	}
	return etcdVersion(refs)
}

// KubernetesImages lists the images that a cluster runs on at a known Kubernetes
// version: kubeadm's, with etcd's only where that is stacked, and the network plugin's. They have a
// reference and roles, and no digests, since nothing is asked for them.
func KubernetesImages(kubernetes string, c *v1alpha1.Cluster) ([]Image, error) {
	refs, err := kubeadmTable(kubernetes, cmp.Or(c.Spec.Images.Registry, KubernetesRegistry), etcdImage{c.Stacked(), c.Spec.Etcd.Version})
	if err != nil {
		return nil, err
	}
	if c.Spec.Network.Plugin == v1alpha1.NetworkPluginFlannel {
		refs = append(refs, flannelImages()...)
	}
	var out []Image
	for _, ref := range refs {
		i := Image{For: []v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleWorker}}
		if controlPlaneOnly(ref) {
			i.For = i.For[:1]
		}
		if i.Ref, err = normalizeRef(ref); err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	return out, nil
}
