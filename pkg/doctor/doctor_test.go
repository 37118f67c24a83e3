package doctor

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	made "github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups/schedule"
	renewal "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/drain"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/inspect"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// well is a cluster in which nothing is to be found.
func well() Input {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "c"}, Spec: v1alpha1.ClusterSpec{KubernetesVersion: "v1.36.3", VirtualIP: "192.0.2.100"}}
	r := status.Report{Time: now, Cluster: "c", DNS: &status.DNS{Wanted: 3, Ready: 3, Nodes: map[string]int{"cp1": 1, "cp2": 1, "cp3": 1}},
		LastBackup: &status.Backup{Name: "b", Node: "cp1", Made: now.Add(-time.Hour)}}
	in := Input{Cluster: c, Ours: true, Inspection: status.Inspection{Facts: map[string]inspect.Facts{}}}
	in.Objects = Objects{Kubeadm: true, Endpoint: "192.0.2.100:6443", KubeProxy: "https://192.0.2.100:6443", ClusterInfo: "https://192.0.2.100:6443", KubeProxyVersion: "v1.36.3", EtcdServers: map[string][]string{}, Heard: map[string]float64{},
		Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"pod-security.kubernetes.io/enforce": "privileged"}}}}
	for _, c := range []install.Issued{{Addon: "dashboard", Namespace: "ha-dashboard", Secret: "headlamp-tls"}, {Addon: "mine", Namespace: "mine", Secret: "mine-tls"}} {
		c.NotAfter = now.Add(300 * 24 * time.Hour)
		in.Objects.AddonCertificates = append(in.Objects.AddonCertificates, AddonCertificate{Issued: c, BuiltIn: c.Addon == "dashboard"})
	}
	for i, name := range []string{"cp1", "cp2", "cp3"} {
		address := "192.0.2." + string(rune('1'+i))
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: name, Address: address, Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleEtcd}})
		r.ControlPlanes = append(r.ControlPlanes, status.ControlPlane{Node: name, APIServer: status.Component{Healthy: true, Version: "v1.36.3"}})
		r.Etcd = append(r.Etcd, status.Member{Node: name, Answers: true, Measured: true, Version: "3.6.16", Leader: i == 0})
		r.Nodes = append(r.Nodes, status.Node{Name: name, ControlPlane: true, Version: "v1.36.3"})
		r.Certificates = append(r.Certificates, status.Certificate{Node: name, What: "apiserver", DaysLeft: 364})
		in.Objects.EtcdServers[name] = []string{"https://192.0.2.1:2379", "https://192.0.2.2:2379"}
		in.Objects.Nodes = append(in.Objects.Nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{}}})
		in.Inspection.Facts[name] = inspect.Facts{
			Kubeconfigs: map[string]string{"/etc/kubernetes/kubelet.conf": "https://" + address + ":6443", "/etc/kubernetes/scheduler.conf": "https://" + address + ":6443"},
			VIP:         &inspect.VIP{Here: i == 0, Unicast: true, Peers: 2}, Units: map[string]string{"kubectl-ha-vip.service": "active"},
			EtcdConfig: &inspect.EtcdConfig{StrictReconfig: true}, EtcdList: etcdList(), Pinned: []string{bundle.AgentRepository + ":v1"},
			Timeouts: map[string]string{"client": "4h", "server": "4h"},
		}
	}
	c.SetDefaults()
	in.Report = r
	return in
}

// etcdList is what etcd says of the members of well.
func etcdList() (out []inspect.EtcdEntry) {
	for i, name := range []string{"cp1", "cp2", "cp3"} {
		out = append(out, inspect.EtcdEntry{ID: string(rune('a' + i)), Name: name, PeerURLs: []string{"https://192.0.2." + string(rune('1'+i)) + ":2380"}, Started: true})
	}
	return out
}

// also has the first control plane see one more member.
func also(m inspect.EtcdEntry) func(*Input) {
	return func(in *Input) { facts(in, "cp1", func(f *inspect.Facts) { f.EtcdList = append(f.EtcdList, m) }) }
}

// facts changes what was found in files of a node.
func facts(in *Input, node string, change func(*inspect.Facts)) {
	f := in.Inspection.Facts[node]
	change(&f)
	in.Inspection.Facts[node] = f
}

func TestNothingFound(t *testing.T) {
	for _, r := range Examine(well()) {
		if r.State != OK {
			t.Errorf("%s: %s %+v", r.ID, r.State, r.Findings)
		}
	}
}

func TestFound(t *testing.T) {
	cordoned := func(by string) func(*Input) {
		return func(in *Input) {
			in.Objects.Nodes[1].Spec.Unschedulable = true
			if by != "" {
				in.Objects.Nodes[1].Annotations[drain.AnnotationCordonedBy] = by
			}
		}
	}
	for name, c := range map[string]struct {
		id    string
		state State
		found string
		hint  string
		fix   v1alpha1.RepairFix
		addon string
		spoil func(*Input)
	}{
		"endpoint is a node": {id: "stable-endpoint", state: Problem, found: "address of cp2", spoil: func(in *Input) {
			in.Cluster.Spec.VirtualIP, in.Objects.KubeProxy, in.Objects.ClusterInfo = "192.0.2.2", "", ""
		}},
		"kube-proxy pinned":   {id: "kube-proxy-endpoint", state: Problem, found: "192.0.2.1:6443", fix: v1alpha1.RepairKubeProxy, spoil: func(in *Input) { in.Objects.KubeProxy = "https://192.0.2.1:6443" }},
		"cluster-info pinned": {id: "join-endpoint", state: Problem, found: "192.0.2.1:6443", fix: v1alpha1.RepairClusterInfo, spoil: func(in *Input) { in.Objects.ClusterInfo = "https://192.0.2.1:6443" }},
		"scheduler pinned": {id: "kubeconfig-endpoint", state: Problem, found: "scheduler.conf", spoil: func(in *Input) {
			in.Inspection.Facts["cp2"].Kubeconfigs["/etc/kubernetes/scheduler.conf"] = "https://192.0.2.1:6443"
		}},
		"kubelet through VIP": {id: "kubelet-local", state: Warning, found: "192.0.2.100", spoil: func(in *Input) {
			in.Inspection.Facts["cp2"].Kubeconfigs["/etc/kubernetes/kubelet.conf"] = "https://192.0.2.100:6443"
		}},
		"old kubelet at VIP": {id: "kubelet-local", state: Problem, found: "192.0.2.100", spoil: func(in *Input) {
			in.Report.Nodes[1].Version = "v1.32.1"
			in.Inspection.Facts["cp2"].Kubeconfigs["/etc/kubernetes/kubelet.conf"] = "https://192.0.2.100:6443"
		}},
		"short timeout":                   {id: "balancer-timeouts", state: Warning, found: "timeout client is 50s", spoil: func(in *Input) { in.Inspection.Facts["cp1"].Timeouts["client"] = "50s" }},
		"no endpoint":                     {id: "stable-endpoint", state: Problem, found: "is empty", spoil: func(in *Input) { in.Objects.Endpoint = "" }},
		"no endpoint, and so no document": {id: "stable-endpoint", state: Problem, found: "is empty", spoil: func(in *Input) { in.Objects.Endpoint, in.Cluster = "", nil }},
		"others' endpoint is a node": {id: "stable-endpoint", state: Problem, found: "address of cp2", spoil: func(in *Input) {
			in.Objects.KubeProxy, in.Objects.ClusterInfo = "", ""
			in.Cluster.Spec.VirtualIP, in.Cluster.Spec.Endpoint = "", v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: "192.0.2.2:6443"}
		}},
		"others' endpoint is localhost": {id: "stable-endpoint", state: Warning, found: "each host's own", spoil: func(in *Input) {
			in.Objects.KubeProxy, in.Objects.ClusterInfo = "", ""
			in.Cluster.Spec.VirtualIP, in.Cluster.Spec.Endpoint = "", v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: "localhost:6443"}
		}},
		"another endpoint": {id: "stable-endpoint", state: Problem, found: "192.0.2.1:6443", fix: v1alpha1.RepairClusterInfo, spoil: func(in *Input) { in.Objects.Endpoint = "192.0.2.1:6443" }},
		"nginx's timeout":  {id: "balancer-timeouts", state: Warning, found: "proxy_timeout is 10m", spoil: func(in *Input) { in.Inspection.Facts["cp1"].Timeouts["nginx"] = "10m" }},
		"own timeout": {id: "balancer-timeouts", state: Warning, found: "silent for 10m", spoil: func(in *Input) {
			in.Objects.Balancer = &loadbalancer.Status{Installed: true, Pods: []loadbalancer.Pod{{Node: "cp1", IdleSeconds: 86400}, {Node: "cp2", IdleSeconds: 600}}}
		}},
		"own load balancer": {id: "balancer", state: Problem, found: "takes cp2 for down", spoil: func(in *Input) {
			in.Objects.Balancer = &loadbalancer.Status{Installed: true, Problems: []string{"cp1: takes cp2 for down: connection refused"}}
		}},
		"connections stay": {id: "balancer-resets", state: Warning, found: "keeps the connections", spoil: func(in *Input) {
			facts(in, "cp2", func(f *inspect.Facts) { f.Resets = new(bool) })
		}},
		"two holders": {id: "one-holder", state: Problem, found: "cp1 and cp2", spoil: func(in *Input) {
			facts(in, "cp2", func(f *inspect.Facts) { f.VIP = &inspect.VIP{Here: true, Unicast: true} })
		}},
		"multicast":     {id: "unicast-peers", state: Warning, found: "no unicast_peer", spoil: func(in *Input) { facts(in, "cp2", func(f *inspect.Facts) { f.VIP = &inspect.VIP{} }) }},
		"watch is dead": {id: "address-watch", state: Problem, found: "failed", spoil: func(in *Input) { in.Inspection.Facts["cp3"].Units["kubectl-ha-vip.service"] = "failed" }},
		"no watch":      {id: "address-watch", state: Warning, found: "there is no", spoil: func(in *Input) { delete(in.Inspection.Facts["cp3"].Units, "kubectl-ha-vip.service") }},
		"left draining": {id: "address-watch", state: Warning, found: "kept from holding", spoil: func(in *Input) {
			facts(in, "cp3", func(f *inspect.Facts) { f.VIP = &inspect.VIP{Unicast: true, Draining: true} })
		}},
		"two control planes":   {id: "control-planes", state: Problem, found: "there are 2", spoil: func(in *Input) { in.Report.ControlPlanes = in.Report.ControlPlanes[:2] }},
		"dead apiserver":       {id: "control-planes", state: Problem, found: "no answer", spoil: func(in *Input) { in.Report.ControlPlanes[2].APIServer = status.Component{Error: "no answer"} }},
		"etcd before 3.5.26":   {id: "etcd-version", state: Problem, found: "3.5.25", spoil: func(in *Input) { in.Report.Etcd[0].Version = "3.5.25" }},
		"strict check off":     {id: "etcd-strict", state: Problem, found: "is off", spoil: func(in *Input) { facts(in, "cp1", func(f *inspect.Facts) { f.EtcdConfig = &inspect.EtcdConfig{} }) }},
		"etcd away":            {id: "etcd-answers", state: Problem, found: "refused", spoil: func(in *Input) { in.Report.Etcd[1] = status.Member{Node: "cp2", Error: "refused"} }},
		"etcd unwell":          {id: "etcd-answers", state: Problem, found: "NOSPACE", spoil: func(in *Input) { in.Report.Etcd[1].Unwell = "ALARM NOSPACE" }},
		"a learner of nobody":  {id: "etcd-members", state: Problem, found: "https://192.0.2.4:2380 is no host's, and was never started", hint: "kubectl ha node remove --etcd-member https://192.0.2.4:2380", spoil: also(inspect.EtcdEntry{ID: "d", PeerURLs: []string{"https://192.0.2.4:2380"}, Learner: true})},
		"a learner that runs":  {id: "etcd-members", state: Problem, found: "cp4 at https://192.0.2.4:2380 is no host's, and is a learner", spoil: also(inspect.EtcdEntry{ID: "d", Name: "cp4", PeerURLs: []string{"https://192.0.2.4:2380"}, Learner: true, Started: true})},
		"a voter of nobody":    {id: "etcd-members", state: Problem, found: "no host's, and votes", spoil: also(inspect.EtcdEntry{ID: "d", Name: "cp3", PeerURLs: []string{"https://192.0.2.4:2380"}, Started: true})},
		"a member of nowhere":  {id: "etcd-members", state: Problem, found: "the member d is no host's", hint: "--etcd-member d", spoil: also(inspect.EtcdEntry{ID: "d"})},
		"one etcd endpoint":    {id: "etcd-endpoints", state: Problem, found: "only", spoil: func(in *Input) { in.Objects.EtcdServers["cp2"] = []string{"https://192.0.2.1:2379"} }},
		"certificate near end": {id: "certificates", state: Warning, found: "in 60 days", spoil: func(in *Input) { in.Report.Certificates[0].DaysLeft = 60 }},
		"kubelet's near end": {id: "certificates", state: Warning, found: "in 30 days", spoil: func(in *Input) {
			in.Report.Certificates[0].DaysLeft, in.Report.Certificates[0].RenewsItself = 30, true
		}},
		"renewal failed": {id: "certificate-renewal", state: Problem, found: "has failed: cp2 could not be looked at", hint: "kubectl -n ha-system logs job/certificate-renewal-1", spoil: func(in *Input) {
			in.Objects.Renewal = &schedule.State{Cron: renewal.DefaultCron, Since: in.Report.Time, FailedJob: "certificate-renewal-1", Failed: "cp2 could not be looked at"}
		}},
		"renewal suspended": {id: "certificate-renewal", state: Warning, found: "is suspended", spoil: func(in *Input) {
			in.Objects.Renewal = &schedule.State{Cron: renewal.DefaultCron, Since: in.Report.Time.AddDate(-1, 0, 0), Suspended: true}
		}},
		"renewal does not run": {id: "certificate-renewal", state: Problem, found: "has not run as it should: never", spoil: func(in *Input) {
			in.Objects.Renewal = &schedule.State{Cron: renewal.DefaultCron, Since: in.Report.Time.AddDate(0, 0, -5)}
		}},
		"scheduled backup failed": {id: "backup-schedule", state: Problem, found: "the last scheduled backup has failed: the target does not answer", hint: "kubectl -n ha-system logs job/scheduled-backup-1", spoil: func(in *Input) {
			in.Objects.Backups = &made.State{State: schedule.State{Cron: made.DefaultCron, Since: in.Report.Time, FailedJob: "scheduled-backup-1", Failed: "the target does not answer"}}
		}},
		"scheduled backup suspended": {id: "backup-schedule", state: Warning, found: "is suspended", spoil: func(in *Input) {
			in.Objects.Backups = &made.State{State: schedule.State{Cron: made.DefaultCron, Since: in.Report.Time.AddDate(-1, 0, 0), Suspended: true}}
		}},
		"scheduled backup is late": {id: "backup-schedule", state: Problem, found: "is older than twice the schedule's period: last at", hint: "describe cronjob scheduled-backup", spoil: func(in *Input) {
			in.Objects.Backups = &made.State{State: schedule.State{Cron: made.DefaultCron, Since: in.Report.Time.AddDate(-1, 0, 0), LastSuccess: in.Report.Time.AddDate(0, 0, -3)}}
		}},
		"certificate at end": {id: "certificates", state: Problem, found: "in 2 days", spoil: func(in *Input) { in.Report.Certificates[0].DaysLeft = 2 }},
		"one DNS pod":        {id: "dns-spread", state: Problem, found: "one pod", fix: v1alpha1.RepairCoreDNS, spoil: func(in *Input) { in.Report.DNS = &status.DNS{Wanted: 1, Ready: 1, Nodes: map[string]int{"cp1": 1}} }},
		"DNS on one node":    {id: "dns-spread", state: Problem, found: "on one node", fix: v1alpha1.RepairCoreDNS, spoil: func(in *Input) { in.Report.DNS = &status.DNS{Wanted: 3, Ready: 3, Nodes: map[string]int{"cp1": 3}} }},
		"budget forbids": {id: "drainable", state: Warning, found: "web/db", spoil: func(in *Input) {
			in.Objects.Budgets = []policyv1.PodDisruptionBudget{{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "db"}, Status: policyv1.PodDisruptionBudgetStatus{ExpectedPods: 1, CurrentHealthy: 1, DesiredHealthy: 1}}}
		}},
		"left cordoned":        {id: "left-cordoned", state: Problem, found: "upgrade-x", fix: v1alpha1.RepairUncordon, spoil: cordoned("upgrade-x")},
		"cordoned by a person": {id: "left-cordoned", state: Warning, found: "by a person", spoil: cordoned("")},
		"newer kube-proxy":     {id: "kube-proxy-version", state: Problem, found: "v1.35.4", spoil: func(in *Input) { in.Report.ControlPlanes[1].APIServer.Version = "v1.35.4" }},
		"dead coordinator": {id: "dead-lock", state: Problem, found: "10 minutes", spoil: func(in *Input) {
			in.Objects.Operations = []v1alpha1.Operation{{ObjectMeta: metav1.ObjectMeta{Name: "join-a"}, Status: v1alpha1.OperationStatus{Phase: v1alpha1.OperationRunning}}}
			in.Objects.Heard["operation-join-a"] = 600
		}},
		"rights that were lent": {id: "lent-rights", state: Problem, found: "ha-coordinator-addon-x", spoil: func(in *Input) { in.Objects.Rights = []string{"ha-coordinator-addon-x"} }},
		"no policy":             {id: "coordinator-policy", state: Problem, found: "not there", spoil: func(in *Input) { in.Objects.Policy = "the policy ha-coordinator is not there" }},
		"another policy": {id: "coordinator-policy", state: Warning, found: "not this version's", spoil: func(in *Input) {
			in.Objects.Policy, in.Objects.PolicyInForce = "the policy ha-coordinator is not this version's", true
		}},
		"an upgrade that a boot would take back": {id: "armed-upgrade", state: Problem, found: "kubelet from v1.35.4 to v1.36.3", spoil: func(in *Input) {
			facts(in, "cp1", func(f *inspect.Facts) { f.Armed = []string{"kubelet from v1.35.4 to v1.36.3"} })
		}},
		"namespace's level": {id: "pod-security", state: Problem, found: "baseline", spoil: func(in *Input) { in.Objects.Namespace.Labels["pod-security.kubernetes.io/enforce"] = "baseline" }},
		"agent is not pinned": {id: "agent-pinned", state: Warning, found: "not pinned", spoil: func(in *Input) {
			facts(in, "cp1", func(f *inspect.Facts) { f.Pinned = []string{"registry.k8s.io/pause:3.10"} })
		}},
		"no backup": {id: "backup", state: Warning, found: "none", spoil: func(in *Input) { in.Report.LastBackup = nil }},
		"addon's certificate near its end": {id: "addon-certificates", state: Warning, found: "ha-dashboard/headlamp-tls of the addon dashboard ends in 59 days", addon: "dashboard", spoil: func(in *Input) {
			in.Objects.AddonCertificates[0].NotAfter = now.Add(59*24*time.Hour + time.Hour)
		}},
		"addon's certificate about to end": {id: "addon-certificates", state: Problem, found: "in 6 days", addon: "dashboard", spoil: func(in *Input) {
			in.Objects.AddonCertificates[0].NotAfter = now.Add(6*24*time.Hour + time.Hour)
		}},
		"addon's certificate gone": {id: "addon-certificates", state: Problem, found: "not there", addon: "dashboard", spoil: func(in *Input) {
			in.Objects.AddonCertificates[0].NotAfter = time.Time{}
		}},
		// Nobody here knows where the folder of somebody's own is.
		"own addon's certificate": {id: "addon-certificates", state: Warning, found: "mine/mine-tls", spoil: func(in *Input) {
			in.Objects.AddonCertificates[1].NotAfter = now.Add(20 * 24 * time.Hour)
		}},
		"old backup": {id: "backup", state: Warning, found: "40 days", spoil: func(in *Input) { in.Report.LastBackup.Made = now.Add(-40 * 24 * time.Hour) }},
	} {
		t.Run(name, func(t *testing.T) {
			in := well()
			c.spoil(&in)
			results := Examine(in)
			at := slices.IndexFunc(results, func(r Result) bool { return r.ID == c.id })
			if at < 0 {
				t.Fatalf("there is no check %s", c.id)
			}
			r := results[at]
			if r.State != c.state || len(r.Findings) == 0 || !strings.Contains(r.Findings[0].Message, c.found) || r.Findings[0].Hint == "" || !strings.Contains(r.Findings[0].Hint, c.hint) || r.Findings[0].Check != c.id {
				t.Errorf("got %s, %+v", r.State, r.Findings)
			}
			if known := Checks()[at].Fix; c.fix != "" && known != c.fix {
				t.Errorf("the check tells of the fix %q", known)
			}
			if fixes := Fixes(results); c.fix != "" && !slices.Contains(fixes, c.fix) || c.fix == "" && len(fixes) > 0 {
				t.Errorf("fixes: %v", fixes)
			}
			if addons := Addons(results); c.addon != "" && !slices.Equal(addons, []string{c.addon}) || c.addon == "" && len(addons) > 0 {
				t.Errorf("addons: %v", addons)
			}
		})
	}
}

func TestEveryCheckIsTold(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks() {
		if c.ID == "" || c.Title == "" || c.Why == "" || c.Source == "" || seen[c.ID] {
			t.Errorf("%+v", c)
		}
		seen[c.ID] = true
	}
	in := well()
	in.Inspection = status.Inspection{}
	for _, r := range Examine(in) {
		if r.State == Skipped && r.Skipped == "" || r.State != OK && r.State != Skipped {
			t.Errorf("without the hosts' files: %+v", r)
		}
	}
}

// TestNothingUnseenIsInOrder: what could not be looked at is not called well.
func TestNothingUnseenIsInOrder(t *testing.T) {
	unknown := well()
	unknown.Cluster = nil
	foreign := well()
	foreign.Ours, foreign.Inspection = false, status.Inspection{}
	foreign.Objects.Policy = "the policy ha-coordinator is not there"
	if found := coordinatorPolicy(foreign); len(found) > 0 {
		t.Errorf("there is no coordinator: %+v", found)
	}
	unread := well()
	unread.Objects.Unread = map[Part]string{partBudgets: "forbidden"}
	for name, c := range map[string]struct {
		in   Input
		ids  []string
		says string
	}{
		"the cluster is not known": {unknown, []string{"kube-proxy-endpoint", "control-planes", "etcd-answers", "etcd-version"}, "--virtual-ip"},
		"no agent may run":         {foreign, []string{"kubeconfig-endpoint", "etcd-strict"}, "kubectl ha adopt"},
		"not readable":             {unread, []string{"drainable"}, "disruption budgets: forbidden"},
	} {
		skipped := map[string]string{}
		for _, r := range Examine(c.in) {
			if r.State == Skipped {
				skipped[r.ID] = r.Skipped
			}
		}
		for _, id := range c.ids {
			if !strings.Contains(skipped[id], c.says) {
				t.Errorf("%s: %s: %q", name, id, skipped[id])
			}
		}
	}
	if missed := unread.Objects.Missed(); len(missed) != 1 || missed[0] != "disruption budgets: forbidden" {
		t.Errorf("got %v", missed)
	}
}

// Hosts of etcd in a cluster that was adopted may go by names, which no member does.
func TestMembersOfHostsWithNames(t *testing.T) {
	hosts := map[string]string{"cp1": "192.0.2.9", "etcd1": "etcd-0.example.com", "etcd2": "etcd-1.example.com", "etcd3": "etcd-2.example.com"}
	list := etcdList()
	for i, name := range []string{"infra0", "infra1", "infra2"} {
		list[i].Name = name
	}
	if found := strangers(list, hosts); len(found) > 0 {
		t.Errorf("they may be theirs: %+v", found)
	}
	list = append(list, inspect.EtcdEntry{ID: "d", PeerURLs: []string{"https://192.0.2.4:2380"}, Learner: true})
	if found := strangers(list, hosts); len(found) != 1 || !strings.Contains(found[0].Message, "192.0.2.4") {
		t.Errorf("one that was never started: %+v", found)
	}
}

func TestKeepalivedOfAnotherTool(t *testing.T) {
	in := well()
	facts(&in, "cp3", func(f *inspect.Facts) { f.VIP.Checks, f.Units = true, nil })
	if found := addressWatch(in); len(found) > 0 {
		t.Errorf("it has a check of its own: %+v", found)
	}
}

func TestCordonOfARunningOperation(t *testing.T) {
	in := well()
	in.Objects.Nodes[0].Spec.Unschedulable = true
	in.Objects.Nodes[0].Annotations[drain.AnnotationCordonedBy] = "upgrade-x"
	in.Objects.Operations = []v1alpha1.Operation{{ObjectMeta: metav1.ObjectMeta{Name: "upgrade-x"}, Status: v1alpha1.OperationStatus{Phase: v1alpha1.OperationRunning}}}
	if found := leftCordoned(in); len(found) > 0 {
		t.Errorf("got %+v", found)
	}
}

func TestTheLoadBalancersPortIsStable(t *testing.T) {
	in := well()
	in.Objects.KubeProxy, in.Objects.ClusterInfo = "https://192.0.2.100:8443", "https://192.0.2.100:8443"
	if fixes := Fixes(Examine(in)); len(fixes) > 0 {
		t.Errorf("fixes: %v", fixes)
	}
}

func TestHAProxyTime(t *testing.T) {
	for text, want := range map[string]time.Duration{"4h": 4 * time.Hour, "50s": 50 * time.Second, "5000": 5 * time.Second, "1d": 24 * time.Hour} {
		if got, ok := haproxyTime(text); !ok || got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	for _, text := range []string{"", "h", "4x"} {
		if got, ok := haproxyTime(text); ok {
			t.Errorf("%q: %s", text, got)
		}
	}
}
