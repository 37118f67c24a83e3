package nodes

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
)

// silentFor is how old a node's lease is when its host counts as lost: the duration of
// the kubelet's lease.
// https://kubernetes.io/docs/concepts/architecture/nodes/#node-heartbeats
const silentFor = 40 * time.Second

// Observation is what was seen of a cluster.
type Observation struct {
	// Nodes by name.
	Nodes map[string]Node
	// EtcdAway says of each member that does not answer why, by its host's name. It is
	// nil when none does: from where this was seen they can't be reached.
	EtcdAway map[string]string
	// Holder is the control plane that has the virtual IP; empty when that can't be told.
	Holder string
	// Pods are those of the host that leaves which a drain is about.
	Pods []Pod
}

// Node is what was seen of a node.
type Node struct {
	ControlPlane bool
	// NotReady says why it is not Ready, empty when it is.
	NotReady string
	// Lost says since when nothing was heard of its kubelet; empty when it was lately.
	Lost string
}

// Pod is one that has to leave.
type Pod struct {
	Name string
	// Local tells that it has data on the host alone, Unmanaged that nothing would
	// make it again elsewhere.
	Local, Unmanaged bool
}

// Observe looks at a cluster and changes nothing. leaving names the host that leaves;
// empty for none.
func Observe(ctx context.Context, clients *client.Clients, c *v1alpha1.Cluster, leaving string) (Observation, error) {
	seen, err := upgrade.Observe(ctx, clients, c, upgrade.Look{})
	if err != nil {
		return Observation{}, err
	}
	o := Observation{Nodes: map[string]Node{}, Holder: seen.Holder}
	for name, n := range seen.Nodes {
		lost, err := silence(ctx, clients.Kube, name, time.Now())
		if err != nil {
			return o, err
		}
		o.Nodes[name] = Node{ControlPlane: n.ControlPlane, NotReady: n.NotReady, Lost: lost}
	}
	away := map[string]string{}
	for _, e := range seen.Etcd {
		if e.Error != "" {
			away[e.Node] = e.Error
		}
	}
	if len(away) < len(seen.Etcd) {
		o.EtcdAway = away
	}
	if leaving != "" {
		o.Pods, err = podsOf(ctx, clients.Kube, leaving)
	}
	return o, err
}

// silence says since when nothing was heard of a node's kubelet; empty when it was lately.
func silence(ctx context.Context, kube kubernetes.Interface, node string, now time.Time) (string, error) {
	lease, err := kube.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, node, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "its kubelet has no lease", nil
	case err != nil:
		return "", fmt.Errorf("read the lease of node %s: %w", node, err)
	case lease.Spec.RenewTime == nil:
		return "its kubelet has no lease", nil
	case now.Sub(lease.Spec.RenewTime.Time) > silentFor:
		return "its kubelet was last heard of at " + lease.Spec.RenewTime.UTC().Format(time.RFC3339), nil
	}
	return "", nil
}

// podsOf are the pods that a drain of the node is about.
func podsOf(ctx context.Context, kube kubernetes.Interface, node string) ([]Pod, error) {
	list, err := kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String()})
	if err != nil {
		return nil, fmt.Errorf("list the pods on %s: %w", node, err)
	}
	var out []Pod
	for _, p := range list.Items {
		if !upgrade.Leaves(p) || p.DeletionTimestamp != nil {
			continue
		}
		out = append(out, Pod{Name: p.Namespace + "/" + p.Name, Unmanaged: metav1.GetControllerOf(&p) == nil,
			Local: slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.EmptyDir != nil })})
	}
	return out, nil
}
