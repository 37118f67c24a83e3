package upgrade

import (
	"context"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/kubeadmconfig"
)

// unconfigure takes back what kubeadm has written as the cluster's version when the
// only control plane of that version was put back: kubeadm makes whoever joins of it,
// and the next upgrade would run its `apply` nowhere.
func unconfigure(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	o, err := Observe(ctx, t.Clients, t.Cluster, Look{Inside: true})
	if err != nil {
		return engine.Outcome{}, err
	}
	version := goesBackTo(o, t.Operation.Spec.RollbackNode.Node, t.Operation.Spec.RollbackNode.Version)
	if version == "" {
		return engine.Outcome{Message: "already up to date: " + o.Configured}, nil
	}
	_, err = kubeadmconfig.Change(ctx, t.Clients.Kube, func(fields kubeadmconfig.Fields) (bool, error) {
		fields["kubernetesVersion"] = version
		return true, nil
	})
	if err != nil {
		return engine.Outcome{}, err
	}
	return engine.Outcome{Message: "now " + version}, nil
}

// goesBackTo is the version that kubeadm's configuration is to have after a node was put
// back to one; empty when it stays as it is, since a control plane runs it. It is pure.
func goesBackTo(o Observation, node, version string) string {
	var servers []string
	for name, n := range o.Nodes {
		v := n.Static[apiserver]
		if name == node {
			v = version // Its mirror pod may not tell yet.
		}
		if n.ControlPlane && v != "" {
			servers = append(servers, v)
		}
	}
	if len(servers) == 0 || slices.Contains(servers, o.Configured) {
		return ""
	}
	return slices.MaxFunc(servers, func(a, b string) int {
		x, errX := parse(a)
		y, errY := parse(b)
		switch {
		case errX != nil || errY != nil:
			return 0 // A tag that is no version is nobody's choice; the other is found by its own turn.
		case x.LessThan(y):
			return -1
		case y.LessThan(x):
			return 1
		}
		return 0
	})
}
