package upgrade

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/endpoint"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/upgrade"
)

// RollbackDefinition is the RollbackNode Operation. The node is not drained: its
// pods go on while the kubelet restarts.
func RollbackDefinition() engine.Definition {
	return engine.Definition{
		Plan: func(ctx context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			return RollbackPlan(env.Operation, env.Cluster)
		},
		Steps: map[string]engine.Step{
			stepPreflight:  engine.Func{Do: rollbackPreflight, Timeout: 2 * time.Minute},
			stepVIPAway:    task(drainVIP(true), saying("it is elsewhere")),
			stepRollback:   elsewhere{task(rollback, upgraded)},
			stepGate:       engine.Func{Do: gate, Timeout: gateTimeout, Gate: true},
			stepHolders:    engine.Func{Do: oneHolder, Timeout: holdersTimeout},
			stepConfigured: engine.Func{Do: unconfigure, Timeout: time.Minute},
			stepVIPBack:    task(drainVIP(false), saying("it may come back")),
			stepSettle:     settle{},
			stepVIPRestore: restoreVIP{},
		},
	}
}

// RollbackPlan is its steps. It is pure.
func RollbackPlan(op *v1alpha1.Operation, c *v1alpha1.Cluster) ([]v1alpha1.StepStatus, error) {
	spec := op.Spec.RollbackNode
	if spec == nil {
		return nil, fmt.Errorf("operation %s has no spec.rollbackNode", op.Name)
	}
	h, ok := c.Host(spec.Node)
	if !ok {
		return nil, fmt.Errorf("the stored Cluster document has no host %s", spec.Node)
	}
	p := &planner{c: c}
	last := p.add(step(stepPreflight, "look whether "+h.Name+" may go back to "+spec.Version))
	moves := h.Has(v1alpha1.RoleControlPlane) && c.MovesVirtualIP()
	if moves {
		s := onNode(stepVIPAway, h.Name, "move the virtual IP away from "+h.Name, last)
		s.UndoneBy = id(stepVIPRestore, h.Name)
		last = p.add(s)
	}
	title := "put back on " + h.Name + " what was kept of " + spec.Version
	if h.Has(v1alpha1.RoleControlPlane) {
		title += endpoint.Restart(c, h.Name)
	}
	p.add(onNode(stepRollback, h.Name, title, last))
	p.last = []string{p.gate(NodePlan{Node: h.Name})}
	if h.Has(v1alpha1.RoleControlPlane) {
		p.add(step(stepConfigured, "see that kubeadm-config names a version that a control plane runs", p.last...))
	}
	if moves {
		p.vipBack(h.Name)
	}
	s := step(stepSettle, "have the node come to rest, if it was left in the middle")
	s.Cleanup = true
	p.add(s)
	if moves {
		s := onNode(stepVIPRestore, h.Name, "let "+h.Name+" have the virtual IP again, if it may not", stepSettle)
		s.Cleanup = true
		p.add(s)
	}
	return p.steps, nil
}

func rollbackPreflight(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	o, err := Observe(ctx, t.Clients, t.Cluster, Look{Inside: true})
	if err != nil {
		return engine.Outcome{}, err
	}
	if found := CheckRollback(t.Cluster, t.Operation.Spec.RollbackNode, o); len(found) > 0 {
		return engine.Outcome{}, refusal(found)
	}
	return engine.Outcome{}, nil
}

// CheckRollback says why a node may not go back to a version; nothing when it may. It
// is pure.
//
// An apiserver goes back over a minor version only while another one has not
// left it: what is stored is then still written so that both can read it.
// https://kubernetes.io/releases/version-skew-policy/#kube-apiserver
func CheckRollback(c *v1alpha1.Cluster, spec *v1alpha1.RollbackNodeSpec, o Observation) []Finding {
	refuse := func(node, format string, args ...any) []Finding {
		return []Finding{{Check: CheckSkew, Node: node, Blocks: true, Message: fmt.Sprintf(format, args...)}}
	}
	h, ok := c.Host(spec.Node)
	n, there := o.Nodes[spec.Node]
	if !ok || !there {
		return refuse(spec.Node, "it is no node of this cluster and its document")
	}
	to, err := parse(spec.Version)
	if err != nil {
		return refuse("", "%v", err)
	}
	have := o.Versions(c)
	servers, bad := parseAll(have.APIServers)
	kubelets, badToo := parseAll(have.Kubelets)
	if out := append(bad, badToo...); len(out) > 0 {
		return out
	}
	if !h.Has(v1alpha1.RoleControlPlane) {
		lowest, highest := bounds(servers)
		switch {
		case lowest == nil || lowest.LessThan(to):
			return refuse(spec.Node, "its kubelet would be newer than an apiserver")
		case to.Minor()+kubeletSkew < highest.Minor():
			return refuse(spec.Node, "its kubelet would be more than %d minor versions behind an apiserver", kubeletSkew)
		}
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(kubelets)) {
		if k := kubelets[name]; name != spec.Node && to.Minor() < k.Minor() {
			return refuse(name, "its kubelet runs %s and would be newer than the apiserver of %s", text(k), spec.Node)
		}
	}
	own, known := servers[spec.Node]
	delete(servers, spec.Node)
	if !known || own.Minor() <= to.Minor() {
		return nil
	}
	for _, s := range servers {
		if s.Minor() <= to.Minor() {
			return nil
		}
	}
	if len(servers) == 0 && n.Kubelet == spec.Version {
		return nil // Its turn was not finished.
	}
	return refuse(spec.Node, "every control plane has left v1.%d, and what is stored may be written in ways that it can't read; a restore of the backup is the way back", to.Minor())
}

func rollback(_ context.Context, t engine.Turn) (node.Request, error) {
	h, err := host(t)
	if err != nil {
		return node.Request{}, err
	}
	spec := upgrade.RollbackSpec{Version: t.Operation.Spec.RollbackNode.Version}
	if h.Has(v1alpha1.RoleControlPlane) {
		spec.LocalEndpoint = t.Cluster.APIServerURL(h.Address)
	}
	return request(tasks.RollbackNode, upgrade.RollbackTimeout, spec)
}
