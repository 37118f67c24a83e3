package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/inspect"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

// readyFor36 is the first 3.5 from which upstream takes members to 3.6. Before 3.5.24 members
// are stuck as learners; before 3.5.26 members that were removed come back, and the cluster
// can't be used: https://etcd.io/blog/2025/zombie_members_upgrade/
var readyFor36 = version.MustParseGeneric("3.5.26")

func etcdChecks() []Check {
	return []Check{
		{ID: "etcd-version", Title: "etcd's members can be upgraded", Source: "etcd#19557, #20793, https://etcd.io/blog/2025/zombie_members_upgrade/", Document: true,
			Why: "on the way to 3.6 members older than 3.5.24 fail with \"too many learner members\", and with ones older than 3.5.26 members that were removed come back", Run: etcdVersion},
		{ID: "etcd-strict", Title: "etcd checks its health before its members change", Source: "etcd#10499", Files: true,
			Why: "a member that is added to a sick cluster takes its quorum", Run: etcdStrict},
		{ID: "etcd-answers", Title: "each etcd member answers at its own port", Source: "kubeadm#3297", Document: true,
			Why: "what is only asked through an apiserver can't be told when that is away", Run: etcdAnswers},
		{ID: "etcd-members", Title: "each etcd member is a host's", Source: "https://etcd.io/docs/v3.6/learning/design-learner/", Document: true, Files: true,
			Why: "a member of no host counts for the quorum; a learner that was never started keeps every new one out, since etcd takes one at a time", Run: etcdMembers},
		{ID: "etcd-endpoints", Title: "apiservers know several etcd members", Source: "kubespray#12437", Document: true, Reads: partStatic,
			Why: "an apiserver that knows one member of an etcd of its own hosts stops with it", Run: etcdEndpoints},
		{ID: "certificates", Title: fmt.Sprintf("no certificate ends within %d days, etcd's included", status.WarnDays), Source: "kubeadm#2989",
			Why: "kubeadm renews its own in an upgrade, but not those of an external etcd", Run: certificates},
	}
}

func etcdVersion(in Input) []Finding {
	var out []Finding
	minors := map[string]bool{}
	for _, m := range in.Report.Etcd {
		v, err := version.ParseGeneric(strings.TrimPrefix(m.Version, "v"))
		if err != nil {
			continue
		}
		minors[fmt.Sprintf("%d.%d", v.Major(), v.Minor())] = true
		if v.Minor() == 5 && v.LessThan(readyFor36) {
			out = append(out, problem(m.Node, "its etcd is "+m.Version, onStacked(in,
				"set etcd.local.imageTag to 3.5.26-0 or later in the ConfigMap kubeadm-config and upgrade to the next patch release of Kubernetes (docs/etcd.md); only then the first may go to 3.6",
				"kubectl ha etcd upgrade brings every member to 3.5.26 or later; only then the first may go to 3.6")))
		}
	}
	if len(minors) > 1 {
		out = append(out, warning("", fmt.Sprintf("members are of %d minor versions", len(minors)), onStacked(in,
			"kubectl ha upgrade to the newer version of Kubernetes goes on with the rest", "kubectl ha etcd upgrade with the newer version goes on with the rest")))
	}
	return out
}

// onStacked is what to do about kubeadm's own etcd, or about one that kubectl-ha runs.
func onStacked(in Input, stacked, external string) string {
	if in.Cluster != nil && in.Cluster.Stacked() {
		return stacked
	}
	return external
}

func etcdStrict(in Input) []Finding {
	var out []Finding
	for node, f := range ordered(in.Inspection.Facts) {
		if f.EtcdConfig != nil && !f.EtcdConfig.StrictReconfig {
			out = append(out, problem(node, "strict-reconfig-check is off", "take that setting out of spec.etcd.extraArgs, then kubectl ha etcd apply, which restarts one member after the other"))
		}
	}
	return out
}

func etcdAnswers(in Input) []Finding {
	var out []Finding
	for _, m := range in.Report.Etcd {
		switch {
		case !m.Answers:
			out = append(out, problem(m.Node, fmt.Sprintf("%s: %s", m.Address, m.Error), "journalctl -u etcd on it (kubeadm's own etcd: crictl logs)"))
		case m.Unwell != "":
			out = append(out, problem(m.Node, m.Unwell, "kubectl ha etcd status tells more; for NOSPACE: kubectl ha etcd alarm --fix -f CLUSTER"))
		}
	}
	return out
}

// etcdMembers goes by the list of the first control plane that has one: it is etcd's own.
func etcdMembers(in Input) []Finding {
	hosts := map[string]string{}
	for _, n := range in.Objects.Nodes {
		hosts[n.Name] = ""
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				hosts[n.Name] = a.Address
			}
		}
	}
	for _, h := range in.Cluster.Spec.Hosts {
		hosts[h.Name] = h.Address
	}
	for _, f := range ordered(in.Inspection.Facts) {
		if len(f.EtcdList) > 0 {
			return strangers(f.EtcdList, hosts)
		}
	}
	return nil
}

// strangers are the members that are no host's.
func strangers(list []inspect.EtcdEntry, hosts map[string]string) []Finding {
	var members []etcd.Member
	for _, m := range list {
		members = append(members, etcd.Member{Name: m.Name, PeerURLs: m.PeerURLs, Learner: m.Learner})
	}
	unplaced := etcd.Unplaced(members, hosts)
	var out []Finding
	for i, m := range members {
		// One that runs may be that of a host whose address is a name.
		if etcd.Owner(members, hosts, m) != "" || list[i].Started && len(unplaced) > 0 {
			continue
		}
		what, handle := m.String(), m.Handle()
		if len(m.PeerURLs) == 0 {
			what, handle = list[i].ID, list[i].ID
		}
		kind := "votes"
		switch {
		case !list[i].Started:
			kind = "was never started"
		case m.Learner:
			kind = "is a learner"
		}
		out = append(out, problem("", fmt.Sprintf("the member %s is no host's, and %s", what, kind),
			"finish the `kubectl ha node add` that it was added for; when its host is lost: kubectl ha node remove --etcd-member "+handle))
	}
	return out
}

func etcdEndpoints(in Input) []Finding {
	if in.Cluster == nil || in.Cluster.Spec.Etcd.Topology == "stacked" || len(in.Report.Etcd) < 2 {
		return nil // kubeadm's own etcd: each apiserver has its own member, and goes with it.
	}
	var out []Finding
	for node, servers := range ordered(in.Objects.EtcdServers) {
		if len(servers) == 1 {
			out = append(out, problem(node, "its apiserver knows "+servers[0]+" only",
				"put all members into kubeadm's etcd.external.endpoints, and into the static pod"))
		}
	}
	return out
}

// errorDays before its end a certificate is an error.
const errorDays = 7

func certificates(in Input) []Finding {
	var out []Finding
	for _, c := range in.Report.Certificates {
		// The kubeconfig's own lives for a month, and is no part of the cluster.
		if c.Node == "" || !c.Near() {
			continue
		}
		f := warning(c.Node, fmt.Sprintf("%s ends in %d days", c.What, c.DaysLeft), "kubectl ha certs renew, or the next upgrade")
		if c.RenewsItself {
			f.Hint = "the kubelet should have renewed it: journalctl -u kubelet on the host, and kubectl get csr"
		}
		if strings.Contains(c.What, "etcd") {
			f.Hint = "kubectl ha certs renew, where the key of etcd's CA is; the bootstrap run again renews it as well"
		}
		if c.DaysLeft < 1 && c.NotAfter.Before(in.Report.Time) {
			f.Message = fmt.Sprintf("%s has ended, at %s", c.What, c.NotAfter.UTC().Format(time.RFC3339))
			f.Hint = "kubectl ha certs rescue renews what has ended, over SSH; open connections go on until something is restarted"
		}
		if c.DaysLeft < errorDays {
			f.Severity = report.SeverityError
		}
		out = append(out, f)
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return strings.Compare(string(a.Severity), string(b.Severity)) })
	return out
}
