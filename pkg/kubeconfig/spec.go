package kubeconfig

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// ErrNoSpec: the cluster holds no Cluster document, so that it was not made by
// kubectl ha, or not to the end.
var ErrNoSpec = errors.New("the cluster holds no Cluster document")

// StoredCluster reads the Cluster document that the bootstrap left in the
// cluster, with its defaults set.
func StoredCluster(ctx context.Context, client kubernetes.Interface) (*v1alpha1.Cluster, error) {
	where := v1alpha1.SystemNamespace + "/" + v1alpha1.ClusterConfigMap
	cm, err := client.CoreV1().ConfigMaps(v1alpha1.SystemNamespace).Get(ctx, v1alpha1.ClusterConfigMap, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w (ConfigMap %s); give the file with -f", ErrNoSpec, where)
	}
	if err != nil {
		return nil, fmt.Errorf("read the Cluster document (ConfigMap %s): %w", where, err)
	}
	c, err := v1alpha1.Decode([]byte(cm.Data[v1alpha1.ClusterConfigMapKey]), "ConfigMap "+where)
	if err != nil {
		return nil, err
	}
	c.SetDefaults()
	return c, nil
}
