package status

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
)

// describeOperations tells of those that are not finished, or of the last one, and
// of the newest backup that Operations have made.
func describeOperations(r *Report, all []v1alpha1.Operation) {
	for _, op := range all {
		if operations.Unfinished(op) {
			r.Operations = append(r.Operations, operation(op))
		}
	}
	if len(r.Operations) == 0 && len(all) > 0 {
		r.Operations = append(r.Operations, operation(all[len(all)-1]))
	}
	if backups := upgrade.Backups(all); len(backups) > 0 {
		r.LastBackup = &Backup{Name: backups[0].Name, Node: backups[0].Node, Made: backups[0].Made}
	}
}

func operation(op v1alpha1.Operation) Operation {
	out := Operation{Name: op.Name, Type: string(op.Spec.Type), Phase: string(op.Status.Phase), Progress: op.Status.Progress,
		Message: op.Status.Message, Since: op.CreationTimestamp.Time, Finished: op.Status.Phase.Final()}
	if out.Phase == "" {
		out.Phase = string(v1alpha1.OperationPending)
	}
	if out.Finished && op.Status.FinishedAt != nil {
		out.Since = op.Status.FinishedAt.Time
	}
	return out
}

// controlPlaneImages are those that a control plane needs for its version, as the
// end of their names.
var controlPlaneImages = [...]string{"/" + apiserver, "/" + controllerManager, "/" + scheduler}

// reported is how many images a kubelet reports, the largest; what a node with that
// many does not report may be there. https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/ (nodeStatusMaxImages)
const reported = 50

// describeImages looks for images of the control plane that one control plane has
// and another lacks: what an upgrade would wait for.
func describeImages(r *Report, nodes []corev1.Node) {
	kinds, needed := map[string]bool{}, map[string]bool{}
	has := map[string]map[string]bool{}
	for _, n := range nodes {
		has[n.Name] = map[string]bool{}
		for _, i := range n.Status.Images {
			for _, name := range i.Names {
				if strings.Contains(name, "@") {
					continue
				}
				kinds[name], has[n.Name][name] = true, true
				repository, tag := name[:max(0, strings.LastIndex(name, ":"))], name[strings.LastIndex(name, ":")+1:]
				if tag == r.Version && slices.ContainsFunc(controlPlaneImages[:], func(s string) bool { return strings.HasSuffix(repository, s) }) {
					needed[name] = true
				}
			}
		}
	}
	r.Images.Kinds = len(kinds)
	for _, n := range nodes {
		if _, ok := n.Labels["node-role.kubernetes.io/control-plane"]; !ok || len(n.Status.Images) >= reported {
			continue
		}
		for name := range needed {
			if !has[n.Name][name] {
				if r.Images.Missing == nil {
					r.Images.Missing = map[string][]string{}
				}
				r.Images.Missing[n.Name] = append(r.Images.Missing[n.Name], name)
			}
		}
		slices.Sort(r.Images.Missing[n.Name])
	}
}

// loadBalancer asks at the load balancer's port, on each control plane and at the
// virtual IP. Where nobody listens there is none.
func (p *prober) loadBalancer(ctx context.Context) {
	spec := p.l.cluster.Spec.LoadBalancer
	if spec.Port == 0 || spec.Port == p.l.cluster.Spec.APIServerPort {
		return
	}
	port := strconv.Itoa(int(spec.Port))
	if !p.l.cluster.KeepsVirtualIP() && !spec.Enabled {
		return // Whatever listens there is others'.
	}
	lb := &LoadBalancer{Type: spec.Type, Address: net.JoinHostPort(p.l.cluster.Spec.VirtualIP, port)}
	hosts := p.l.cluster.ControlPlanes()
	lb.Backends = make([]Backend, len(hosts))
	there := make([]bool, len(hosts))
	var all sync.WaitGroup
	for i, h := range hosts {
		all.Go(func() { lb.Backends[i], there[i] = p.backend(ctx, h.Name, net.JoinHostPort(h.Address, port)) })
	}
	all.Wait()
	if slices.Contains(there, true) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.r.LoadBalancer = lb
	}
}

// backend asks one host's load balancer for the version of the API behind it.
func (p *prober) backend(ctx context.Context, node, address string) (b Backend, there bool) {
	b.Node = node
	cert, err := certificate(ctx, direct(address))
	if err != nil {
		b.What = short(err)
		return b, false
	}
	p.keep(node, "load balancer", cert)
	c := askServer(ctx, p.l.config, address, direct(address))
	b.Up, b.What = c.Version != "", c.Error
	return b, true
}
