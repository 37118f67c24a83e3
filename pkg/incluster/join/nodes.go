package join

import (
	"context"
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// leaseAge is how old a node's lease may be: the kubelet's lease duration.
// https://kubernetes.io/docs/concepts/architecture/nodes/#node-heartbeats
const leaseAge = 40 * time.Second

// until is engine.Until.
func until(ctx context.Context, t engine.Turn, what string, look func(context.Context) (string, error)) error {
	return engine.Until(ctx, t, what, look)
}

// awaitNode waits until a host's kubelet has registered its node.
func awaitNode(ctx context.Context, t engine.Turn, name string) (*corev1.Node, error) {
	var found *corev1.Node
	err := until(ctx, t, "the node "+name, func(ctx context.Context) (string, error) {
		n, err := t.Clients.Kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		found = n
		return "", err
	})
	return found, err
}

// nodesReady waits until every node of the Cluster is Ready, with a fresh lease.
func nodesReady(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	hosts := t.Cluster.Nodes()
	err := until(ctx, t, "all nodes to be Ready", func(ctx context.Context) (string, error) {
		nodes, err := observeNodes(ctx, t.Clients.Kube)
		if err != nil {
			return "", err
		}
		var waiting []string
		for _, h := range hosts {
			n, ok := nodes[h.Name]
			switch {
			case !ok:
				waiting = append(waiting, h.Name+" is not registered")
			case n.NotReady != "":
				waiting = append(waiting, h.Name+": "+n.NotReady)
			}
		}
		return strings.Join(waiting, "; "), nil
	})
	if err != nil {
		return engine.Outcome{}, err
	}
	return engine.Outcome{Message: fmt.Sprintf("%d nodes Ready", len(hosts))}, nil
}

// Silent says since when nothing was heard of a node's kubelet; empty when it is heard of. The
// node lifecycle controller says so: it goes by the changes of the lease that it sees itself,
// for node-monitor-grace-period (50 s since 1.32), and compares no two clocks.
// https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller
func Silent(n corev1.Node) string {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionUnknown {
			return "its kubelet has not been heard of since " + c.LastTransitionTime.UTC().Format(time.RFC3339)
		}
	}
	return ""
}

// NotReady says why a node is not Ready, empty when it is: by its condition,
// and by its lease, since the condition of a node that just died is still good.
func NotReady(n corev1.Node, lease *coordinationv1.Lease, now time.Time) string {
	reason := "it has no Ready condition"
	for _, c := range n.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		if reason = ""; c.Status != corev1.ConditionTrue {
			reason = c.Reason + ", " + c.Message
		}
	}
	switch {
	case reason != "":
		return reason
	case lease == nil || lease.Spec.RenewTime == nil:
		return "its kubelet has no lease yet"
	case now.Sub(lease.Spec.RenewTime.Time) > leaseAge:
		return "its kubelet was last heard of at " + lease.Spec.RenewTime.UTC().Format(time.RFC3339)
	}
	return ""
}
