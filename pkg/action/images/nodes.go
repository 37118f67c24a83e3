package images

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
)

// Nodes are those with these labels, in the order of their names; that there are none is an
// action.Invalid.
func Nodes(ctx context.Context, kube kubernetes.Interface, selector string) ([]corev1.Node, error) {
	if _, err := labels.Parse(selector); err != nil {
		return nil, action.Invalidf("--selector %s: %w", selector, err)
	}
	list, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, action.OfCluster(err)
	}
	if len(list.Items) == 0 {
		return nil, action.Invalidf("--selector %s: no node has these labels", selector)
	}
	return list.Items, nil
}

// OfKubernetes are the images of a version, as this cluster names them. flag is what the
// version was given with.
func OfKubernetes(ctx context.Context, kube kubernetes.Interface, flag, version string) ([]bundle.Image, error) {
	if !strings.HasPrefix(version, "v") {
		version = "v" + version
	}
	if _, err := v1alpha1.MinorOf(version); err != nil {
		return nil, action.Invalidf("--%s: %w", flag, err)
	}
	cluster, err := incluster.StoredCluster(ctx, kube)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	list, err := bundle.KubernetesImages(version, cluster)
	if err != nil {
		return nil, action.Invalidf("--%s: %w", flag, err)
	}
	return list, nil
}
