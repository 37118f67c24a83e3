package upgrade

import (
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/endpoint"
)

// NodePlan is what an Upgrade does to one node.
type NodePlan struct {
	Node         string `json:"node"`
	ControlPlane bool   `json:"controlPlane"`
	From         string `json:"from"`
	To           string `json:"to"`
	// Turn is about when: a worker's turn begins as soon as one before it has ended, so that
	// nodes with the same number are out at the same time where all take as long. Zero: nothing is
	// done to it.
	Turn int `json:"turn"`
	// Group is the worker's value of the label by which they come in groups, NoGroup without it.
	// Empty: they do not.
	Group string `json:"group,omitempty"`
	// Static says that its control plane is upgraded, Kubelet that its kubelet is.
	Static  bool `json:"static"`
	Kubelet bool `json:"kubelet"`
	// First says that kubeadm's `upgrade apply` runs here, which writes what is the
	// whole cluster's.
	First bool `json:"first,omitempty"`
	// Drained says that its pods leave it before.
	Drained bool `json:"drained"`
	// LosesData are the pods, namespace/name, whose data in emptyDir volumes ends with
	// the drain.
	LosesData []string `json:"losesData,omitempty"`
	// Disruption says in a line what is to be expected.
	Disruption string `json:"disruption"`
}

// Nodes says what is done to each node, in the order in which it is: the control
// planes first, of which the holder of the virtual IP is the last. It is pure.
func Nodes(c *v1alpha1.Cluster, spec *v1alpha1.UpgradeSpec, o Observation) ([]NodePlan, error) {
	workers, err := groups(c, spec, o)
	if err != nil {
		return nil, err
	}
	var out []NodePlan
	turn := 0
	first := o.Configured != spec.Version
	for _, h := range order(c, o) {
		n := o.Nodes[h.Name]
		p := NodePlan{Node: h.Name, ControlPlane: true, From: n.Kubelet, To: spec.Version, Drained: drained(h, spec), Disruption: "none"}
		if inScope(h, spec.Only) {
			p.First = first
			p.Static, p.Kubelet = first || !n.ServerAt(spec.Version), n.Kubelet != spec.Version
			first = false
		}
		if p.Static || p.Kubelet {
			turn++
			p.Turn, p.Disruption = turn, controlPlaneDisruption(c, p)
			p.LosesData = o.losesData(p)
		}
		out = append(out, p)
	}
	for _, g := range workers {
		at := 0
		for _, h := range g.hosts {
			n := o.Nodes[h.Name]
			p := NodePlan{Node: h.Name, Group: g.name, From: n.Kubelet, To: spec.Version, Drained: true, Disruption: "none"}
			if inScope(h, spec.Only) && n.Kubelet != spec.Version {
				p.Kubelet, p.Disruption = true, "its pods move to other nodes, as their budgets allow"
				p.Turn = turn + 1 + at/g.atOnce
				p.LosesData = o.losesData(p)
				at++
			}
			out = append(out, p)
		}
		turn += (at + g.atOnce - 1) / g.atOnce
	}
	return out, nil
}

// losesData are the pods that lose data in a node's turn.
func (o Observation) losesData(p NodePlan) []string {
	if !p.Drained {
		return nil
	}
	return o.Local[p.Node]
}

func controlPlaneDisruption(c *v1alpha1.Cluster, p NodePlan) string {
	switch {
	case !p.Static:
		return "its kubelet restarts; its pods keep running"
	case !c.KeepsVirtualIP():
		pods := "its pods keep running"
		if p.Drained {
			pods = "its pods move to other nodes"
		}
		return "its apiserver restarts; " + endpoint.Cost(c, p.Node) + "; " + pods
	case len(c.ControlPlanes()) == 1:
		return "the API is away while its apiserver restarts"
	case p.Drained:
		return "its apiserver restarts while the virtual IP is elsewhere; its pods move to other nodes"
	}
	return "its apiserver restarts while the virtual IP is elsewhere; its pods keep running"
}

// order are the control planes, the holder of the virtual IP last, so that the
// address moves as seldom as possible.
func order(c *v1alpha1.Cluster, o Observation) []v1alpha1.Host {
	hosts := c.ControlPlanes()
	slices.SortStableFunc(hosts, func(a, b v1alpha1.Host) int {
		switch {
		case a.Name == o.Holder && b.Name != o.Holder:
			return 1
		case b.Name == o.Holder && a.Name != o.Holder:
			return -1
		}
		return 0
	})
	return hosts
}

func inScope(h v1alpha1.Host, only v1alpha1.UpgradeScope) bool {
	switch only {
	case v1alpha1.UpgradeControlPlanes:
		return h.Has(v1alpha1.RoleControlPlane)
	case v1alpha1.UpgradeNodes:
		return !h.Has(v1alpha1.RoleControlPlane)
	}
	return true
}

// drained tells whether a node's pods have to leave it.
func drained(h v1alpha1.Host, spec *v1alpha1.UpgradeSpec) bool {
	return inScope(h, spec.Only) && (!h.Has(v1alpha1.RoleControlPlane) || spec.DrainControlPlanes)
}
