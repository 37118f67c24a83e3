// Package document reads and changes the Cluster document that is stored in the
// cluster. Whoever only notes one thing in it changes it here, and leaves the rest
// as others have made it meanwhile.
package document

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
)

// path is how errors name the document.
const path = "configmap " + v1alpha1.SystemNamespace + "/" + v1alpha1.ClusterConfigMap

// Read reads the document, with its defaults set; the network plugin's manifest is WithManifest's.
// Fields that this program does not know are passed over. The error is a NotFound one where
// there is none.
func Read(ctx context.Context, kube kubernetes.Interface) (*v1alpha1.Cluster, error) {
	config, err := get(ctx, kube)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("this cluster has no stored Cluster document; was it made by kubectl ha bootstrap? %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the stored Cluster document: %w", err)
	}
	text := []byte(config.Data[v1alpha1.ClusterConfigMapKey])
	c, err := v1alpha1.Decode(text, path)
	if err != nil {
		// A newer program may have written what this one does not know: an agent of before
		// must still be able to carry the newer agent to the nodes.
		known := &v1alpha1.Cluster{}
		if yaml.Unmarshal(text, known) != nil || known.APIVersion != v1alpha1.APIVersion || known.Kind != v1alpha1.ClusterKind {
			return nil, err
		}
		c = known
	}
	c.SetDefaults()
	return c, nil
}

// Change writes what edit makes of the document, unless edit returns nil: it is as it
// should be. A manifest that an earlier version has left in it moves to its Secret. One with fields that this program does not know is refused, since they
// would be lost; so is a change by somebody else at the same time.
func Change(ctx context.Context, kube kubernetes.Interface, edit func(*v1alpha1.Cluster) *v1alpha1.Cluster) (changed bool, err error) {
	config, err := get(ctx, kube)
	if err != nil {
		return false, fmt.Errorf("read the stored Cluster document: %w", err)
	}
	c, err := v1alpha1.Decode([]byte(config.Data[v1alpha1.ClusterConfigMapKey]), path)
	if err != nil {
		return false, err
	}
	if c = edit(c); c == nil {
		return false, nil
	}
	// Earlier versions have left the manifest in the ConfigMap.
	c, secret := Split(c)
	if secret != nil {
		if err := putManifest(ctx, kube, secret); err != nil {
			return false, err
		}
	}
	data, err := v1alpha1.Marshal(c)
	if err != nil {
		return false, err
	}
	config.Data[v1alpha1.ClusterConfigMapKey] = string(data)
	if _, err := kube.CoreV1().ConfigMaps(v1alpha1.SystemNamespace).Update(ctx, config, metav1.UpdateOptions{FieldManager: apply.FieldManager}); err != nil {
		return false, fmt.Errorf("write the stored Cluster document: %w", err)
	}
	return true, nil
}

func get(ctx context.Context, kube kubernetes.Interface) (*corev1.ConfigMap, error) {
	return kube.CoreV1().ConfigMaps(v1alpha1.SystemNamespace).Get(ctx, v1alpha1.ClusterConfigMap, metav1.GetOptions{})
}
