package loadbalancer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// The kinds of steps: the part of a step's ID before the slash.
const (
	stepNames       = "names"
	stepAgent       = "agent"
	stepApply       = "apply"
	stepReady       = "ready"
	stepRecord      = "record"
	stepNote        = "note"
	stepKubeProxy   = "kube-proxy"
	stepClusterInfo = "cluster-info"
	// StepKubelet points a node's kubelet at another endpoint.
	StepKubelet = "kubelet"
	stepHeard   = "kubelets-heard"
	stepDelete  = "delete"
)

// ErrPort: a load balancer that is used can't change its port, since its users would
// be without an API in between.
var ErrPort = errors.New("the load balancer is in use at another port")

// Wanted is the Cluster document with the load balancer that is asked for.
func Wanted(c *v1alpha1.Cluster, spec *v1alpha1.LoadBalancerSpec) *v1alpha1.Cluster {
	out := *c
	out.Spec.LoadBalancer = v1alpha1.LoadBalancer{Type: spec.Type, Port: spec.Port, Enabled: true, UseFor: slices.Clone(spec.UseFor)}
	return &out
}

// Without is the Cluster document without a load balancer; which one it had stays as a wish.
func Without(c *v1alpha1.Cluster) *v1alpha1.Cluster {
	out := *c
	out.Spec.LoadBalancer = v1alpha1.LoadBalancer{Type: c.Spec.LoadBalancer.Type, Port: c.Spec.LoadBalancer.Port}
	return &out
}

// Plan is the steps that set the load balancer up, or change it. It is pure: each step
// looks first and changes nothing where all is well.
func Plan(op *v1alpha1.Operation, c *v1alpha1.Cluster) ([]v1alpha1.StepStatus, error) {
	spec := op.Spec.LoadBalancer
	if spec == nil {
		return nil, fmt.Errorf("operation %s has no spec.loadBalancer", op.Name)
	}
	have := c.Spec.LoadBalancer
	if have.Enabled && have.Port != spec.Port && len(have.UseFor) > 0 {
		return nil, fmt.Errorf("%w, %d, for %s\nnext: kubectl ha loadbalancer remove, then install it again", ErrPort, have.Port, uses(have.UseFor))
	}
	if spec.Port == c.Spec.APIServerPort {
		return nil, fmt.Errorf("%d is the apiservers' own port\nnext: choose another one", spec.Port)
	}
	if err := placed(c, spec.Port); err != nil {
		return nil, err
	}
	want := Wanted(c, spec)
	p := &planner{}
	for _, h := range c.ControlPlanes() {
		p.then(onNode(stepNames, h.Name, fmt.Sprintf("see that the certificate of %s's apiserver is for %s", h.Name, strings.Join(names(c), ", "))))
	}
	var agents []v1alpha1.StepStatus
	for _, h := range c.ControlPlanes() {
		agents = append(agents, onNode(stepAgent, h.Name, "bring the agent of "+h.Name+" up to date"))
	}
	p.beside(agents)
	p.then(step(stepApply, fmt.Sprintf("apply %s for port %d", spec.Type, spec.Port)))
	p.then(step(stepReady, "wait until it serves on every control plane, and at "+want.BalancedEndpoint()))
	const title = "note it in the stored Cluster document"
	if len(dropped(have, want.Spec.LoadBalancer)) == 0 {
		p.then(step(stepRecord, title))
		p.users(c, want)
		return p.steps, nil
	}
	// Whoever uses it stays in the document until it does not any more: a removal after an
	// Operation that was aborted in between would leave it without an API.
	p.then(step(stepNote, title+", with who uses it so far"))
	p.users(c, want)
	p.then(step(stepRecord, "note in the stored Cluster document who uses it now"))
	return p.steps, nil
}

// placed refuses a load balancer where its clients would not find it: it is on the control
// planes, at a virtual IP that they have.
func placed(c *v1alpha1.Cluster, port int32) error {
	switch {
	case c.KeepsVirtualIP():
		return nil
	case c.Spec.VirtualIP == "":
		return fmt.Errorf("the endpoint %s is not kubectl ha's and no address that the control planes hold: clients would not find a load balancer on these\nnext: balance the control planes where that endpoint leads", c.Endpoint())
	case port == c.EndpointPort():
		return fmt.Errorf("%d is the port of the endpoint %s, which others keep\nnext: choose another one", port, c.Endpoint())
	}
	return nil
}

// dropped are those who use it and are not to any more.
func dropped(have, want v1alpha1.LoadBalancer) []v1alpha1.LoadBalancerUse {
	return slices.DeleteFunc(slices.Clone(have.UseFor), func(u v1alpha1.LoadBalancerUse) bool { return !have.Balances(u) || want.Balances(u) })
}

// PlanRemove is the steps that take it away. Whatever uses it is pointed elsewhere
// first. It is pure.
func PlanRemove(c *v1alpha1.Cluster) []v1alpha1.StepStatus {
	p := &planner{}
	p.users(c, Without(c))
	p.then(step(stepRecord, "note it in the stored Cluster document"))
	p.then(step(stepDelete, "remove the load balancer"))
	return p.steps
}

// planner collects steps. last are those that the next one comes after.
type planner struct {
	steps []v1alpha1.StepStatus
	last  []string
}

func (p *planner) then(s v1alpha1.StepStatus) { p.beside([]v1alpha1.StepStatus{s}) }

// beside adds steps that may run at the same time.
func (p *planner) beside(all []v1alpha1.StepStatus) {
	if len(all) == 0 {
		return
	}
	var ids []string
	for _, s := range all {
		s.After = slices.Clone(p.last)
		p.steps = append(p.steps, s)
		ids = append(ids, s.ID)
	}
	p.last = ids
}

// users points at the endpoint whatever uses one, or used one. Where others keep the endpoint, what
// does neither is theirs.
func (p *planner) users(c, want *v1alpha1.Cluster) {
	sets := func(use v1alpha1.LoadBalancerUse) bool {
		return c.KeepsVirtualIP() || c.Spec.LoadBalancer.Balances(use) || want.Spec.LoadBalancer.Balances(use)
	}
	if sets(v1alpha1.UseForKubeProxy) {
		p.then(step(stepKubeProxy, "see that kube-proxy uses "+want.EndpointFor(v1alpha1.UseForKubeProxy)))
	}
	if sets(v1alpha1.UseForKubelets) {
		p.then(step(stepClusterInfo, "see that cluster-info names "+want.EndpointFor(v1alpha1.UseForKubelets)))
	}
	if !c.Spec.LoadBalancer.Balances(v1alpha1.UseForKubelets) && !want.Spec.LoadBalancer.Balances(v1alpha1.UseForKubelets) {
		return
	}
	var kubelets []v1alpha1.StepStatus
	for _, h := range c.Workers() {
		kubelets = append(kubelets, onNode(StepKubelet, h.Name, "point the kubelet of "+h.Name+" at "+want.EndpointFor(v1alpha1.UseForKubelets)))
	}
	if len(kubelets) == 0 {
		return
	}
	p.beside(kubelets)
	p.then(step(stepHeard, "wait until those kubelets are heard of"))
}

func step(id, title string) v1alpha1.StepStatus {
	return v1alpha1.StepStatus{ID: id, Title: title, State: v1alpha1.StepPending}
}

// onNode is a step that runs a task on the node.
func onNode(kind, node, title string) v1alpha1.StepStatus {
	s := step(kind+"/"+node, title)
	s.Node = node
	return s
}

// uses lists uses for people.
func uses(all []v1alpha1.LoadBalancerUse) string {
	var out []string
	for _, u := range all {
		out = append(out, string(u))
	}
	return strings.Join(out, ", ")
}
