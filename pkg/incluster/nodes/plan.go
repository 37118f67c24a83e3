package nodes

import (
	"fmt"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/endpoint"
)

// The kinds of steps: the part of a step's ID before the slash. Those of join have
// join's names.
const (
	stepCheck         = "check"
	stepMayLeave      = "etcd-may-leave"
	stepCordon        = "cordon"
	stepDrain         = "drain"
	stepVIPAway       = "vip-away"
	stepEndpoints     = "endpoints"
	stepKubeletAway   = "kubelet-away"
	stepLeave         = "etcd-leave"
	stepDrop          = "etcd-drop"
	stepRetire        = "retire"
	stepPeers         = "vip-peers"
	stepKubeadmConfig = "kubeadm-config"
	stepDelete        = "delete-node"
	stepDocument      = "document"
	stepSilenced      = "silenced"
	stepBalancer      = "load-balancer"
	stepUncordoned    = "uncordon-all"
	stepVIPRestore    = "vip-restore"

	stepUploadCerts  = "upload-certs"
	stepPromote      = "promote"
	stepLabels       = "labels"
	stepReady        = "nodes-ready"
	stepCoreDNS      = "coredns"
	stepCoreDNSReady = "coredns-ready"
	stepCleanUp      = "clean-up"
)

// planner collects steps. last are those that the next part comes after.
type planner struct {
	// c is the Cluster as it will be.
	c     *v1alpha1.Cluster
	o     Observation
	steps []v1alpha1.StepStatus
	last  []string
}

func (p *planner) add(s v1alpha1.StepStatus) string {
	p.steps = append(p.steps, s)
	return s.ID
}

// then adds a step that comes after the last ones, and is the last one then.
func (p *planner) then(s v1alpha1.StepStatus) {
	s.After = slices.Clone(p.last)
	p.last = []string{p.add(s)}
}

func step(id, title string, after ...string) v1alpha1.StepStatus {
	return v1alpha1.StepStatus{ID: id, Title: title, After: slices.Clone(after), State: v1alpha1.StepPending}
}

// onNode is a step that runs a task on the node.
func onNode(kind, node, title string, after ...string) v1alpha1.StepStatus {
	s := step(kind+"/"+node, title, after...)
	s.Node = node
	return s
}

func skipped(s v1alpha1.StepStatus, why string) v1alpha1.StepStatus {
	s.State, s.Message = v1alpha1.StepSkipped, why
	return s
}

// endpoints tells every apiserver of the etcd members, one after the other, since that
// restarts it. One that is away has the old list, with which it can live. With stacked etcd each
// uses the member on its own host, whoever else there is.
func (p *planner) endpoints(but ...string) {
	if p.c.Stacked() {
		return
	}
	for _, h := range p.c.ControlPlanes() {
		n := p.o.Nodes[h.Name]
		if slices.Contains(but, h.Name) || !n.ControlPlane {
			continue
		}
		s := onNode(stepEndpoints, h.Name, "tell the apiserver who the etcd members are; it restarts"+p.meanwhile(h.Name))
		if n.Lost != "" {
			s = skipped(s, "the host is away: "+n.Lost)
		}
		p.then(s)
	}
}

// meanwhile says where the endpoint is while a control plane's apiserver restarts.
func (p *planner) meanwhile(name string) string {
	if p.c.KeepsVirtualIP() {
		return ", with the virtual IP elsewhere"
	}
	return endpoint.Restart(p.c, name)
}

// peers tells keepalived on all other control planes who its peers are, which moves
// nothing. What others keep, others tell.
func (p *planner) peers(but ...string) {
	if !p.c.KeepsVirtualIP() {
		return
	}
	var all []string
	for _, h := range p.c.ControlPlanes() {
		n := p.o.Nodes[h.Name]
		if slices.Contains(but, h.Name) || !n.ControlPlane {
			continue
		}
		s := onNode(stepPeers, h.Name, "tell keepalived who its peers are", p.last...)
		if n.Lost != "" {
			s = skipped(s, "the host is away: "+n.Lost)
		}
		all = append(all, p.add(s))
	}
	if len(all) > 0 {
		p.last = all
	}
}

// dns has one replica on each control plane. It is waited for where all are there.
// Where others keep the endpoint, CoreDNS is theirs as well.
func (p *planner) dns(fresh ...string) {
	if !p.c.KeepsVirtualIP() {
		return
	}
	p.then(step(stepCoreDNS, "set CoreDNS to one replica on each control plane"))
	s := step(stepCoreDNSReady, "wait until CoreDNS runs on every control plane")
	for _, h := range p.c.ControlPlanes() {
		if n, ok := p.o.Nodes[h.Name]; !slices.Contains(fresh, h.Name) && (!ok || n.NotReady != "") {
			s = skipped(s, h.Name+" is not ready")
			break
		}
	}
	p.then(s)
	if p.c.Spec.LoadBalancer.Enabled {
		p.then(step(stepBalancer, "wait until the load balancer has followed"))
	}
}

// PlanAdd is an AddNode's steps, in an order in which they could run one by one. c has
// the new hosts. It is pure.
func PlanAdd(spec *v1alpha1.AddNodeSpec, c *v1alpha1.Cluster, o Observation) ([]v1alpha1.StepStatus, error) {
	if found := Blocking(CheckAdd(c, spec.Nodes, o)); len(found) > 0 {
		return nil, refusal(found)
	}
	p := &planner{c: c, o: o}
	var fresh, members []string
	for _, h := range c.Spec.Hosts {
		if !slices.Contains(spec.Nodes, h.Name) {
			continue
		}
		if h.Has(v1alpha1.RoleControlPlane) {
			fresh = append(fresh, h.Name)
		}
		if c.IsMember(h.Name) {
			members = append(members, h.Name)
		}
	}
	if len(fresh)+len(members) > 0 {
		p.then(step(stepKubeadmConfig, "note the control planes and etcd members in kubeadm's configuration"))
	}
	if len(fresh) > 0 {
		// Before any of them has an apiserver: from then on it may have the virtual IP.
		p.peers(fresh...)
		p.promotions(fresh)
	}
	if len(members) > 0 {
		p.endpoints(fresh...)
	}
	p.then(step(stepLabels, "label the new nodes"))
	p.then(step(stepReady, "wait until the new nodes are Ready"))
	if len(fresh) > 0 {
		p.dns(fresh...)
		s := step(stepCleanUp, "remove the token and the uploaded certificates")
		s.Cleanup = true
		p.add(s)
	}
	return p.steps, nil
}

// promotions makes control planes of the new nodes, from one that runs. With stacked etcd one comes after
// the other: each adds a member to etcd, which takes one learner at a time.
func (p *planner) promotions(fresh []string) {
	var source string
	for _, h := range p.c.ControlPlanes() {
		if n, ok := p.o.Nodes[h.Name]; ok && n.ControlPlane && n.Lost == "" && !slices.Contains(fresh, h.Name) && (source == "" || p.o.Nodes[source].NotReady != "") {
			source = h.Name
		}
	}
	upload := onNode(stepUploadCerts, source, "upload the certificates")
	upload.UndoneBy = stepCleanUp
	p.then(upload)
	var all []string
	for _, name := range fresh {
		s := onNode(stepPromote, name, "make it a control plane", p.last...)
		if p.c.Stacked() && len(all) > 0 {
			s.After = append(s.After, all[len(all)-1])
		}
		if n := p.o.Nodes[name]; n.ControlPlane && n.NotReady == "" {
			s = skipped(s, "it is one, and Ready")
		}
		all = append(all, p.add(s))
	}
	p.last = all
}

// PlanRemove is a RemoveNode's steps. c still has the host. It is pure.
func PlanRemove(spec *v1alpha1.RemoveNodeSpec, c *v1alpha1.Cluster, o Observation) ([]v1alpha1.StepStatus, error) {
	if found := Blocking(CheckRemove(c, spec, o)); len(found) > 0 {
		return nil, refusal(found)
	}
	if spec.EtcdMember != "" {
		return planDrop(c, spec.EtcdMember, o), nil
	}
	p := &planner{c: Without(c, spec.Node), o: o}
	h, _ := c.Host(spec.Node)
	n, isNode := o.Nodes[spec.Node]
	controlPlane, etcd := h.Has(v1alpha1.RoleControlPlane) || n.ControlPlane, c.IsMember(spec.Node)
	here := isNode && n.Lost == ""
	helper := ""
	if left := alive(c, o, spec.Node); len(left) > 0 {
		helper = left[0].Name
	}
	p.then(step(stepCheck, "look whether "+spec.Node+" can leave"))
	asks := asksEtcd(c, spec.Node, o)
	if asks {
		p.then(onNode(stepMayLeave, helper, "ask the etcd members whether they are a quorum without it"))
	}
	if here {
		p.leaves(spec.Node, controlPlane)
		if etcd && c.Stacked() {
			// Its own API server ends with its member, and the kubelet is still to be told what to do.
			p.then(onNode(stepKubeletAway, spec.Node, "have the kubelet use the API server of another control plane"))
		}
	}
	if etcd && here {
		// While all members are there, the apiservers learn to do without this one.
		p.endpoints()
	}
	if asks {
		title := "take the etcd member of " + spec.Node + " out"
		if !etcd {
			title += ", if it has one"
		}
		p.then(onNode(stepLeave, helper, title))
	}
	if etcd && !here {
		p.endpoints()
	}
	if here {
		title := "take the host out of service: keepalived, static pods, etcd, keys"
		if !c.KeepsVirtualIP() {
			title = "take the host out of service: static pods, etcd, keys"
		}
		p.then(onNode(stepRetire, spec.Node, title))
	}
	if controlPlane {
		p.peers()
	}
	if controlPlane || etcd {
		p.then(step(stepKubeadmConfig, "note the control planes and etcd members in kubeadm's configuration"))
	}
	if isNode {
		p.then(step(stepDelete+"/"+spec.Node, "delete the node "+spec.Node))
	}
	if controlPlane {
		p.dns()
	}
	p.then(step(stepDocument, "take "+spec.Node+" out of the stored Cluster document"))
	if isNode && !here {
		p.then(step(stepSilenced+"/"+spec.Node, "look that nothing of "+spec.Node+" answers any more"))
	}
	p.cleanUp(spec.Node, here, controlPlane)
	return p.steps, nil
}

// leaves moves pods and the virtual IP away from a host that is there.
func (p *planner) leaves(name string, controlPlane bool) {
	s := step(stepCordon+"/"+name, "keep new pods from "+name)
	s.UndoneBy = stepUncordoned
	p.then(s)
	s = step(stepDrain+"/"+name, "move the pods away from "+name)
	s.UndoneBy = stepUncordoned
	p.then(s)
	if controlPlane && p.c.KeepsVirtualIP() {
		s = onNode(stepVIPAway, name, "move the virtual IP away, if the host has it")
		s.UndoneBy = stepVIPRestore + "/" + name
		p.then(s)
	}
}

// cleanUp takes back what is still in effect when it was not brought to its end.
func (p *planner) cleanUp(name string, here, controlPlane bool) {
	if !here {
		return
	}
	clean := func(s v1alpha1.StepStatus) {
		s.Cleanup = true
		p.add(s)
	}
	clean(step(stepUncordoned, "let pods onto "+name+" again, if it stays"))
	if controlPlane && p.c.KeepsVirtualIP() {
		clean(onNode(stepVIPRestore, name, "let "+name+" have the virtual IP again, if it stays"))
	}
}

// Refused says why nothing is done.
type Refused struct{ Findings []Finding }

func refusal(found []Finding) error { return &Refused{found} }

// Error names the first reason, and how many there are.
func (r *Refused) Error() string {
	f := r.Findings[0]
	text := f.Message
	if f.Node != "" {
		text = f.Node + ": " + text
	}
	if more := len(r.Findings) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	if f.Hint != "" {
		text += "\nnext: " + f.Hint
	}
	return text
}
