package convert

import (
	"errors"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/endpoint"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/loadbalancer"
)

// The kinds of steps: the part of a step's ID before the slash.
const (
	stepWell        = certs.StepWell
	stepAgent       = "agent"
	stepFree        = "free"
	stepNames       = "names"
	stepVIP         = "vip"
	stepAnswers     = "answers"
	stepClusterInfo = "cluster-info"
	stepKubeProxy   = "kube-proxy"
	stepKubelet     = loadbalancer.StepKubelet
	stepHeard       = "kubelets-heard"
	stepAdmin       = "admin"
	stepRecord      = "record"
	stepCoreDNS     = "coredns"
	stepDNSReady    = "coredns-ready"
	stepRemoveVIP   = "remove-vip"
)

// Plan is the Operation's steps, in an order in which they could run one by one. Each looks first
// and changes nothing where all is well. Everything that can fail for a reason of the hosts comes
// before anything uses the new endpoint, and the document last: until then it tells of the endpoint
// that everybody can still use. It is pure.
func Plan(spec *v1alpha1.ConvertSpec, c *v1alpha1.Cluster) ([]v1alpha1.StepStatus, error) {
	if spec == nil {
		return nil, errors.New("the operation has no spec.convert")
	}
	if err := Check(c, spec); err != nil {
		return nil, err
	}
	p := &planner{c: c, want: Wanted(c, spec)}
	p.then(step(stepWell, "see that all apiservers and etcd members are well"))
	if spec.Back {
		p.back(spec)
		return p.steps, nil
	}
	p.onControlPlanes(stepAgent, "bring the agent up to date")
	p.onControlPlanes(stepFree, "see that nobody has "+spec.VirtualIP+", and that keepalived is nobody else's here")
	for _, h := range c.ControlPlanes() {
		p.then(onNode(stepNames, h.Name, "see that the certificate of its apiserver is for "+spec.VirtualIP+"; it takes a new one up without a restart"))
	}
	p.onControlPlanes(stepVIP, "set keepalived and the watch of the apiserver up for "+spec.VirtualIP)
	p.then(step(stepAnswers, "wait until "+p.want.Endpoint()+" answers as this cluster"))
	p.users(false)
	p.then(step(stepRecord, "note it in the stored Cluster document: kubectl ha keeps the endpoint from now on"))
	if len(c.ControlPlanes()) > 1 {
		p.then(step(stepCoreDNS, "set CoreDNS to one replica on each control plane"))
		p.then(step(stepDNSReady, "wait until CoreDNS runs on every control plane"))
	}
	return p.steps, nil
}

// back is the way to the former endpoint. The certificates keep the name of the virtual IP.
func (p *planner) back(spec *v1alpha1.ConvertSpec) {
	if endpoint.Of(p.want) != endpoint.Local {
		p.then(step(stepAnswers, "see that "+p.want.Endpoint()+" answers as this cluster"))
	}
	p.users(true)
	p.then(step(stepRecord, "note it in the stored Cluster document: "+p.want.Endpoint()+" is the endpoint, and not kubectl ha's"))
	p.onControlPlanes(stepRemoveVIP, "take "+spec.VirtualIP+" away, with keepalived's settings and the watch of the apiserver; what uses that address fails from now on")
}

type planner struct {
	// c is the document as it is, want as it will be.
	c, want *v1alpha1.Cluster
	steps   []v1alpha1.StepStatus
	// last are those that the next step comes after.
	last []string
}

func step(id, title string) v1alpha1.StepStatus {
	return v1alpha1.StepStatus{ID: id, Title: title, State: v1alpha1.StepPending}
}

func onNode(kind, node, title string) v1alpha1.StepStatus {
	s := step(kind+"/"+node, title)
	s.Node = node
	return s
}

func (p *planner) then(s v1alpha1.StepStatus) {
	s.After = slices.Clone(p.last)
	p.steps, p.last = append(p.steps, s), []string{s.ID}
}

// onControlPlanes does something on all of them at the same time.
func (p *planner) onControlPlanes(kind, title string) {
	for _, h := range p.c.ControlPlanes() {
		s := onNode(kind, h.Name, title)
		s.After = slices.Clone(p.last)
		p.steps = append(p.steps, s)
	}
	p.last = []string{v1alpha1.AfterAll(kind)}
}

// users points at the endpoint whatever in the cluster uses it: what joins, kube-proxy, kubelets,
// and the files of administrators. The control planes' controller managers and schedulers use the
// apiserver beside them.
func (p *planner) users(back bool) {
	to := p.want.Endpoint()
	p.then(step(stepClusterInfo, "see that cluster-info and kubeadm's configuration name "+to))
	p.then(step(stepKubeProxy, "see that kube-proxy uses "+to))
	var kubelets []v1alpha1.StepStatus
	if !back { // They stay with their own apiserver.
		for _, h := range p.c.ControlPlanes() {
			kubelets = append(kubelets, onNode(stepKubelet, h.Name, "see that its kubelet uses the apiserver beside it"))
		}
	}
	for _, h := range p.c.Workers() {
		kubelets = append(kubelets, onNode(stepKubelet, h.Name, "see that "+to+" answers from there, and point the kubelet at it; pods don't notice"))
	}
	if len(kubelets) > 0 {
		for i := range kubelets {
			kubelets[i].After = slices.Clone(p.last)
		}
		p.steps, p.last = append(p.steps, kubelets...), []string{v1alpha1.AfterAll(stepKubelet)}
		p.then(step(stepHeard, "wait until each of those kubelets is heard of"))
	}
	p.onControlPlanes(stepAdmin, "point "+strings.Join(adminFiles, " and ")+" at "+to)
}

// adminFiles are named as people know them.
var adminFiles = []string{"admin.conf", "super-admin.conf"}
