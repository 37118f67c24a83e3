package rotateca

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	operation "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/endpoint"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

// The kinds of steps: the part of a step's ID before the slash.
const (
	stepWell = operation.StepWell
	// stepRotate is on a control plane node, stepTrust on a worker.
	stepRotate  = "rotate"
	stepTrust   = "trust"
	stepRefresh = "refresh"
	stepGate    = operation.StepGate
)

// lanes is on how many workers something is done at the same time.
const lanes = 10

// Plan is the turn of each node: control plane nodes one after the other, workers in lanes. It is
// pure.
func Plan(spec *v1alpha1.RotateAuthoritySpec, c *v1alpha1.Cluster) ([]v1alpha1.StepStatus, error) {
	if spec == nil {
		return nil, errors.New("the operation names no authority to rotate")
	}
	p := &planner{spec: spec, c: c, authority: certs.Authority(spec.Authority), phase: certs.Phase(spec.Phase)}
	if !slices.Contains(certs.OnHosts(), p.authority) || !slices.Contains(certs.Phases(), p.phase) {
		return nil, fmt.Errorf("there is no authority %q with a phase %q", spec.Authority, spec.Phase)
	}
	p.then(step(stepWell, "", "see that all apiservers and etcd members are well"))
	if p.phase == certs.PhaseFinish && p.authority == certs.AuthorityKubernetes {
		p.workers(stepTrust, "trust only the new CA") // Before nobody shows the former one any more.
	}
	for _, h := range p.c.ControlPlanes() {
		p.turn(h.Name)
	}
	switch {
	case p.phase == certs.PhaseTrust && p.authority == certs.AuthorityKubernetes:
		p.workers(stepTrust, "trust both CAs")
	case p.phase == certs.PhaseIssue && (p.authority == certs.AuthorityKubernetes || p.authority == certs.AuthorityServiceAccount):
		p.refresh()
	}
	for _, name := range p.moved {
		p.steps = append(p.steps, upgrade.Restore(name))
	}
	return p.steps, nil
}

type planner struct {
	spec      *v1alpha1.RotateAuthoritySpec
	c         *v1alpha1.Cluster
	authority certs.Authority
	phase     certs.Phase
	steps     []v1alpha1.StepStatus
	last      []string
	moved     []string
}

func step(kind, node, title string) v1alpha1.StepStatus {
	id := kind
	if node != "" {
		id += "/" + node
	}
	return v1alpha1.StepStatus{ID: id, Node: node, Title: title, State: v1alpha1.StepPending}
}

// then adds a step after all that is there.
func (p *planner) then(s v1alpha1.StepStatus) {
	s.After = slices.Clone(p.last)
	p.steps, p.last = append(p.steps, s), []string{s.ID}
}

// restarts reports whether the apiserver is restarted: it reads the keys of service accounts at its
// start only.
func (p *planner) restarts() bool { return p.authority == certs.AuthorityServiceAccount }

func (p *planner) turn(name string) {
	moves := p.restarts() && p.c.MovesVirtualIP()
	if moves {
		p.moved = append(p.moved, name)
		s := upgrade.Away(name, p.last...)
		p.steps, p.last = append(p.steps, s), []string{s.ID}
	}
	title := p.what() + " on " + name
	if p.restarts() {
		title += endpoint.Restart(p.c, name)
	}
	p.then(step(stepRotate, name, title))
	p.gate(name)
	if moves {
		back := upgrade.Back(name, p.last...)
		p.steps, p.last = append(p.steps, back...), []string{back[len(back)-1].ID}
	}
}

// what is done on a control plane node, in words.
func (p *planner) what() string {
	thing := map[certs.Authority]string{
		certs.AuthorityKubernetes: "the Kubernetes CA", certs.AuthorityFrontProxy: "the front-proxy CA",
		certs.AuthorityServiceAccount: "the service account key",
	}[p.authority]
	switch p.phase {
	case certs.PhaseTrust:
		return "trust the new one beside " + thing
	case certs.PhaseIssue:
		return "sign with the new one instead of " + thing
	}
	return "trust only the new one instead of " + thing
}

func (p *planner) gate(name string) {
	s := step(stepGate+"/"+name, "", "wait until "+name+" and all else is well")
	p.then(s)
}

// workers do something in lanes: each waits for the one before it in its lane.
func (p *planner) workers(kind, what string) {
	before := make([][]string, min(lanes, max(1, len(p.c.Workers()))))
	for i := range before {
		before[i] = p.last
	}
	for i, h := range p.c.Workers() {
		lane := i % len(before)
		s := step(kind, h.Name, h.Name+": "+what)
		s.After = slices.Clone(before[lane])
		p.steps, before[lane] = append(p.steps, s), []string{s.ID}
	}
	p.last = slices.Concat(before...)
	slices.Sort(p.last)
	p.last = slices.Compact(p.last)
}

// refresh gets anew what the cluster signs for nodes: once all control planes sign with the
// new authority.
func (p *planner) refresh() {
	what := "get the kubelet's certificates signed by the new CA"
	if p.authority == certs.AuthorityServiceAccount {
		what = "restart the kubelet, which binds the tokens of its pods anew"
	}
	for _, h := range p.c.ControlPlanes() {
		p.then(step(stepRefresh, h.Name, h.Name+": "+what))
		p.then(step(stepWell+"/"+h.Name, "", "see that all apiservers and etcd members are well"))
	}
	p.workers(stepRefresh, what)
}
