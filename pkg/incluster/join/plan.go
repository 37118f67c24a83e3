package join

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// The kinds of steps: the part of a step's ID before the slash.
const (
	stepNetwork      = "network"
	stepUploadCerts  = "upload-certs"
	stepPromote      = "promote"
	stepKubeProxy    = "kube-proxy"
	stepClusterInfo  = "cluster-info"
	stepLabels       = "labels"
	stepNodesReady   = "nodes-ready"
	stepCoreDNS      = "coredns"
	stepCoreDNSReady = "coredns-ready"
	stepCleanUp      = "clean-up"
)

// Observation is what was seen of a cluster.
type Observation struct {
	// Nodes by name.
	Nodes map[string]Node
	// Network are the objects of the network plugin that an apply would change.
	Network []string
	// KubeProxy, ClusterInfo, CoreDNS and CoreDNSReady say what is not as it
	// should be, each empty when it is.
	KubeProxy, ClusterInfo, CoreDNS, CoreDNSReady string
}

// Node is what was seen of a node.
type Node struct {
	ControlPlane bool
	// NotReady says why it is not Ready, empty when it is.
	NotReady string
	Labels   map[string]string
}

// Reasons says why the cluster is not yet what the Cluster document asks for,
// as far as a Join can do something about it; empty when nothing is to be done.
func Reasons(c *v1alpha1.Cluster, o Observation) []string {
	var out []string
	for _, h := range c.Nodes() {
		n, ok := o.Nodes[h.Name]
		switch {
		case !ok:
			out = append(out, h.Name+" is no node of the cluster")
			continue
		case h.Has(v1alpha1.RoleControlPlane) && !n.ControlPlane:
			out = append(out, h.Name+" is no control plane yet")
		}
		if n.NotReady != "" {
			out = append(out, h.Name+" is not ready: "+n.NotReady)
		}
		if missing := missingLabels(h, n); len(missing) > 0 {
			out = append(out, fmt.Sprintf("%s lacks the labels %s", h.Name, strings.Join(missing, ", ")))
		}
	}
	if len(o.Network) > 0 {
		out = append(out, "the network plugin is to be applied: "+strings.Join(o.Network, ", "))
	}
	for _, r := range []string{o.KubeProxy, o.ClusterInfo, o.CoreDNS, o.CoreDNSReady} {
		if r != "" {
			out = append(out, r)
		}
	}
	return out
}

// Spec is the Join that the observation asks for: the control planes that are
// only joined, and a running one as the source of the certificates.
func Spec(c *v1alpha1.Cluster, o Observation) (*v1alpha1.JoinSpec, error) {
	spec := &v1alpha1.JoinSpec{}
	for _, h := range c.ControlPlanes() {
		n := o.Nodes[h.Name]
		switch {
		case !n.ControlPlane:
			spec.ControlPlanes = append(spec.ControlPlanes, h.Name)
		case spec.Source == "" || (o.Nodes[spec.Source].NotReady != "" && n.NotReady == ""):
			// Any will do; one that is ready rather than one that is not.
			spec.Source = h.Name
		}
	}
	if spec.Source == "" {
		return nil, fmt.Errorf("none of the control planes in the Cluster document runs in this cluster; is this the right kubeconfig?")
	}
	return spec, nil
}

// Plan is the Join's steps, in an order in which they could run one by one;
// what is done already is skipped and says so. It is pure.
func Plan(op *v1alpha1.Operation, c *v1alpha1.Cluster, o Observation) ([]v1alpha1.StepStatus, error) {
	if op.Spec.Join == nil {
		return nil, fmt.Errorf("operation %s has no spec.join", op.Name)
	}
	p := &planner{}
	p.add(step(stepCoreDNS, "set CoreDNS to one replica on each control plane"), skipIf(o.CoreDNS == ""))
	p.network(c, o)
	p.add(step(stepKubeProxy, "point kube-proxy at "+c.EndpointFor(v1alpha1.UseForKubeProxy)), skipIf(o.KubeProxy == ""))
	p.add(step(stepClusterInfo, "point cluster-info and kubeadm-config at "+c.EndpointFor(v1alpha1.UseForKubelets)), skipIf(o.ClusterInfo == ""))
	p.add(step(stepLabels, "label the nodes"), skipIf(!wantLabels(c, o)))
	promotions, err := p.promotions(op.Spec.Join, c, o)
	if err != nil {
		return nil, err
	}
	// The gates are never skipped: they look, and change nothing when all is well.
	p.add(step(stepNodesReady, "wait until every node is Ready", append(promotions, stepNetwork)...), "")
	p.add(step(stepCoreDNSReady, "wait until CoreDNS runs on every control plane", append(promotions, stepCoreDNS, stepNetwork)...), "")
	if len(promotions) > 0 {
		s := step(stepCleanUp, "remove the token and the uploaded certificates")
		s.Cleanup = true
		p.add(s, "")
	}
	return p.steps, nil
}

type planner struct{ steps []v1alpha1.StepStatus }

// add adds a step; a reason to skip makes it a skipped one.
func (p *planner) add(s v1alpha1.StepStatus, skip string) {
	if skip != "" {
		s.State, s.Message = v1alpha1.StepSkipped, skip
	}
	p.steps = append(p.steps, s)
}

func (p *planner) network(c *v1alpha1.Cluster, o Observation) {
	plugin := c.Spec.Network.Plugin
	skip := skipIf(len(o.Network) == 0)
	if plugin == v1alpha1.NetworkPluginNone {
		skip = "spec.network.plugin is none: the pod network is yours to bring"
	}
	p.add(step(stepNetwork, "apply the network plugin "+string(plugin)), skip)
}

// promotions adds the upload of the certificates and each promotion, and
// returns the promotions' IDs. With stacked etcd one comes after the other: each adds a member to
// etcd, which takes one learner at a time.
func (p *planner) promotions(spec *v1alpha1.JoinSpec, c *v1alpha1.Cluster, o Observation) ([]string, error) {
	var left []string
	for _, name := range spec.ControlPlanes {
		if h, ok := c.Host(name); !ok || !h.Has(v1alpha1.RoleControlPlane) {
			return nil, fmt.Errorf("%s is to become a control plane, and the stored Cluster document does not say so; run kubectl ha bootstrap again", name)
		}
		if n := o.Nodes[name]; !n.ControlPlane || n.NotReady != "" {
			left = append(left, name)
		}
	}
	upload := stepUploadCerts + "/" + spec.Source
	if len(left) > 0 {
		s := step(upload, "upload the certificates from "+spec.Source)
		s.Node, s.UndoneBy = spec.Source, stepCleanUp
		p.add(s, "")
	}
	var ids []string
	for _, name := range spec.ControlPlanes {
		s := step(stepPromote+"/"+name, "make "+name+" a control plane")
		s.Node = name
		if !slices.Contains(left, name) {
			p.add(s, "it is a control plane and Ready")
			continue
		}
		s.After = []string{upload}
		if c.Stacked() && len(ids) > 0 {
			s.After = append(s.After, ids[len(ids)-1])
		}
		p.add(s, "")
		ids = append(ids, s.ID)
	}
	return ids, nil
}

func step(id, title string, after ...string) v1alpha1.StepStatus {
	return v1alpha1.StepStatus{ID: id, Title: title, After: slices.Clone(after), State: v1alpha1.StepPending}
}

func skipIf(done bool) string {
	if done {
		return "already up to date"
	}
	return ""
}
