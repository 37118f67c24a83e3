package adopt

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// SeverityInfo is of what is told only: it is so, and stays so.
const SeverityInfo report.Severity = "info"

// oldest is by how many minor versions a kubelet may be behind its apiserver.
// https://kubernetes.io/releases/version-skew-policy/#kubelet
const oldest = 3

// Findings are what there is to know of a cluster before anything of kubectl-ha is in it: who
// keeps what, which settings of others stay, and what would stand in the way. Cluster tells of
// the endpoint itself. It is pure.
func Findings(c *v1alpha1.Cluster, o Observation) []report.Finding {
	var out []report.Finding
	for _, look := range []func(*v1alpha1.Cluster) []report.Finding{o.named, o.keepers, o.kept, o.hostsOwn, o.skew} {
		out = append(out, look(c)...)
	}
	return append(out, o.hinder()...)
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func finding(check, node string, severity report.Severity, hint, format string, args ...any) report.Finding {
	return report.Finding{Check: check, Node: node, Severity: severity, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// keepers are the programs of others that keep or lead to the endpoint.
func (o Observation) keepers(c *v1alpha1.Cluster) []report.Finding {
	if c.KeepsVirtualIP() {
		return nil
	}
	var out []report.Finding
	for _, node := range sorted(o.Hosts) {
		k := o.Hosts[node].Keepalived
		if k == nil {
			continue
		}
		severity, hint := SeverityInfo, ""
		if !k.Checks {
			severity, hint = report.SeverityWarning, "have it check the host's own apiserver (https://ADDRESS:PORT/readyz) by a vrrp_script, as kubeadm's guide does"
		}
		text := fmt.Sprintf("keepalived keeps %s on %s, as router %d", strings.Join(k.Addresses, " "), k.Interface, k.RouterID)
		if !k.Checks {
			text += ", and does not notice when the apiserver is away"
		}
		out = append(out, finding(checkKeeper, node, severity, hint, "%s; its settings are kept", text))
	}
	for _, node := range sorted(o.Static) {
		for _, p := range o.Static[node] {
			out = append(out, finding(checkKeeper, node, SeverityInfo, "", "%s is a static pod (%s); it is kept", p.Name, p.Image))
		}
	}
	// kube-vip's default name. https://kube-vip.io/docs/installation/flags/
	if slices.Contains(o.Leases, "plndr-cp-lock") {
		out = append(out, finding(checkKeeper, "", SeverityInfo, "", "a leader election (lease kube-system/plndr-cp-lock) moves the virtual IP, as kube-vip does: it moves once its lease has ended"))
	}
	return out
}

// keptFlags are flags of apiservers that others set, and kubeadm keeps in an upgrade since they
// are in its own configuration.
var keptFlags = []struct{ prefix, what string }{
	{"audit-", "audit logs"}, {"encryption-provider-config", "encryption at rest"}, {"oidc-", "OIDC"}, {"authentication-config", "OIDC"},
	{"authorization-webhook", "a webhook for authorization"}, {"authorization-config", "a webhook for authorization"},
}

// kept are the apiservers' settings of others, and where they are not all the same.
func (o Observation) kept(*v1alpha1.Cluster) []report.Finding {
	var out []report.Finding
	nodes := map[string][]string{}
	for node, command := range o.Flags {
		var have []string
		for _, k := range keptFlags {
			if !slices.Contains(have, k.what) && slices.ContainsFunc(command, func(arg string) bool { return strings.HasPrefix(arg, "--"+k.prefix) }) {
				have = append(have, k.what)
			}
		}
		for _, what := range have {
			nodes[what] = append(nodes[what], node)
		}
	}
	for _, what := range sorted(nodes) {
		out = append(out, finding(checkSettings, "", SeverityInfo, "", "the apiservers have settings for %s; they are kept, as kubeadm's configuration has them", what))
		if on := nodes[what]; len(on) < len(o.Flags) {
			slices.Sort(on)
			out = append(out, finding(checkSettings, "", report.SeverityWarning, "put the flags into kubeadm's ClusterConfiguration (kubectl -n kube-system edit configmap kubeadm-config), or take them out: an upgrade writes what stands there",
				"only the apiservers of %s have settings for %s", strings.Join(on, ", "), what))
		}
	}
	return out
}

// upgradedKubelet is where upgrades put the kubelet, as kubeadm's guide has it without packages.
// https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/
const upgradedKubelet = "/usr/local/bin/kubelet"

// hostsOwn is how the hosts are set up by others.
func (o Observation) hostsOwn(c *v1alpha1.Cluster) []report.Finding {
	var out []report.Finding
	for _, n := range o.Nodes {
		if isWindows(n) {
			out = append(out, finding(checkHosts, n.Name, report.SeverityWarning, "upgrade its kubelet and kubeadm by hand", "it runs Windows: kubectl ha leaves it alone, and it is in no plan"))
			continue
		}
		if name := n.Labels["kubernetes.io/hostname"]; name != "" && name != n.Name {
			out = append(out, finding(checkHosts, n.Name, SeverityInfo, "", "its label kubernetes.io/hostname is %s", name))
		}
	}
	for _, node := range sorted(o.Hosts) {
		f := o.Hosts[node]
		if f.HostName != "" && f.HostName != node {
			out = append(out, finding(checkHosts, node, SeverityInfo, "", "the host calls itself %s", f.HostName))
		}
		if f.ContainerdConfig > 0 && f.ContainerdConfig < 3 {
			out = append(out, finding(checkHosts, node, SeverityInfo, "", "containerd's configuration is of version %d; it is kept", f.ContainerdConfig))
		}
		if f.CgroupDriver == "cgroupfs" {
			out = append(out, finding(checkHosts, node, SeverityInfo, "", "its kubelet's cgroup driver is cgroupfs; it is kept"))
		}
		if f.Kubelet != "" && f.Kubelet != upgradedKubelet {
			out = append(out, finding(checkHosts, node, report.SeverityWarning, "upgrade kubeadm, kubelet and kubectl there by the package manager",
				"its kubelet is %s, as packages have it: kubectl ha upgrade replaces %s, and refuses this host", f.Kubelet, upgradedKubelet))
		}
		for _, m := range f.Missed {
			out = append(out, finding(checkHosts, node, report.SeverityWarning, "", "could not be read: %s", m))
		}
	}
	for _, node := range sorted(o.Unasked) {
		out = append(out, finding(checkHosts, node, report.SeverityWarning, "run the same command again once it can be reached", "the host could not be asked: %s", o.Unasked[node]))
	}
	if n := len(c.ControlPlanes()); n < 3 {
		out = append(out, finding(checkHosts, "", report.SeverityWarning, "three or more stay available when one is lost", "the number of control planes is %d", n))
	}
	return out
}

// skew names versions that are mixed, and kubelets that are too old.
func (o Observation) skew(*v1alpha1.Cluster) []report.Finding {
	have := map[string][]string{}
	var out []report.Finding
	want, err := version.ParseSemantic(o.Kubeadm.KubernetesVersion)
	for _, n := range o.Nodes {
		text := n.Status.NodeInfo.KubeletVersion
		have[text] = append(have[text], n.Name)
		v, failed := version.ParseSemantic(text)
		if err != nil || failed != nil {
			continue
		}
		switch {
		case v.Minor() > want.Minor():
			out = append(out, finding(checkVersions, n.Name, report.SeverityError, "bring the control planes to that version first", "its kubelet (%s) is newer than kubeadm's configuration (%s)", text, o.Kubeadm.KubernetesVersion))
		case v.Minor()+oldest < want.Minor():
			out = append(out, finding(checkVersions, n.Name, report.SeverityError, "upgrade it by hand first", "its kubelet (%s) is more than %d minor versions older than the control planes (%s)", text, oldest, o.Kubeadm.KubernetesVersion))
		case v.Minor() <= 35 && strings.HasPrefix(n.Status.NodeInfo.ContainerRuntimeVersion, "containerd://1."):
			out = append(out, finding(checkVersions, n.Name, report.SeverityWarning, "bring containerd 2 to it before an upgrade to v1.36", "it runs %s; Kubernetes 1.35 is the last that goes with containerd 1", n.Status.NodeInfo.ContainerRuntimeVersion))
		}
	}
	if len(have) > 1 {
		var parts []string
		for _, v := range sorted(have) {
			slices.Sort(have[v])
			parts = append(parts, v+" on "+strings.Join(have[v], ", "))
		}
		out = append(out, finding(checkVersions, "", report.SeverityWarning, "kubectl ha upgrade to the newest of them brings all nodes to it", "the nodes' versions are mixed: %s", strings.Join(parts, "; ")))
	}
	return out
}

// flagOf is the value of a flag in a command; empty where it is not there.
func flagOf(command []string, name string) string {
	for _, arg := range command {
		if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			return value
		}
	}
	return ""
}
