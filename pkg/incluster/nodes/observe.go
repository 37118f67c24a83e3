package nodes

import (
	"context"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/drain"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
)

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
	Pods []drain.Pod
}

// Node is what was seen of a node.
type Node struct {
	ControlPlane bool
	// Address is the one by which it goes in the cluster, its InternalIP.
	Address string
	// NotReady says why it is not Ready, empty when it is.
	NotReady string
	// Lost says since when nothing was heard of its kubelet; empty when it is heard of.
	Lost string
	// Answers says by what the host of such a node shows that it runs all the same; empty
	// when nothing does, as far as can be told from where this was seen.
	Answers string
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
		o.Nodes[name] = Node{ControlPlane: n.ControlPlane, Address: n.Address, NotReady: n.NotReady, Lost: n.Silent}
	}
	if n, ok := o.Nodes[leaving]; ok && n.Lost != "" {
		n.Answers = answers(ctx, c, leaving, seen.Nodes[leaving].Address, dialTCP)
		o.Nodes[leaving] = n
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
		o.Pods, err = drain.Pods(ctx, clients.Kube, leaving)
	}
	return o, err
}
