package incluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// carried is the Cluster document with what only the cluster itself knows: whether it has
// a load balancer, and who uses it. A file says which one is wished for; a bootstrap
// that is run again must neither forget the one that is there nor take its users away.
func carried(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster) (*v1alpha1.Cluster, error) {
	out := *c
	out.Spec.LoadBalancer.Enabled = false
	stored, err := StoredCluster(ctx, kube)
	switch {
	case apierrors.IsNotFound(err):
		return &out, nil
	case err != nil:
		return nil, fmt.Errorf("whether there is a load balancer: %w", err)
	}
	if stored.Spec.LoadBalancer.Enabled {
		out.Spec.LoadBalancer = stored.Spec.LoadBalancer
	}
	return &out, nil
}
