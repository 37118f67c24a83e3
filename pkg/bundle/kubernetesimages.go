package bundle

import (
	"cmp"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// KubernetesImages lists the images that a cluster of a known Kubernetes version
// runs on: kubeadm's without etcd, and the network plugin's. They have a
// reference and roles, and no digests, since nothing is asked for them. registry
// is KubernetesRegistry when empty.
func KubernetesImages(kubernetes, registry string, plugin v1alpha1.NetworkPlugin) ([]Image, error) {
	refs, err := kubeadmTable(kubernetes, cmp.Or(registry, KubernetesRegistry))
	if err != nil {
		return nil, err
	}
	if plugin == v1alpha1.NetworkPluginFlannel {
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
