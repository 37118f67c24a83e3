package upgrade

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
)

// ImagesOf are the images that a cluster needs at a version, as kubeadm and the
// network plugin name them. None of a version that nobody knows: whether that may be
// is for the rules to say.
func ImagesOf(c *v1alpha1.Cluster, version string) ([]v1alpha1.PushedImage, error) {
	if _, err := v1alpha1.MinorOf(version); err != nil {
		return nil, nil //nolint:nilerr // see above
	}
	list, err := bundle.KubernetesImages(version, c)
	if err != nil {
		return nil, err
	}
	var out []v1alpha1.PushedImage
	for _, i := range list {
		out = append(out, v1alpha1.PushedImage{Ref: i.Ref, For: i.For})
	}
	return out, nil
}

// missing are the images that nodes lack for sure; a node that reports too few to
// tell is not named.
func missing(nodes []corev1.Node, wanted []v1alpha1.PushedImage) map[string][]string {
	out := map[string][]string{}
	m := images.Compare(nodes, wanted, false)
	for _, n := range m.Nodes {
		for _, row := range m.Images {
			if row.States[n] == images.Missing || row.States[n] == images.OtherDigest {
				out[n] = append(out[n], row.Ref)
			}
		}
	}
	return out
}
