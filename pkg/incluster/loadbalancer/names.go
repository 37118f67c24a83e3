package loadbalancer

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

const (
	// Name is the name of all its objects, most of them in v1alpha1.SystemNamespace.
	Name = "ha-loadbalancer"
	// container is the pods' container of the load balancer itself.
	container = "balancer"
	// podSelector selects its pods.
	podSelector = "app.kubernetes.io/name=kubectl-ha,app.kubernetes.io/component=loadbalancer"
)

// Image is the image that a control plane's node needs for the load balancer that is
// there; empty when there is none.
func Image(ctx context.Context, kube kubernetes.Interface) (string, error) {
	ds, err := kube.AppsV1().DaemonSets(v1alpha1.SystemNamespace).Get(ctx, Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the load balancer's daemon set: %w", err)
	}
	for _, c := range ds.Spec.Template.Spec.Containers {
		if c.Name == container {
			return c.Image, nil
		}
	}
	return "", nil
}
