package cmd

import (
	"cmp"
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// clusterAgentImage is the agent image that most nodes of this cluster have, for what
// only looks, and for what goes on with an Operation that has an agent already. What
// creates one calls ensureAgent.
func clusterAgentImage(ctx context.Context, config *rest.Config) (string, error) {
	own, err := ownAgentImage()
	if err != nil {
		return "", err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	return chooseAgentImage(nodes.Items, own), nil
}

// chooseAgentImage picks the image that most nodes report; this program's own
// one when as many have it, or when none reports any.
func chooseAgentImage(nodes []corev1.Node, own string) string {
	have := map[string]int{}
	for _, n := range nodes {
		for _, name := range agentImages(n) {
			have[name]++
		}
	}
	names := make([]string, 0, len(have))
	for name := range have {
		names = append(names, name)
	}
	if len(names) == 0 {
		return own
	}
	return slices.MaxFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(have[a], have[b]), cmp.Compare(prefer(a, own), prefer(b, own)), strings.Compare(a, b))
	})
}

// agentImages are the agents that a node reports, of whatever version.
func agentImages(n corev1.Node) (out []string) {
	for _, image := range n.Status.Images {
		for _, name := range image.Names {
			if strings.HasPrefix(name, agentRepository+":") {
				out = append(out, name)
			}
		}
	}
	return out
}

func prefer(name, own string) int {
	if name == own {
		return 1
	}
	return 0
}
