package join

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

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
