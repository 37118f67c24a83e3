package status

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/inspect"
)

var moment = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// healthy is a report in which nothing is wrong.
func healthy() Report {
	r := Report{Time: moment, Cluster: "prod", Version: "v1.36.3", Operations: []Operation{{Name: "upgrade-x7k2p", Type: "Upgrade", Phase: "Succeeded", Finished: true, Since: moment.Add(-3 * time.Hour)}}}
	r.API = API{Endpoint: "192.0.2.100:6443", VirtualIP: "192.0.2.100", Holder: "cp1", Could: []string{"cp2", "cp3"}, Asked: "192.0.2.100:6443", Reads: true}
	for i, name := range []string{"cp1", "cp2", "cp3"} {
		well := Component{Healthy: true, Version: "v1.36.3", Milliseconds: 12}
		leads := well
		leads.Leader = i == 1
		r.ControlPlanes = append(r.ControlPlanes, ControlPlane{Node: name, Address: fmt.Sprintf("192.0.2.%d:6443", i+1), APIServer: well, ControllerManager: leads, Scheduler: leads})
		r.Etcd = append(r.Etcd, Member{Node: name, Address: fmt.Sprintf("192.0.2.%d:2379", i+1), Answers: true, Measured: true, Leading: true, Leader: i == 2,
			Version: "3.6.16", DBBytes: 12 << 20, FreeBytes: 3 << 20, QuotaBytes: 8 << 30, Committed: 5000, Applied: 5000, FsyncMillis: 4})
		r.Nodes = append(r.Nodes, Node{Name: name, ControlPlane: true, Version: "v1.36.3", Address: fmt.Sprintf("192.0.2.%d", i+1)})
		r.Certificates = append(r.Certificates, Certificate{Node: name, What: "apiserver", NotAfter: moment.Add(300 * 24 * time.Hour), DaysLeft: 300})
	}
	r.Nodes = append(r.Nodes, Node{Name: "w1", Version: "v1.36.3", Address: "192.0.2.9"})
	for days, c := range map[int]Certificate{3640: {Node: "cp1", What: "etcd"}, 301: {Node: "w1", What: "kubelet, serving"}, 302: {Node: "cp1", What: "kubelet, serving"}} {
		c.DaysLeft, c.NotAfter = days, moment.Add(time.Duration(days)*24*time.Hour)
		r.Certificates = append(r.Certificates, c)
	}
	r.DNS = &DNS{Wanted: 3, Ready: 3, Nodes: map[string]int{"cp1": 1, "cp2": 1, "cp3": 1}}
	r.Images.Kinds = 14
	r.LastBackup = &Backup{Name: "upgrade-x7k2p", Node: "cp1", Made: moment.Add(-3 * time.Hour)}
	Judge(&r)
	return r
}

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		want  Health
		says  string
		spoil func(*Report)
	}{
		"well":       {Healthy, "", func(*Report) {}},
		"no API":     {Broken, "no answer", func(r *Report) { r.API.Error, r.API.Reads = "no answer", false }},
		"API unread": {Broken, "can't read", func(r *Report) { r.API.Error, r.API.Reads = "it can't read what is stored: timeout", false }},
		"a name that is not known here": {Degraded, "is not known here", func(r *Report) {
			r.API.Asked, r.API.Unreached, r.API.UnknownName = "192.0.2.2:6443", "no such host", true
		}},
		"VIP away": {Broken, "was asked instead", func(r *Report) { r.API.Asked, r.API.Unreached = "192.0.2.2:6443", "refused" }},
		"one apiserver": {Degraded, "only one apiserver of 3 answers: cp1", func(r *Report) {
			r.ControlPlanes[1].APIServer = Component{Error: "x"}
			r.ControlPlanes[2].APIServer = Component{Error: "x"}
		}},
		"no leader":             {Degraded, "nobody leads", func(r *Report) { r.ControlPlanes[1].Scheduler.Leader = false }},
		"component away":        {Degraded, "scheduler: refused", func(r *Report) { r.ControlPlanes[0].Scheduler = Component{Error: "refused"} }},
		"component not seen":    {Healthy, "", func(r *Report) { r.ControlPlanes[0].Scheduler = Component{Error: "no right", Unseen: true} }},
		"quorum lost":           {Broken, "1 of 3 members answer", func(r *Report) { r.Etcd[0].Answers, r.Etcd[1].Answers = false, false }},
		"one member away":       {Degraded, "etcd:", func(r *Report) { r.Etcd[0].Answers = false }},
		"etcd leaderless":       {Broken, "no member is the leader", func(r *Report) { r.Etcd[2].Leader = false }},
		"learner":               {Degraded, "does not vote", func(r *Report) { r.Etcd[0].Learner = true }},
		"far behind":            {Degraded, "5000 entries behind", func(r *Report) { r.Etcd[0].Lag = 5000 }},
		"nearly full":           {Degraded, "of its quota", func(r *Report) { r.Etcd[0].DBBytes = 7 << 30 }},
		"mixed etcd":            {Degraded, "different versions: 3.5.24, 3.6.16", func(r *Report) { r.Etcd[0].Version = "3.5.24" }},
		"mixed apiservers":      {Degraded, "different versions", func(r *Report) { r.ControlPlanes[0].APIServer.Version = "v1.35.4" }},
		"two hosts":             {Degraded, "none can be lost", func(r *Report) { r.ControlPlanes = r.ControlPlanes[:2] }},
		"node away":             {Degraded, "not ready", func(r *Report) { r.Nodes[3].NotReady = "gone" }},
		"certificate":           {Degraded, "ends in 3 days", func(r *Report) { r.Certificates[0].DaysLeft = 3 }},
		"certificate, 2 months": {Degraded, "apiserver ends in 60 days", func(r *Report) { r.Certificates[0].DaysLeft = WarnDays }},
		"certificate, longer":   {Healthy, "", func(r *Report) { r.Certificates[0].DaysLeft = WarnDays + 1 }},
		"kubelet's, 2 months":   {Healthy, "", func(r *Report) { r.Certificates[0].DaysLeft, r.Certificates[0].RenewsItself = 31, true }},
		"kubelet's, late":       {Degraded, "ends in 30 days", func(r *Report) { r.Certificates[0].DaysLeft, r.Certificates[0].RenewsItself = 30, true }},
		"certificate over":      {Degraded, "has ended", func(r *Report) { r.Certificates[0].NotAfter, r.Certificates[0].DaysLeft = moment.Add(-time.Hour), 0 }},
		"kubeconfig, 20 days": {Healthy, "", func(r *Report) {
			r.Certificates = append(r.Certificates, Certificate{What: "your kubeconfig", DaysLeft: 20, NotAfter: moment.Add(20 * 24 * time.Hour)})
		}},
		"dns gone":         {Degraded, "no pod of CoreDNS", func(r *Report) { r.DNS.Ready = 0 }},
		"dns on one node":  {Degraded, "on one node", func(r *Report) { r.DNS.Nodes = map[string]int{"cp1": 3} }},
		"failed operation": {Degraded, "upgrade-x7k2p has failed", func(r *Report) { r.Operations[0].Phase = "Failed" }},
	} {
		t.Run(name, func(t *testing.T) {
			r := healthy()
			c.spoil(&r)
			Judge(&r)
			says := ""
			for _, p := range r.Problems {
				says += p.Subject + ": " + p.Message + "\n"
			}
			if r.Health != c.want || !strings.Contains(says, c.says) || c.says == "" && says != "" {
				t.Errorf("%s: %s", r.Health, says)
			}
		})
	}
}

const answer = `# HELP etcd_server_is_leader Whether
etcd_server_is_leader 1
etcd_server_has_leader 1
etcd_server_is_learner 0
etcd_server_version{server_version="3.6.16"} 1
etcd_mvcc_db_total_size_in_bytes 4.194304e+06
etcd_mvcc_db_total_size_in_use_in_bytes 1.048576e+06
etcd_server_proposals_committed_total 100
etcd_server_proposals_applied_total 90
# TYPE etcd_disk_wal_fsync_duration_seconds histogram
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 50
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.002"} 98
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.004"} 99
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 100
etcd_disk_wal_fsync_duration_seconds_sum 1
etcd_disk_wal_fsync_duration_seconds_count 100
grpc_server_handled_total{grpc_code="OK",grpc_method="Range"} 7
what is this
`

func TestMetrics(t *testing.T) {
	n := parseMetrics([]byte(answer))
	var m Member
	fill(&m, n, nil)
	if !m.Leader || m.Learner || m.Version != "3.6.16" || m.DBBytes != 4<<20 || m.FreeBytes != 3<<20 || m.Committed != 100 || m.Applied != 90 || m.FsyncMillis != 4 {
		t.Errorf("got %+v", m)
	}
	later := parseMetrics([]byte(strings.NewReplacer(`le="0.004"} 99`, `le="0.004"} 199`, `le="+Inf"} 100`, `le="+Inf"} 200`, `le="0.002"} 98`, `le="0.002"} 198`, `le="0.001"} 50`, `le="0.001"} 150`).Replace(answer)))
	fill(&m, later, n.buckets)
	if m.FsyncMillis != 1 {
		t.Errorf("since the last look: %v ms", m.FsyncMillis)
	}
	fill(&m, n, later.buckets)
	if m.FsyncMillis != 4 {
		t.Errorf("after a restart: %v ms", m.FsyncMillis)
	}
	members := []Member{m, {Measured: true, Committed: 150, Applied: 150}, {}}
	lags(members)
	if members[0].Lag != 60 || members[1].Lag != 0 || members[2].Lag != 0 {
		t.Errorf("lags: %+v", members)
	}
}

func TestInspectionIsAdded(t *testing.T) {
	r := healthy()
	r.Etcd[1].Measured = false
	since := moment.Add(-time.Hour)
	in := Inspection{Errors: map[string]string{"w1": "it is not ready\nmore"}, Facts: map[string]inspect.Facts{"cp2": {
		VIP: &inspect.VIP{Here: true, Since: &since},
		Certificates: []inspect.Certificate{{File: "/etc/kubernetes/pki/ca.crt", CA: true, NotAfter: moment.Add(50 * 24 * time.Hour)}, {File: "/etc/etcd/pki/peer.crt", NotAfter: moment.Add(59 * 24 * time.Hour)},
			{File: "/var/lib/kubelet/pki/kubelet-client-current.pem", NotAfter: moment.Add(40 * 24 * time.Hour)}},
		Etcd:    []inspect.EtcdMember{{Endpoint: "https://192.0.2.2:2379", Version: "3.6.16", Raft: 4990, Alarms: []string{"CORRUPT"}}},
		Backups: []inspect.Backup{{Name: "newest", Made: moment.Add(-time.Minute)}},
	}}}
	in.Add(&r)
	if r.API.Holder != "cp2" || r.API.Since == nil || slices.Contains(r.API.Could, "cp2") || r.LastBackup.Name != "newest" || !r.Inspected {
		t.Errorf("got %+v", r)
	}
	if m := r.Etcd[1]; !m.Measured || m.Unwell != "CORRUPT" || m.Lag != 10 {
		t.Errorf("got %+v", m)
	}
	if !slices.ContainsFunc(r.Problems, func(p Problem) bool { return strings.Contains(p.Message, "etcd/pki/peer.crt ends in 59 days") }) || slices.ContainsFunc(r.Problems, func(p Problem) bool { return strings.Contains(p.Message, "kubelet-client") }) || r.Health != Degraded {
		t.Errorf("got %+v", r.Problems)
	}
	if !slices.Contains(r.Unseen, "the files of w1: it is not ready") {
		t.Errorf("got %v", r.Unseen)
	}
}

func TestLastPart(t *testing.T) {
	for message, want := range map[string]string{
		"failed to connect to localhost:2381 inside namespace, IPv4: dial tcp4 127.0.0.1:2381: connect: connection refused IPv6 dial tcp6 [::1]:2381: connect: cannot assign requested address": "connect: connection refused",
		"a: b: no such pod": "b: no such pod",
		"alone":             "alone",
	} {
		if got := lastPart(message); got != want {
			t.Errorf("%q", got)
		}
	}
}

func TestShort(t *testing.T) {
	if got := short(errors.New("a\nb   c")); got != "a b c" {
		t.Errorf("%q", got)
	}
	if got := short(errors.New(`an error on the server ("[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\nreadyz check failed") has`)); got != "failed checks: etcd, poststarthook/rbac/bootstrap-roles" {
		t.Errorf("%q", got)
	}
	if short(nil) != "" {
		t.Error("nil is something")
	}
}

func TestPlace(t *testing.T) {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Hosts: []v1alpha1.Host{{Name: "z"}, {Name: "a"}}}}
	if place(c, "z") != 0 || place(c, "a") != 1 || place(c, "?") != 2 {
		t.Error("not in the document's order")
	}
}
