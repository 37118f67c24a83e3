package nodes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
)

// A member of etcd is added before its host is anything else in the cluster. When that host is
// lost there and then, the member is what stays: it is in no document, and there is no node. As
// a learner it keeps every other one out, since etcd takes one at a time.

// checkDrop says what stands in the way of taking such a member out, as far as can be told
// without asking etcd: the task on the control plane looks at the members themselves.
func checkDrop(c *v1alpha1.Cluster, text string, o Observation) []Finding {
	var out []Finding
	block := func(check, hint, format string, args ...any) {
		out = append(out, Finding{Check: check, Message: fmt.Sprintf(format, args...), Hint: hint, Blocks: true})
	}
	if owner := ownerOf(c, text, o); owner != "" {
		block("etcd-member", fmt.Sprintf("take the whole host out: kubectl ha node remove %s; another member of that name goes by its peer URL", owner), "%s is part of the cluster", owner)
	}
	if len(alive(c, o, "")) == 0 {
		block("control-plane", "bring one back first", "no control plane was heard of lately that could ask etcd")
	}
	members := c.EtcdMembers()
	// Of stacked etcd the document may name hosts that never became members; the task sees who is one.
	if away := len(o.EtcdAway); !c.Stacked() && len(members) > 0 && len(members)-away < etcd.Quorum(len(members)) {
		block("quorum", "bring members back first", "etcd has no quorum, and changes no member without: %d of %d members answer", len(members)-away, len(members))
	}
	return out
}

// ownerOf is the host or node that a name or an address is of; empty when it is nobody's.
func ownerOf(c *v1alpha1.Cluster, text string, o Observation) string {
	all := map[string]string{}
	for name, n := range o.Nodes {
		all[name] = n.Address
	}
	for _, h := range c.Spec.Hosts {
		all[h.Name] = h.Address
	}
	if _, ok := all[text]; ok {
		return text
	}
	wanted, err := netip.ParseAddr(etcd.AddressOf(text))
	if err != nil {
		return ""
	}
	owner := ""
	for name, address := range all {
		if has, err := netip.ParseAddr(address); err == nil && has == wanted && (owner == "" || name < owner) {
			owner = name
		}
	}
	return owner
}

func planDrop(c *v1alpha1.Cluster, text string, o Observation) []v1alpha1.StepStatus {
	p := &planner{c: c, o: o}
	p.then(step(stepCheck, "look whether "+text+" is no host's"))
	p.then(onNode(stepDrop, alive(c, o, "")[0].Name, "take the etcd member "+text+" out, if etcd can do without it"))
	return p.steps
}

// dropMember names all hosts and nodes, whose members stay.
func dropMember(ctx context.Context, t engine.Turn) (node.Request, error) {
	list, err := t.Clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return node.Request{}, fmt.Errorf("list the nodes: %w", err)
	}
	spec := etcdmember.DropSpec{Member: t.Operation.Spec.RemoveNode.EtcdMember, Members: members(t.Cluster), Hosts: hostsAndNodes(t.Cluster, list.Items)}
	return request(tasks.EtcdDrop, leaveTimeout, spec)
}

// hostsAndNodes maps the names of the document's hosts and of the nodes to their addresses.
func hostsAndNodes(c *v1alpha1.Cluster, list []corev1.Node) map[string]string {
	out := map[string]string{}
	for _, n := range list {
		out[n.Name] = internalAddress(n)
	}
	for _, h := range c.Spec.Hosts {
		out[h.Name] = h.Address
	}
	return out
}

// dropped is what became of the member in a line.
func dropped(r node.Result) string {
	var d etcdmember.DropData
	if json.Unmarshal(r.Data, &d) != nil {
		return "" // Only the data got lost on its way, not the result.
	}
	if d.Dropped == "" {
		return "there is no such member; etcd has " + strings.Join(d.Left, ", ")
	}
	return d.Dropped + " is out; etcd has " + strings.Join(d.Left, ", ")
}
