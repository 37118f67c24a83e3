package join

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/document"
)

// Observe looks at a cluster and changes nothing.
func Observe(ctx context.Context, clients *client.Clients, c *v1alpha1.Cluster) (Observation, error) {
	var o Observation
	var err error
	if o.Nodes, err = observeNodes(ctx, clients.Kube); err != nil {
		return o, err
	}
	known, err := document.WithManifest(ctx, clients.Kube, c)
	if err != nil {
		return o, err
	}
	objects, err := NetworkObjects(known)
	if err != nil {
		return o, err
	}
	pending, err := apply.Pending(ctx, clients, objects, apply.Options{})
	if err != nil {
		return o, fmt.Errorf("look at the network plugin: %w", err)
	}
	for _, p := range pending {
		o.Network = append(o.Network, p.String())
	}
	for _, look := range []struct {
		what string
		into *string
		do   func(context.Context, kubernetes.Interface, *v1alpha1.Cluster) (string, error)
	}{
		{"kube-proxy", &o.KubeProxy, observeKubeProxy},
		{"cluster-info", &o.ClusterInfo, observeClusterInfo},
		{"CoreDNS", &o.CoreDNS, observeCoreDNS},
		{"CoreDNS", &o.CoreDNSReady, observeCoreDNSReady},
	} {
		if *look.into, err = look.do(ctx, clients.Kube, c); err != nil {
			return o, fmt.Errorf("look at %s: %w", look.what, err)
		}
	}
	return o, nil
}

// NodeLeases are the leases by which kubelets tell that they live, by their nodes' names.
func NodeLeases(ctx context.Context, kube kubernetes.Interface) (map[string]*coordinationv1.Lease, error) {
	list, err := kube.CoordinationV1().Leases(corev1.NamespaceNodeLease).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the nodes' leases: %w", err)
	}
	leases := map[string]*coordinationv1.Lease{}
	for i := range list.Items {
		leases[list.Items[i].Name] = &list.Items[i]
	}
	return leases, nil
}

func observeNodes(ctx context.Context, kube kubernetes.Interface) (map[string]Node, error) {
	nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	leases, err := NodeLeases(ctx, kube)
	if err != nil {
		return nil, err
	}
	out := map[string]Node{}
	for _, n := range nodes.Items {
		_, controlPlane := n.Labels[labelControlPlane]
		out[n.Name] = Node{ControlPlane: controlPlane, NotReady: ready.Node(&n, leases[n.Name], time.Now()), Labels: n.Labels}
	}
	return out, nil
}
