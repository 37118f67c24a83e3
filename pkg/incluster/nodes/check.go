package nodes

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/drain"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
)

// Finding is something that stands in the way, or that one should know.
type Finding = plan.Finding

// Without is the Cluster without a host. When the etcd members are implied, that is all
// control planes.
func Without(c *v1alpha1.Cluster, name string) *v1alpha1.Cluster {
	out := *c
	out.Spec.Hosts = slices.DeleteFunc(slices.Clone(c.Spec.Hosts), func(h v1alpha1.Host) bool { return h.Name == name })
	return &out
}

// With is the stored document with hosts of the user's file, in the file's order: all
// else that may differ in the file is another matter.
func With(stored, file *v1alpha1.Cluster, names ...string) *v1alpha1.Cluster {
	out := *stored
	out.Spec.Hosts = nil
	for _, h := range file.Spec.Hosts {
		if slices.Contains(names, h.Name) {
			out.Spec.Hosts = append(out.Spec.Hosts, h)
		} else if old, ok := stored.Host(h.Name); ok {
			out.Spec.Hosts = append(out.Spec.Hosts, old)
		}
	}
	for _, h := range stored.Spec.Hosts {
		if _, ok := out.Host(h.Name); !ok {
			out.Spec.Hosts = append(out.Spec.Hosts, h)
		}
	}
	return &out
}

// alive are the control planes that were heard of lately, without one.
func alive(c *v1alpha1.Cluster, o Observation, but string) []v1alpha1.Host {
	var out []v1alpha1.Host
	for _, h := range c.ControlPlanes() {
		if n, ok := o.Nodes[h.Name]; ok && n.Lost == "" && n.ControlPlane && h.Name != but {
			out = append(out, h)
		}
	}
	return out
}

// CheckRemove says what stands in the way of a removal. It is pure.
func CheckRemove(c *v1alpha1.Cluster, spec *v1alpha1.RemoveNodeSpec, o Observation) []Finding {
	if spec.EtcdMember != "" {
		return checkDrop(c, spec.EtcdMember, o)
	}
	var out []Finding
	block := func(check, hint, format string, args ...any) {
		out = append(out, Finding{Node: spec.Node, Check: check, Message: fmt.Sprintf(format, args...), Hint: hint, Blocks: true})
	}
	h, listed := c.Host(spec.Node)
	n, isNode := o.Nodes[spec.Node]
	if !listed && !isNode {
		block("unknown", "kubectl get nodes lists the nodes; a member of etcd that was added for it goes by kubectl ha node remove --etcd-member "+spec.Node+", or its peer URL in the place of the name",
			"there is no such node, nor a host of that name in the stored Cluster document")
		return out
	}
	if h.Has(v1alpha1.RoleControlPlane) || n.ControlPlane {
		switch left := alive(c, o, spec.Node); {
		case len(Without(c, spec.Node).ControlPlanes()) == 0:
			block("last-control-plane", "add another one first: kubectl ha node add; kubectl ha uninstall takes the whole cluster apart", "it is the last control plane")
		case len(left) == 0:
			block("last-control-plane", "bring another one back first", "no other control plane was heard of lately")
		}
	}
	if c.Adopted() && isNode && n.ControlPlane && n.Lost == "" {
		// Also one that node add has made there, until it can be told which those are. What kubeadm was run for by others the host's ledger does not know, and so nobody takes it away.
		block("adopted", "drain it, run kubeadm reset on it, which takes its etcd member out, and kubectl delete node; then this command sees to the rest",
			"others made this cluster, and may have made this control plane: its static pods and keys would stay, and run on")
	}
	// Members of stacked etcd come one by one, and whom the document names may be none yet, or none any more: there
	// the task that asks the members themselves (stepMayLeave) is the only judge.
	if listed && c.IsMember(spec.Node) && !c.Stacked() {
		out = append(out, checkQuorum(c, spec.Node, o)...)
	}
	if asksEtcd(c, spec.Node, o) && len(out) == 0 && len(alive(c, o, spec.Node)) == 0 {
		block("etcd", "bring one back first", "no other control plane was heard of lately that could ask etcd about its member")
	}
	if isNode && n.Lost == "" {
		out = append(out, checkPods(spec, o.Pods)...)
	}
	switch {
	case isNode && n.Lost == "" && spec.Fenced:
		block("fenced", "switch it off, and run this again once its kubelet is silent; or leave --fenced out, so that it leaves as a host that is there", "it is not cut off: its kubelet is heard of")
	case isNode && n.Lost != "" && n.Answers != "" && !spec.Fenced:
		block("not-lost", "start its kubelet, and it leaves as it should. When that can't be had: cut the host off for good (its power, or its network), and add --fenced",
			"%s, but the host is not lost: %s", n.Lost, n.Answers)
	case isNode && n.Lost != "":
		out = append(out, Finding{Node: spec.Node, Check: "lost", Message: "it counts as lost: " + n.Lost,
			Hint: "it is neither drained nor cleaned; never start it again with its old disks, on which it takes itself for a part of the cluster"})
	}
	return out
}

// asksEtcd tells whether the host that leaves may have a member of etcd. Of a node that the
// document does not know nobody can say without asking: a node add may have ended between its
// member and the document.
func asksEtcd(c *v1alpha1.Cluster, name string, o Observation) bool {
	_, listed := c.Host(name)
	return c.IsMember(name) || !listed && o.Nodes[name].Address != ""
}

// checkQuorum: those that stay have to be a quorum, and there has to be one to agree
// to the removal. Who can't see the members leaves it to who can.
func checkQuorum(c *v1alpha1.Cluster, leaving string, o Observation) []Finding {
	members := c.EtcdMembers()
	if len(members) == 1 {
		return []Finding{{Node: leaving, Check: "quorum", Message: "it has the last etcd member", Hint: "add another one first: kubectl ha node add", Blocks: true}}
	}
	if o.EtcdAway == nil {
		return nil
	}
	answer, stay := 0, 0
	var away []string
	for _, m := range members {
		switch why, gone := o.EtcdAway[m.Name]; {
		case gone && m.Name != leaving:
			away = append(away, m.Name+": "+why)
		case !gone:
			answer++
			if m.Name != leaving {
				stay++
			}
		}
	}
	if answer >= etcd.Quorum(len(members)) && stay >= etcd.Quorum(len(members)-1) {
		return nil
	}
	return []Finding{{Node: leaving, Check: "quorum", Blocks: true,
		Message: fmt.Sprintf("without it etcd would have no quorum: %d of the %d members that stay answer (%s)", stay, len(members)-1, strings.Join(away, "; ")),
		Hint:    "bring those members back or replace them first"}}
}

func checkPods(spec *v1alpha1.RemoveNodeSpec, pods []drain.Pod) []Finding {
	var out []Finding
	if local := drain.Local(pods); len(local) > 0 {
		f := Finding{Node: spec.Node, Check: "local-data", Message: drain.LosesData(local)}
		if !spec.DeleteEmptyDirData {
			f.Blocks, f.Hint = true, "move what matters, then add --delete-emptydir-data"
		}
		out = append(out, f)
	}
	if lone := drain.Unmanaged(pods); len(lone) > 0 && !spec.ForceDrain {
		out = append(out, Finding{Node: spec.Node, Check: "unmanaged-pods", Blocks: true, Message: "nothing would make these pods again elsewhere: " + drain.Some(lone),
			Hint: "delete or move them, or add --force-drain"})
	}
	return out
}

// CheckAdd says what stands in the way of adding hosts. c has them already. It is pure.
func CheckAdd(c *v1alpha1.Cluster, names []string, o Observation) []Finding {
	var out []Finding
	votes, before, away := 0, 0, []string{}
	for _, m := range c.EtcdMembers() {
		switch why, gone := o.EtcdAway[m.Name]; {
		case slices.Contains(names, m.Name):
			votes++
		case c.Stacked() && !o.Nodes[m.Name].ControlPlane: // It never became a member.
		case gone:
			away = append(away, m.Name+": "+why)
			before++
		default:
			before++
		}
	}
	switch {
	case votes == 0 || len(away) == 0:
	case c.Stacked() && asksEveryMember(c.Spec.KubernetesVersion):
		out = append(out, Finding{Check: "etcd", Blocks: true,
			Message: fmt.Sprintf("%d of etcd's %d members is away (%s), and kubeadm %s adds none until all answer", len(away), before, strings.Join(away, "; "), c.Spec.KubernetesVersion),
			Hint:    "bring it back; or if it is lost for ever remove it first, as kubectl ha node replace does"})
	default:
		out = append(out, addBesideAway(before, away))
	}
	if members := len(c.EtcdMembers()); votes > 0 && members%2 == 0 {
		out = append(out, Finding{Check: "etcd", Message: fmt.Sprintf("etcd will have %d members, which can lose no more than %d would", members, members-1),
			Hint: "an odd number is better"})
	}
	for _, name := range names {
		if _, ok := c.Host(name); !ok {
			out = append(out, Finding{Node: name, Check: "unknown", Blocks: true, Message: "the Cluster document has no such host"})
		}
	}
	for _, h := range c.Spec.Hosts {
		if slices.Contains(names, h.Name) && h.Has(v1alpha1.RoleControlPlane) && len(alive(c, o, h.Name)) == 0 {
			out = append(out, Finding{Node: h.Name, Check: "control-plane", Blocks: true, Message: "no control plane was heard of lately that it could be made from"})
		}
	}
	return out
}

// asksEveryMember tells whether kubeadm of a version waits for all members of its own etcd before it adds one. A quorum
// will do from the patch releases of May 2026 on: https://github.com/kubernetes/kubernetes/pull/138403
func asksEveryMember(kubernetes string) bool {
	v, err := version.ParseSemantic(kubernetes)
	if err != nil {
		return false
	}
	firsts := map[uint]uint{33: 12, 34: 8, 35: 5, 36: 1}
	first, listed := firsts[v.Minor()]
	return v.Minor() < 33 || listed && v.Patch() < first
}

// addBesideAway judges a new member of etcd beside some of the members before it that
// are away.
func addBesideAway(before int, away []string) Finding {
	names := strings.Join(away, "; ")
	if spare := etcd.SpareWhileAdding(before); len(away) > spare {
		return Finding{Check: "etcd", Blocks: true,
			Message: fmt.Sprintf("etcd, which has %d members, takes no new one while %d of them is away (%s): it wants a quorum of the enlarged cluster", before, len(away), names),
			Hint:    "bring it back; or if it is lost for ever remove it first, as kubectl ha node replace does"}
	}
	return Finding{Check: "etcd", Message: fmt.Sprintf("%d of etcd's %d members is away (%s); a new one is taken all the same", len(away), before, names),
		Hint: "when it is lost for ever: kubectl ha node remove, or node replace"}
}

// Blocking are the findings because of which nothing is done.
func Blocking(all []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(all), func(f Finding) bool { return !f.Blocks })
}
