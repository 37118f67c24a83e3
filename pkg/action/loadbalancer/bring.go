// Package loadbalancer sets up the load balancer of the API, and takes it away.
package loadbalancer

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	push "github.com/kubectl-ha/kubectl-ha/pkg/action/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// controlPlaneLabel is kubeadm's.
const controlPlaneLabel = "node-role.kubernetes.io/control-plane"

// Lacking are the control planes that lack an image, as far as their kubelets tell.
func Lacking(ctx context.Context, kube kubernetes.Interface, image string) ([]string, error) {
	list, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: controlPlaneLabel})
	if err != nil {
		return nil, action.OfCluster(err)
	}
	var out []string
	for _, n := range list.Items {
		if !hasImage(n, image) {
			out = append(out, n.Name)
		}
	}
	return out, nil
}

func hasImage(n corev1.Node, ref string) bool {
	m := images.Compare([]corev1.Node{n}, []v1alpha1.PushedImage{{Ref: ref}}, true)
	return m.Images[0].States[n.Name] == images.Present
}

// bring puts the load balancer's image onto the control planes, from a bundle's file where
// that is not empty.
func bring(ctx context.Context, config *rest.Config, spec v1alpha1.LoadBalancerSpec, file string, trust bundles.Trust, sink report.Sink) error {
	from := spec.Image
	if file != "" {
		b, err := trust.Open(file)
		if err != nil {
			return err
		}
		_, has := b.Contents().Image(spec.Image)
		if err := b.Close(); err != nil {
			return err
		}
		if !has {
			return action.Invalidf("%s does not contain %s; create a bundle with `%s bundle create --load-balancer %s`", file, spec.Image, program.Name, spec.Type)
		}
		from = file
	}
	_, err := push.RunPush(ctx, push.PushOptions{Config: config, What: []string{from}, Trust: trust, Selector: controlPlaneLabel}, sink)
	return err
}

// BringTo puts the image of the load balancer that is there onto hosts that are
// about to become control planes: its pods go where the role is.
func BringTo(ctx context.Context, config *rest.Config, kube kubernetes.Interface, c *v1alpha1.Cluster, names []string, sink report.Sink) error {
	image, err := loadbalancer.Image(ctx, kube)
	if err != nil {
		return action.OfCluster(err)
	}
	var lacking, labels []string
	for _, name := range names {
		h, _ := c.Host(name)
		if image == "" || !h.Has(v1alpha1.RoleControlPlane) {
			continue
		}
		n, err := kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return action.OfCluster(err)
		}
		if !hasImage(*n, image) {
			lacking = append(lacking, name)
			// It need not be the node's name on clusters that others have made.
			labels = append(labels, n.Labels[corev1.LabelHostname])
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	selector := corev1.LabelHostname + " in (" + strings.Join(labels, ",") + ")"
	if _, err := push.RunPush(ctx, push.PushOptions{Config: config, What: []string{image}, Selector: selector}, sink); err != nil {
		return fmt.Errorf("push the load balancer image %s to %s: %w\nnext: run %s images push BUNDLE with a bundle that contains it, then run this again", image, strings.Join(lacking, ", "), err, program.Name)
	}
	return nil
}
