package document

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
)

// manifestKey is the network plugin's manifest in its Secret.
const manifestKey = "network-manifest"

// manifestPath is how errors, and the stored document, name the Secret.
const manifestPath = "secret " + v1alpha1.SystemNamespace + "/" + v1alpha1.ClusterConfigMap

// Split takes the network plugin's manifest out of a document: what is stored in the ConfigMap,
// and the Secret for the rest, nil when there is none. A manifest may have Secrets in it (some
// network plugins want keys), and who may view a namespace sees its ConfigMaps. It is pure.
func Split(c *v1alpha1.Cluster) (*v1alpha1.Cluster, *corev1.Secret) {
	out := *c
	n := &out.Spec.Network
	if n.ManifestContent == "" {
		return &out, nil
	}
	secret := &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterConfigMap, Namespace: v1alpha1.SystemNamespace,
			Labels: map[string]string{"app.kubernetes.io/name": "kubectl-ha"}},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{manifestKey: []byte(n.ManifestContent)},
	}
	n.ManifestContent = ""
	if n.Manifest == "" {
		// It came with its content in the file; a document with neither is not valid.
		n.Manifest = manifestPath
	}
	return &out, secret
}

// WithManifest is the document with the network plugin's manifest, which is in a Secret where
// the document was read from a cluster. Only who applies it needs it, or may read it.
func WithManifest(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster) (*v1alpha1.Cluster, error) {
	n := c.Spec.Network
	if n.Plugin != v1alpha1.NetworkPluginManifest || n.ManifestContent != "" {
		return c, nil
	}
	s, err := kube.CoreV1().Secrets(v1alpha1.SystemNamespace).Get(ctx, v1alpha1.ClusterConfigMap, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("the network plugin's manifest is not stored in this cluster\nnext: run kubectl ha bootstrap with the cluster's file, which stores it: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the network plugin's manifest: %w", err)
	}
	out := *c
	out.Spec.Network.ManifestContent = string(s.Data[manifestKey])
	return &out, nil
}

// putManifest writes the Secret, in place of one that is there.
func putManifest(ctx context.Context, kube kubernetes.Interface, s *corev1.Secret) error {
	api := kube.CoreV1().Secrets(v1alpha1.SystemNamespace)
	_, err := api.Create(ctx, s, metav1.CreateOptions{FieldManager: apply.FieldManager})
	if apierrors.IsAlreadyExists(err) {
		_, err = api.Update(ctx, s, metav1.UpdateOptions{FieldManager: apply.FieldManager})
	}
	if err != nil {
		return fmt.Errorf("write the network plugin's manifest: %w", err)
	}
	return nil
}
