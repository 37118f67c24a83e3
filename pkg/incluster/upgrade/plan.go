package upgrade

import (
	"fmt"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/endpoint"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/join"
)

// The kinds of steps: the part of a step's ID before the slash.
const (
	stepPreflight    = "preflight"
	stepContent      = "content"
	stepBackup       = "backup"
	stepFeatureGates = "feature-gates"
	stepOthers       = "others"
	stepVIPAway      = "vip-away"
	stepCordon       = "cordon"
	stepDrain        = "drain"
	stepApply        = "apply"
	stepControlPlane = "control-plane"
	stepKubelet      = "kubelet"
	stepGate         = "gate"
	stepHolders      = "one-holder"
	stepVIPBack      = "vip-back"
	stepUncordon     = "uncordon"
	// stepWorkers opens the turns of workers.
	stepWorkers    = "workers"
	stepRollback   = "rollback"
	stepConfigured = "kubeadm-config"
	stepRecord     = "record"
	stepReport     = "report"
	// The clean-up: what is still as a step of a node left it.
	stepSettle     = "settle"
	stepVIPRestore = "vip-restore"
	stepUncordoned = "uncordon-all"
)

// Plan is an Upgrade's steps, in an order in which they could run one by one; what
// is done already is not in it. It is pure.
func Plan(op *v1alpha1.Operation, c *v1alpha1.Cluster, o Observation) ([]v1alpha1.StepStatus, error) {
	spec := op.Spec.Upgrade
	if spec == nil {
		return nil, fmt.Errorf("operation %s has no spec.upgrade", op.Name)
	}
	nodes, err := Nodes(c, spec, o)
	if err != nil {
		return nil, err
	}
	workers, err := groups(c, spec, o)
	if err != nil {
		return nil, err
	}
	p := &planner{c: c, spec: spec}
	p.add(step(stepPreflight, "look whether the cluster is fit for "+spec.Version))
	p.before(nodes, o)
	if p.removesGates(o) {
		p.last = []string{p.add(step(stepFeatureGates, "remove the feature gates that "+spec.Version+" does not take", p.last...))}
	}
	for _, n := range nodes {
		if n.ControlPlane && n.Turn > 0 {
			p.controlPlane(n)
		}
	}
	if spec.Only != v1alpha1.UpgradeNodes {
		p.settings()
	}
	p.workers(nodes, workers)
	// After the last steps only: whatever a pending step comes after directly is done
	// again when a failed Operation is resumed and its clean-up has undone it.
	p.add(step(stepReport, "sum up", p.last...))
	p.cleanUp(nodes)
	return p.steps, nil
}

// planner collects steps. last are those that the next part comes after.
type planner struct {
	c     *v1alpha1.Cluster
	spec  *v1alpha1.UpgradeSpec
	steps []v1alpha1.StepStatus
	last  []string
}

func (p *planner) add(s v1alpha1.StepStatus) string {
	p.steps = append(p.steps, s)
	return s.ID
}

// before are the steps that change nothing of what runs: the content is there on
// every node that is to be upgraded, and there is a way back.
func (p *planner) before(nodes []NodePlan, o Observation) {
	var ready []string
	for _, n := range nodes {
		if n.Turn > 0 {
			p.add(onNode(stepContent, n.Node, "look whether "+n.Node+" has all of "+p.spec.Version, stepPreflight))
			ready = []string{v1alpha1.AfterAll(stepContent)}
		}
	}
	if p.spec.Only == v1alpha1.UpgradeNodes || !slices.ContainsFunc(nodes, func(n NodePlan) bool { return n.Static }) {
		// Neither etcd nor /etc/kubernetes of a control plane is touched.
		p.ready(ready)
		return
	}
	for _, h := range p.c.Nodes() {
		etcd := p.c.IsMember(h.Name)
		if _, there := o.Nodes[h.Name]; there && (etcd || h.Has(v1alpha1.RoleControlPlane)) {
			ready = append(ready, p.add(onNode(stepBackup, h.Name, "back up "+h.Name, stepPreflight)))
		}
	}
	p.ready(ready)
}

// ready are the steps after which nodes are changed.
func (p *planner) ready(steps []string) {
	if p.last = steps; len(steps) == 0 {
		p.last = []string{stepPreflight}
	}
}

// controlPlane is one control plane's turn.
func (p *planner) controlPlane(n NodePlan) {
	wait := step(id(stepOthers, n.Node), "see that all else is well before "+n.Node+" is taken away", p.last...)
	// So that it is looked at again when a turn that failed is resumed.
	wait.UndoneBy = stepUncordoned
	before := []string{p.add(wait)}
	// With one control plane the address has nowhere to go, and one that others keep is not
	// ours to move. A kubelet of another minor version may restart the containers that it
	// finds, so that counts as well.
	moves := p.c.MovesVirtualIP()
	if moves {
		s := onNode(stepVIPAway, n.Node, "move the virtual IP away from "+n.Node, before...)
		s.UndoneBy = id(stepVIPRestore, n.Node)
		before = []string{p.add(s)}
	}
	if n.Drained {
		before = append(before, p.drain(n.Node, before...))
	}
	if n.Static {
		kind, title := stepControlPlane, fmt.Sprintf("upgrade the control plane of %s to %s", n.Node, n.To)
		if n.First {
			kind, title = stepApply, title+", as the first"
		}
		title += endpoint.Restart(p.c, n.Node)
		before = append(before, p.add(onNode(kind, n.Node, title, before...)))
	}
	p.kubelet(n, before)
	p.last = []string{p.gate(n)}
	if moves {
		p.last = p.vipBack(n.Node)
	}
	if n.Drained {
		p.last = []string{p.add(step(id(stepUncordon, n.Node), "let pods onto "+n.Node+" again", p.last...))}
	}
}

// vipBack lets a control plane that is well have the address again, and meanwhile sees
// that exactly one has it: the one that it has moved to.
func (p *planner) vipBack(node string) []string {
	return []string{
		p.add(onNode(stepVIPBack, node, "let "+node+" have the virtual IP again", p.last...)),
		p.add(step(id(stepHolders, node), "see that exactly one control plane has the virtual IP", p.last...)),
	}
}

// drain cordons and drains a node.
func (p *planner) drain(node string, after ...string) string {
	s := step(id(stepCordon, node), "keep new pods from "+node, after...)
	s.UndoneBy = stepUncordoned
	s = step(id(stepDrain, node), "move the pods away from "+node, p.add(s))
	s.UndoneBy = stepUncordoned
	return p.add(s)
}

func (p *planner) kubelet(n NodePlan, after []string) {
	if n.Kubelet {
		p.add(onNode(stepKubelet, n.Node, fmt.Sprintf("upgrade the kubelet of %s from %s to %s", n.Node, n.From, n.To), after...))
	}
}

// gate comes after whatever was done to the node last.
func (p *planner) gate(n NodePlan) string {
	return p.add(step(id(stepGate, n.Node), "wait until "+n.Node+" is well", p.steps[len(p.steps)-1].ID))
}

// settings are made again after the last control plane, with which kubeadm writes
// its own addons anew; before the workers, whose kubelets need them.
//
// Where others keep the endpoint, all of these are theirs: kubeadm writes its addons anew
// as its own configuration has them, and what names the endpoint stays as it is.
func (p *planner) settings() {
	record := step(stepRecord, "note "+p.spec.Version+" in the stored Cluster document", p.last...)
	if !p.c.KeepsVirtualIP() {
		p.last = []string{p.add(record)}
		return
	}
	proxy := p.add(step(join.SettingKubeProxy, "see that kube-proxy uses "+p.c.EndpointFor(v1alpha1.UseForKubeProxy), p.last...))
	info := p.add(step(join.SettingClusterInfo, "see that cluster-info and kubeadm-config name "+p.c.EndpointFor(v1alpha1.UseForKubelets), p.last...))
	dns := p.add(step(join.SettingCoreDNS, "set CoreDNS to one replica on each control plane", p.last...))
	ready := p.add(step(join.SettingCoreDNSReady, "wait until CoreDNS runs on every control plane", dns))
	p.last = []string{proxy, info, ready, p.add(record)}
}

// cleanUp takes back what is still in effect of a turn that was not finished.
func (p *planner) cleanUp(nodes []NodePlan) {
	clean := func(s v1alpha1.StepStatus) {
		s.Cleanup = true
		p.add(s)
	}
	clean(step(stepSettle, "have nodes that were left in the middle come to rest"))
	clean(step(stepUncordoned, "let pods onto all nodes again that this Operation kept them from", stepSettle))
	for _, n := range nodes {
		if n.ControlPlane && n.Turn > 0 && p.c.MovesVirtualIP() {
			clean(onNode(stepVIPRestore, n.Node, "let "+n.Node+" have the virtual IP again, if it may not", stepSettle))
		}
	}
}

func id(kind, node string) string { return kind + "/" + node }

func step(id, title string, after ...string) v1alpha1.StepStatus {
	return v1alpha1.StepStatus{ID: id, Title: title, After: slices.Clone(after), State: v1alpha1.StepPending}
}

// onNode is a step that runs a task on the node.
func onNode(kind, node, title string, after ...string) v1alpha1.StepStatus {
	s := step(id(kind, node), title, after...)
	s.Node = node
	return s
}
