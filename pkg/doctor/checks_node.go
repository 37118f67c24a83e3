package doctor

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/drain"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

func nodeChecks() []Check {
	return []Check{
		{ID: "dns-spread", Title: "CoreDNS is spread over nodes", Source: "kubeadm#1931", Fix: v1alpha1.RepairCoreDNS,
			Why: "when all of its pods are on one node, DNS stops with that node", Run: dnsSpread},
		{ID: "drainable", Title: "no disruption budget forbids every eviction", Source: "kubespray#8093, #12297", Reads: partBudgets,
			Why: "a drain would wait for ever, and with it an upgrade", Run: drainable},
		{ID: "left-cordoned", Title: "no node was left cordoned", Source: "system-upgrade-controller#71", Reads: partNodes, Fix: v1alpha1.RepairUncordon,
			Why: "it takes no pods, although it is well", Run: leftCordoned},
		{ID: "kube-proxy-version", Title: "kube-proxy is not newer than an apiserver", Source: "kubeadm#2346", Reads: partProxyImage,
			Why: "that is not supported, and happens when an upgrade stops half-way", Run: kubeProxyVersion},
	}
}

func dnsSpread(in Input) []Finding {
	d := in.Report.DNS
	if d == nil || d.Wanted == 0 {
		return nil
	}
	nodes := len(in.Report.Nodes)
	if in.Cluster != nil && !in.Cluster.KeepsVirtualIP() {
		return dnsOfOthers(d, nodes)
	}
	switch {
	case d.Wanted == 1 && nodes > 1:
		return []Finding{problem("", "CoreDNS has one pod", "kubectl ha doctor --fix gives it as many as there are control planes").fixedBy(v1alpha1.RepairCoreDNS)}
	case len(d.Nodes) == 1 && d.Ready > 1:
		return []Finding{problem("", fmt.Sprintf("all %d pods of CoreDNS are on one node", d.Ready), "kubectl ha doctor --fix spreads them").fixedBy(v1alpha1.RepairCoreDNS)}
	}
	return nil
}

// dnsOfOthers is dnsSpread where others made the cluster: its CoreDNS is theirs.
func dnsOfOthers(d *status.DNS, nodes int) []Finding {
	switch {
	case d.Wanted == 1 && nodes > 1:
		return []Finding{problem("", "CoreDNS has one pod", "kubectl -n kube-system scale deployment coredns --replicas=2, or the setting for it of what made the cluster")}
	case len(d.Nodes) == 1 && d.Ready > 1:
		return []Finding{problem("", fmt.Sprintf("all %d pods of CoreDNS are on one node", d.Ready), "kubectl -n kube-system rollout restart deployment coredns")}
	}
	return nil
}

func drainable(in Input) []Finding {
	var out []Finding
	for _, b := range in.Objects.Budgets {
		if b.Status.ExpectedPods > 0 && b.Status.DisruptionsAllowed == 0 && b.Status.CurrentHealthy >= b.Status.DesiredHealthy && b.Status.DesiredHealthy >= b.Status.ExpectedPods {
			out = append(out, warning("", fmt.Sprintf("the budget %s/%s allows no eviction of its %d pods", b.Namespace, b.Name, b.Status.ExpectedPods),
				"give it maxUnavailable: 1, or its pods one more replica"))
		}
	}
	return out
}

// running tells whether an Operation is not finished.
func running(o Objects) bool {
	for _, op := range o.Operations {
		if operations.Unfinished(op) {
			return true
		}
	}
	return false
}

func leftCordoned(in Input) []Finding {
	unfinished := map[string]bool{}
	for _, op := range in.Objects.Operations {
		unfinished[op.Name] = operations.Unfinished(op)
	}
	var out []Finding
	for _, n := range in.Objects.Nodes {
		by := n.Annotations[drain.AnnotationCordonedBy]
		switch {
		case !n.Spec.Unschedulable || unfinished[by]:
		case by == "":
			out = append(out, warning(n.Name, "it is cordoned, by a person or another program", "kubectl uncordon "+n.Name+", when that is over"))
		default:
			out = append(out, problem(n.Name, fmt.Sprintf("operation %s cordoned it, and is over", by), "kubectl ha doctor --fix uncordons it").fixedBy(v1alpha1.RepairUncordon))
		}
	}
	return out
}

func kubeProxyVersion(in Input) []Finding {
	proxy, err := version.ParseSemantic(in.Objects.KubeProxyVersion)
	if err != nil {
		return nil
	}
	for _, cp := range in.Report.ControlPlanes {
		server, err := version.ParseSemantic(cp.APIServer.Version)
		if err == nil && (proxy.Major() != server.Major() || proxy.Minor() > server.Minor()) {
			return []Finding{problem(cp.Node, fmt.Sprintf("its apiserver is %s, kube-proxy %s", cp.APIServer.Version, in.Objects.KubeProxyVersion),
				"bring the control planes to the newer version: kubectl ha upgrade plan")}
		}
	}
	return nil
}

// flag is a flag's value in a command, by its name with the equals sign.
func flag(command []string, name string) string {
	for _, c := range command {
		if value, ok := strings.CutPrefix(c, name); ok {
			return value
		}
	}
	return ""
}

// imageTag is the tag of an image's reference.
func imageTag(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	return ref[strings.LastIndex(ref, ":")+1:]
}
