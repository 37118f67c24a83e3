package look

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
	"github.com/kubectl-ha/kubectl-ha/test/golden"
)

var moment = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// healthy is a report in which nothing is wrong.
func healthy() status.Report {
	r := status.Report{Time: moment, Cluster: "prod", Version: "v1.36.3", Operations: []status.Operation{{Name: "upgrade-x7k2p", Type: "Upgrade", Phase: "Succeeded", Finished: true, Since: moment.Add(-3 * time.Hour)}}}
	r.API = status.API{Endpoint: "192.0.2.100:6443", VirtualIP: "192.0.2.100", Holder: "cp1", Could: []string{"cp2", "cp3"}, Asked: "192.0.2.100:6443", Reads: true}
	for i, name := range []string{"cp1", "cp2", "cp3"} {
		well := status.Component{Healthy: true, Version: "v1.36.3", Milliseconds: 12}
		leads := well
		leads.Leader = i == 1
		r.ControlPlanes = append(r.ControlPlanes, status.ControlPlane{Node: name, Address: fmt.Sprintf("192.0.2.%d:6443", i+1), APIServer: well, ControllerManager: leads, Scheduler: leads})
		r.Etcd = append(r.Etcd, status.Member{Node: name, Address: fmt.Sprintf("192.0.2.%d:2379", i+1), Answers: true, Measured: true, Leading: true, Leader: i == 2,
			Version: "3.6.16", DBBytes: 12 << 20, FreeBytes: 3 << 20, QuotaBytes: 8 << 30, Committed: 5000, Applied: 5000, FsyncMillis: 4})
		r.Nodes = append(r.Nodes, status.Node{Name: name, ControlPlane: true, Version: "v1.36.3", Address: fmt.Sprintf("192.0.2.%d", i+1)})
		r.Certificates = append(r.Certificates, status.Certificate{Node: name, What: "apiserver", NotAfter: moment.Add(300 * 24 * time.Hour), DaysLeft: 300})
	}
	r.Nodes = append(r.Nodes, status.Node{Name: "w1", Version: "v1.36.3", Address: "192.0.2.9"})
	for days, c := range map[int]status.Certificate{3640: {Node: "cp1", What: "etcd"}, 301: {Node: "w1", What: "kubelet, serving"}, 302: {Node: "cp1", What: "kubelet, serving"}} {
		c.DaysLeft, c.NotAfter = days, moment.Add(time.Duration(days)*24*time.Hour)
		r.Certificates = append(r.Certificates, c)
	}
	r.DNS = &status.DNS{Wanted: 3, Ready: 3, Nodes: map[string]int{"cp1": 1, "cp2": 1, "cp3": 1}}
	r.Images.Kinds = 14
	r.LastBackup = &status.Backup{Name: "upgrade-x7k2p", Node: "cp1", Made: moment.Add(-3 * time.Hour)}
	status.Judge(&r)
	return r
}

// sick is one with much to tell.
func sick() status.Report {
	r := healthy()
	refused := status.Component{Error: "port 10257 on its loopback: connect: connection refused"}
	r.ControlPlanes[2] = status.ControlPlane{Node: "cp3", Address: "192.0.2.3:6443", APIServer: status.Component{Error: "no answer within 4s"}, ControllerManager: refused, Scheduler: status.Component{Unseen: true, Error: "no pod of kube-system runs there in the host's network"}}
	r.Etcd[2] = status.Member{Node: "cp3", Address: "192.0.2.3:2379", Error: "dial tcp 192.0.2.3:2379: connect: no route to host"}
	r.Etcd[0].Leader, r.Etcd[0].FsyncMillis, r.Etcd[0].Unwell = true, 45, "ALARM NOSPACE"
	r.Nodes[2].NotReady = "NodeStatusUnknown, Kubelet stopped posting node status."
	r.Nodes[3].Cordoned, r.Nodes[3].Pressure = true, []string{"DiskPressure"}
	r.Certificates[0].DaysLeft, r.Certificates[0].NotAfter = 5, moment.Add(5*24*time.Hour)
	r.DNS.Ready, r.DNS.Nodes = 2, map[string]int{"cp1": 2}
	r.Operations = []status.Operation{{Name: "upgrade-b7", Phase: "Running", Progress: "4/19", Message: "waiting for cp3 to be well at v1.36.3, which takes longer than anybody thought it would take"}}
	r.LoadBalancer = &status.LoadBalancer{Type: "haproxy", Address: "192.0.2.100:8443", Backends: []status.Backend{{Node: "cp1", Up: true}, {Node: "cp2", Up: true}, {Node: "cp3", What: "connection refused"}}}
	r.LastBackup = nil
	r.Images.Missing = map[string][]string{"cp2": {"registry.k8s.io/kube-apiserver:v1.36.3"}}
	r.Unseen = []string{"the files of cp3: it is not ready"}
	status.Judge(&r)
	return r
}

func TestRender(t *testing.T) {
	for name, r := range map[string]status.Report{"healthy": healthy(), "sick": sick()} {
		text := render(r, report.Style{}, false)
		for i, l := range strings.Split(text, "\n") {
			if columns(l) > width {
				t.Errorf("%s: line %d has %d columns: %s", name, i+1, columns(l), l)
			}
		}
		golden.Compare(t, name+".txt", text)
		coloured := render(r, report.Style{Color: true}, false)
		if strip(coloured) != text {
			t.Errorf("%s: colours change the text", name)
		}
		if plain := render(r, report.Style{ASCII: true}, true); strings.ContainsFunc(plain, func(c rune) bool { return c > 126 }) {
			t.Errorf("%s: not ASCII: %s", name, plain)
		}
	}
	golden.Compare(t, "wide.txt", render(sick(), report.Style{}, true))
}

// TestEndpointOfOthers: who answers behind a name does not hold it; a virtual IP of others is held.
func TestEndpointOfOthers(t *testing.T) {
	for _, tt := range []struct {
		virtualIP, endpoint, want string
		marked                    bool
	}{
		{"192.0.2.100", "192.0.2.100:6443", "192.0.2.100:6443, held by cp1", true},
		{"", "api.example:6443", "api.example:6443, answered by cp1", false},
	} {
		r := healthy()
		r.API.Others, r.API.VirtualIP, r.API.Endpoint, r.API.Asked = true, tt.virtualIP, tt.endpoint, tt.endpoint
		text := render(r, report.Style{}, false)
		if !strings.Contains(text, tt.want) || strings.Contains(text, "(VIP)") != tt.marked {
			t.Errorf("%s is not told:\n%s", tt.want, text)
		}
	}
}

// strip takes the colours out.
func strip(text string) string {
	for _, code := range []string{"0", "1", "2", "31", "32", "33", "36"} {
		text = strings.ReplaceAll(text, "\x1b["+code+"m", "")
	}
	return text
}

func TestWrapAndCut(t *testing.T) {
	if got := wrap("one two three", 7); !slices.Equal(got, []string{"one two", "three"}) {
		t.Errorf("%q", got)
	}
	if got := wrap("sixteencharacter", 7); !slices.Equal(got, []string{"sixteen", "charact", "er"}) {
		t.Errorf("%q", got)
	}
	if got := cut("\x1b[31mabcdefghij\x1b[0m", 6); got != "\x1b[31mabc...\x1b[0m" {
		t.Errorf("%q", got)
	}
}
