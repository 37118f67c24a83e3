package upgrade

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/drain"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

func storedDocument() *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{}
	c.Spec.VirtualIP, c.Spec.APIServerPort, c.Spec.KubernetesVersion = "10.0.0.1", 6443, "v1.35.4"
	for i, n := range []string{"cp1", "cp2", "cp3"} {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: n, Address: fmt.Sprintf("10.0.0.1%d", i), Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}})
	}
	for i, n := range []string{"w1", "w2", "w3"} {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: n, Address: fmt.Sprintf("10.0.0.2%d", i), Roles: []v1alpha1.Role{v1alpha1.RoleWorker}})
	}
	return c
}

func static(v string) map[string]string {
	return map[string]string{apiserver: v, controllerManager: v, scheduler: v}
}

// well is a cluster at a version of which nothing is to be said.
func well(v string) Observation {
	o := Observation{Nodes: map[string]Node{}, Configured: v, Inside: true}
	for _, h := range storedDocument().Nodes() {
		n := Node{ControlPlane: h.Has(v1alpha1.RoleControlPlane), Kubelet: v}
		if n.ControlPlane {
			n.Static = static(v)
		}
		o.Nodes[h.Name] = n
	}
	return o
}

// change returns the observation with a node changed.
func change(o Observation, node string, f func(*Node)) Observation {
	n := o.Nodes[node]
	f(&n)
	o.Nodes[node] = n
	return o
}

func TestNodes(t *testing.T) {
	for name, c := range map[string]struct {
		spec v1alpha1.UpgradeSpec
		o    Observation
		// want is node:turn, with a for apply, s for static pods, k for the kubelet.
		want string
	}{
		"all":                     {v1alpha1.UpgradeSpec{}, well("v1.35.4"), "cp1:1ask cp2:2sk cp3:3sk w1:4k w2:5k w3:6k"},
		"the holder last":         {v1alpha1.UpgradeSpec{}, func() Observation { o := well("v1.35.4"); o.Holder = "cp1"; return o }(), "cp2:1ask cp3:2sk cp1:3sk w1:4k w2:5k w3:6k"},
		"two at a time":           {v1alpha1.UpgradeSpec{MaxUnavailable: "2"}, well("v1.35.4"), "cp1:1ask cp2:2sk cp3:3sk w1:4k w2:4k w3:5k"},
		"a part, rounded down":    {v1alpha1.UpgradeSpec{MaxUnavailable: "99%"}, well("v1.35.4"), "cp1:1ask cp2:2sk cp3:3sk w1:4k w2:4k w3:5k"},
		"a part, one at least":    {v1alpha1.UpgradeSpec{MaxUnavailable: "1%"}, well("v1.35.4"), "cp1:1ask cp2:2sk cp3:3sk w1:4k w2:5k w3:6k"},
		"control planes only":     {v1alpha1.UpgradeSpec{Only: v1alpha1.UpgradeControlPlanes}, well("v1.35.4"), "cp1:1ask cp2:2sk cp3:3sk w1:0 w2:0 w3:0"},
		"workers only":            {v1alpha1.UpgradeSpec{Only: v1alpha1.UpgradeNodes}, well("v1.35.4"), "cp1:0 cp2:0 cp3:0 w1:1k w2:2k w3:3k"},
		"done":                    {v1alpha1.UpgradeSpec{}, well("v1.36.3"), "cp1:0 cp2:0 cp3:0 w1:0 w2:0 w3:0"},
		"a worker is left":        {v1alpha1.UpgradeSpec{}, change(well("v1.36.3"), "w2", func(n *Node) { n.Kubelet = "v1.35.4" }), "cp1:0 cp2:0 cp3:0 w1:0 w2:1k w3:0"},
		"a kubelet is left":       {v1alpha1.UpgradeSpec{}, change(well("v1.36.3"), "cp2", func(n *Node) { n.Kubelet = "v1.35.4" }), "cp1:0 cp2:1k cp3:0 w1:0 w2:0 w3:0"},
		"a control plane is left": {v1alpha1.UpgradeSpec{}, change(well("v1.36.3"), "cp2", func(n *Node) { n.Static = static("v1.35.4") }), "cp1:0 cp2:1s cp3:0 w1:0 w2:0 w3:0"},
		"apply did not finish": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := change(well("v1.35.4"), "cp1", func(n *Node) { n.Static = static("v1.36.3") })
			return o
		}(), "cp1:1ask cp2:2sk cp3:3sk w1:4k w2:5k w3:6k"},
		"by zones":       {v1alpha1.UpgradeSpec{By: "zone", MaxUnavailable: "50%"}, zones(well("v1.35.4"), "w1", "b", "w3", "a"), "cp1:1ask cp2:2sk cp3:3sk w3:4k w1:5k w2:6k"},
		"two of a zone":  {v1alpha1.UpgradeSpec{By: "zone", MaxUnavailable: "2"}, zones(well("v1.35.4"), "w2", "b", "w3", "b"), "cp1:1ask cp2:2sk cp3:3sk w2:4k w3:4k w1:5k"},
		"no zone at all": {v1alpha1.UpgradeSpec{By: "zone", MaxUnavailable: "2"}, well("v1.35.4"), "cp1:1ask cp2:2sk cp3:3sk w1:4k w2:4k w3:5k"},
	} {
		t.Run(name, func(t *testing.T) {
			c.spec.Version = "v1.36.3"
			nodes, err := Nodes(storedDocument(), &c.spec, c.o)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range nodes {
				s := fmt.Sprintf("%s:%d", n.Node, n.Turn)
				for flag, on := range map[string]bool{"a": n.First} {
					if on && n.Turn > 0 {
						s += flag
					}
				}
				if n.Static {
					s += "s"
				}
				if n.Kubelet {
					s += "k"
				}
				if (n.Turn == 0) != (n.Disruption == "none") {
					t.Errorf("%s: turn %d, disruption %q", n.Node, n.Turn, n.Disruption)
				}
				got = append(got, s)
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %s, want %s", s, c.want)
			}
		})
	}
	for _, bad := range []string{"0", "-1", "101%", "0%", "x", "%", "1.5"} {
		if _, err := Nodes(storedDocument(), &v1alpha1.UpgradeSpec{Version: "v1.36.3", MaxUnavailable: bad}, well("v1.35.4")); err == nil {
			t.Errorf("%q nodes unavailable are no error", bad)
		}
	}
}

// zones puts nodes into zones, given as pairs.
func zones(o Observation, pairs ...string) Observation {
	for i := 0; i < len(pairs); i += 2 {
		o = change(o, pairs[i], func(n *Node) { n.Labels = map[string]string{"zone": pairs[i+1]} })
	}
	return o
}

func planOf(t *testing.T, c *v1alpha1.Cluster, spec v1alpha1.UpgradeSpec, o Observation) []v1alpha1.StepStatus {
	t.Helper()
	spec.Version = "v1.36.3"
	steps, err := Plan(&v1alpha1.Operation{Spec: v1alpha1.OperationSpec{Upgrade: &spec}}, c, o)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// before are all steps that have to have ended before one begins.
func before(steps []v1alpha1.StepStatus, id string) map[string]bool {
	out := map[string]bool{}
	var add func(string)
	add = func(id string) {
		for i, s := range steps {
			if s.ID != id {
				continue
			}
			for _, a := range s.After {
				for _, a := range meant(steps[:i], a) {
					if !out[a] {
						out[a] = true
						add(a)
					}
				}
			}
		}
	}
	add(id)
	return out
}

// meant are the steps that one is said to come after.
func meant(steps []v1alpha1.StepStatus, after string) []string {
	all := v1alpha1.KindAfter(after)
	if after == v1alpha1.AfterTurns {
		all = stepUncordon
	}
	if all == "" {
		return []string{after}
	}
	var out []string
	for _, s := range steps {
		if kind, _, _ := strings.Cut(s.ID, "/"); kind == all {
			out = append(out, s.ID)
		}
	}
	return out
}

func TestPlan(t *testing.T) {
	o := well("v1.35.4")
	o.Holder = "cp1"
	steps := planOf(t, storedDocument(), v1alpha1.UpgradeSpec{MaxUnavailable: "2"}, o)
	ids := map[string]v1alpha1.StepStatus{}
	known := Definition().Steps
	for i, s := range steps {
		ids[s.ID] = s
		kind, _, _ := strings.Cut(s.ID, "/")
		if known[kind] == nil {
			t.Errorf("nothing carries out %s", s.ID)
		}
		for _, a := range s.After {
			if len(meant(steps[:i], a)) == 0 || v1alpha1.KindAfter(a) == "" && !slices.ContainsFunc(steps[:i], func(e v1alpha1.StepStatus) bool { return e.ID == a }) {
				t.Errorf("%s comes after %s, which is not before it", s.ID, a)
			}
		}
	}
	for _, s := range steps {
		if u, ok := ids[s.UndoneBy]; s.UndoneBy != "" && (!ok || !u.Cleanup) {
			t.Errorf("%s is undone by %q", s.ID, s.UndoneBy)
		}
	}
	for _, c := range []struct{ first, then string }{
		{"preflight", "content/w3"}, {"preflight", "backup/cp1"}, {"content/w3", "others/cp2"}, {"backup/cp3", "others/cp2"}, {"backup/cp1", "vip-away/cp2"},
		{"others/cp2", "vip-away/cp2"}, {"vip-away/cp2", "apply/cp2"}, {"apply/cp2", "kubelet/cp2"}, {"kubelet/cp2", "gate/cp2"}, {"gate/cp2", "vip-back/cp2"},
		{"gate/cp2", "one-holder/cp2"}, {"one-holder/cp2", "others/cp3"}, {"vip-back/cp2", "others/cp3"}, {"gate/cp3", "control-plane/cp1"}, {"vip-back/cp1", "kube-proxy"}, {"gate/cp1", "coredns"},
		{"coredns-ready", "cordon/w1"}, {"record", "cordon/w2"}, {"drain/w1", "kubelet/w1"}, {"gate/w1", "uncordon/w1"},
		{"workers", "cordon/w3"}, {"record", "workers"}, {"uncordon/w3", "report"}, {"uncordon/w2", "report"},
	} {
		if _, ok := ids[c.first]; !ok {
			t.Errorf("there is no step %s", c.first)
		}
		if !before(steps, c.then)[c.first] {
			t.Errorf("%s does not wait for %s", c.then, c.first)
		}
	}
	if before(steps, "cordon/w2")["cordon/w1"] || before(steps, "cordon/w3")["cordon/w2"] {
		t.Error("a worker waits for another one, where it is to wait for room")
	}
	if b := ids["workers"].Turns; b == nil || b.AtOnce != 2 || b.MaxFailures != 0 || ids["workers"].UndoneBy != stepUncordoned {
		t.Errorf("the workers' turns are bounded by %+v", b)
	}
	for _, id := range []string{"drain/cp1", "cordon/cp2", "vip-away/w1", "backup/w1"} {
		if _, ok := ids[id]; ok {
			t.Errorf("nobody asked for %s", id)
		}
	}
	// A kubelet's step that failed has the address away again when it is resumed.
	if !slices.Contains(ids["kubelet/cp2"].After, "vip-away/cp2") || ids["vip-away/cp2"].UndoneBy != "vip-restore/cp2" {
		t.Error("a resumed step would find the virtual IP on its host")
	}
}

// TestResumedPlan fails each step in turn and looks at what a resumed Operation does
// again: never more than what belongs to the turn that failed, so that the virtual IP
// is away from one host at most.
func TestResumedPlan(t *testing.T) {
	steps := planOf(t, storedDocument(), v1alpha1.UpgradeSpec{DrainControlPlanes: true}, well("v1.35.4"))
	for _, failing := range steps {
		if failing.Cleanup {
			continue
		}
		s := v1alpha1.OperationStatus{Phase: v1alpha1.OperationFailed, Steps: slices.Clone(steps)}
		done := before(steps, failing.ID)
		for i := range s.Steps {
			one := &s.Steps[i]
			switch {
			case one.ID == failing.ID:
				one.State = v1alpha1.StepFailed
			case done[one.ID] || one.Cleanup:
				one.State = v1alpha1.StepSucceeded
			}
		}
		_, node, _ := strings.Cut(failing.ID, "/")
		for _, again := range operations.Retry(s).Steps {
			if again.Cleanup || again.ID == failing.ID || again.State != v1alpha1.StepPending || !done[again.ID] {
				continue
			}
			if _, n, _ := strings.Cut(again.ID, "/"); n != node && again.ID != stepWorkers {
				t.Errorf("when %s has failed, %s is done again", failing.ID, again.ID)
			}
		}
	}
}

func TestPlanVariants(t *testing.T) {
	has := func(steps []v1alpha1.StepStatus, id string) bool {
		return slices.ContainsFunc(steps, func(s v1alpha1.StepStatus) bool { return s.ID == id })
	}
	drained := planOf(t, storedDocument(), v1alpha1.UpgradeSpec{DrainControlPlanes: true}, well("v1.35.4"))
	if !before(drained, "apply/cp1")["drain/cp1"] || !before(drained, "uncordon/cp1")["gate/cp1"] || !before(drained, "others/cp2")["uncordon/cp1"] {
		t.Error("control planes are not drained as asked")
	}
	workers := planOf(t, storedDocument(), v1alpha1.UpgradeSpec{Only: v1alpha1.UpgradeNodes}, well("v1.35.4"))
	for _, id := range []string{"backup/cp1", "kube-proxy", "record", "gate/cp1", "content/cp1"} {
		if has(workers, id) {
			t.Errorf("for workers only there is %s", id)
		}
	}
	if !before(workers, "cordon/w1")["content/w3"] || !before(workers, "workers")["preflight"] || len(meant(workers, "cordon/*")) != 3 {
		t.Error("workers do not come after the content")
	}
	servers := planOf(t, storedDocument(), v1alpha1.UpgradeSpec{Only: v1alpha1.UpgradeControlPlanes}, well("v1.35.4"))
	if has(servers, "cordon/w1") || !has(servers, "record") {
		t.Error("for control planes only there is a worker's step, or no record")
	}
	one := storedDocument()
	one.Spec.Hosts = append(one.Spec.Hosts[:1], one.Spec.Hosts[3:]...)
	single := planOf(t, one, v1alpha1.UpgradeSpec{}, well("v1.35.4"))
	if has(single, "vip-away/cp1") || has(single, "vip-restore/cp1") || !before(single, "cordon/w1")["gate/cp1"] {
		t.Error("with one control plane the virtual IP is to move, or nothing is waited for")
	}
	done := planOf(t, storedDocument(), v1alpha1.UpgradeSpec{}, well("v1.36.3"))
	for _, s := range done {
		if s.Node != "" {
			t.Errorf("nothing is to be done, and there is %s", s.ID)
		}
	}
	etcd := storedDocument()
	etcd.Spec.Hosts = append(etcd.Spec.Hosts, v1alpha1.Host{Name: "e1", Roles: []v1alpha1.Role{v1alpha1.RoleEtcd}})
	if steps := planOf(t, etcd, v1alpha1.UpgradeSpec{}, well("v1.35.4")); has(steps, "backup/e1") || !has(steps, "backup/cp1") {
		t.Error("a host that is no node can't be asked for a backup")
	}
	if _, err := Plan(&v1alpha1.Operation{}, storedDocument(), well("v1.35.4")); err == nil {
		t.Error("no spec is no error")
	}
}

// loses is a cluster with pods on a node that have data in emptyDir volumes.
func loses(node string, pods ...string) Observation {
	o := well("v1.35.4")
	o.Local = map[string][]string{node: pods}
	return o
}

func TestLosesData(t *testing.T) {
	for name, c := range map[string]struct {
		spec v1alpha1.UpgradeSpec
		o    Observation
		want string
	}{
		"a worker":                 {v1alpha1.UpgradeSpec{}, loses("w2", "a/b", "a/c"), "w2: a/b a/c"},
		"a control plane":          {v1alpha1.UpgradeSpec{}, loses("cp2", "a/b"), ""},
		"a control plane, drained": {v1alpha1.UpgradeSpec{DrainControlPlanes: true}, loses("cp2", "a/b"), "cp2: a/b"},
		"a worker that is done":    {v1alpha1.UpgradeSpec{}, change(loses("w2", "a/b"), "w2", func(n *Node) { n.Kubelet = "v1.36.3" }), ""},
		"a worker that is no part": {v1alpha1.UpgradeSpec{Only: v1alpha1.UpgradeControlPlanes}, loses("w2", "a/b"), ""},
	} {
		c.spec.Version = "v1.36.3"
		nodes, err := Nodes(storedDocument(), &c.spec, c.o)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, n := range nodes {
			if len(n.LosesData) > 0 {
				got += n.Node + ": " + strings.Join(n.LosesData, " ")
			}
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// TestRefusal: what to do next is what helps.
func TestRefusal(t *testing.T) {
	for want, findings := range map[string][]Finding{
		"next: see to it and resume, or abort; or abort, and begin anew with --ignore evictions,disk; nothing was changed": {{Check: CheckEvictions, Message: "a"}, {Check: CheckDisk, Message: "b"}, {Check: CheckEvictions, Message: "c"}},
		"next: see to it and resume, or abort; nothing was changed":                                                        {{Check: CheckEvictions, Message: "a"}, {Check: CheckEtcd, Message: "b"}},
	} {
		if err := refusal(findings); !strings.HasSuffix(err.Error(), want) || !strings.Contains(err.Error(), "a; b") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestImagesOf(t *testing.T) {
	for v, want := range map[string]string{"v1.36.3": "registry.k8s.io/kube-proxy:v1.36.3", "latest": "", "v1.99.0": ""} {
		list, err := ImagesOf(storedDocument(), v)
		got := fmt.Sprint(list, err)
		if want != "" && !strings.Contains(got, want) || want == "" && (len(list) > 0 || err != nil) {
			t.Errorf("%s: %s", v, got)
		}
	}
}

func TestCheck(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		spec   v1alpha1.UpgradeSpec
		o      Observation
		blocks string
		tells  string
	}{
		"well":              {v1alpha1.UpgradeSpec{}, well("v1.35.4"), "", ""},
		"not ready":         {v1alpha1.UpgradeSpec{}, change(well("v1.35.4"), "w1", func(n *Node) { n.NotReady = "asleep" }), "w1: it is not ready: asleep", ""},
		"not ready, spared": {v1alpha1.UpgradeSpec{Only: v1alpha1.UpgradeControlPlanes}, change(well("v1.35.4"), "w1", func(n *Node) { n.NotReady = "asleep" }), "", "asleep"},
		"a server, always":  {v1alpha1.UpgradeSpec{Version: "v1.35.4", Only: v1alpha1.UpgradeNodes}, change(well("v1.35.4"), "cp1", func(n *Node) { n.NotReady = "asleep" }), "asleep", ""},
		"gone":              {v1alpha1.UpgradeSpec{}, func() Observation { o := well("v1.35.4"); delete(o.Nodes, "w2"); return o }(), "w2: it is in the Cluster document", ""},
		"a stranger":        {v1alpha1.UpgradeSpec{}, func() Observation { o := well("v1.35.4"); o.Nodes["x"] = Node{Kubelet: "v1.20.0"}; return o }(), "", "x: it is a node of the cluster and not"},
		"a full disk":       {v1alpha1.UpgradeSpec{}, change(well("v1.35.4"), "cp1", func(n *Node) { n.Pressure = []string{"DiskPressure: full"} }), "DiskPressure: full", ""},
		"etcd, from inside": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.Etcd = []Endpoint{{Node: "cp2", Etcd: true, Error: "refused"}}
			return o
		}(), "cp2: the etcd member", ""},
		"etcd, from outside": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.Inside = false
			o.Etcd = []Endpoint{{Node: "cp2", Etcd: true, Error: "refused"}}
			return o
		}(), "", "refused"},
		"etcd, from outside, where others answer": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.Inside = false
			o.Etcd = []Endpoint{{Node: "cp1", Etcd: true}, {Node: "cp2", Etcd: true, Error: "refused"}}
			return o
		}(), "cp2: the etcd member", ""},
		"a server is down": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.APIServers = []Endpoint{{Node: "cp2", Error: "refused"}}
			return o
		}(), "cp2: the apiserver", ""},
		"certificate ends": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.APIServers = []Endpoint{{Node: "cp2", NotAfter: now.Add(time.Hour)}}
			return o
		}(), "", "the upgrade renews it"},
		"etcd's ends": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.Etcd = []Endpoint{{Node: "cp2", Etcd: true, Due: true, NotAfter: now.Add(29 * 24 * time.Hour)}}
			return o
		}(), "kubectl ha certs renew", ""},
		"etcd's ends later": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.Etcd = []Endpoint{{Node: "cp2", Etcd: true, Due: true, NotAfter: now.Add(100 * 24 * time.Hour)}}
			return o
		}(), "", "kubectl ha certs renew"},
		"an apiserver's is in its second half": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.APIServers = []Endpoint{{Node: "cp2", Due: true, NotAfter: now.Add(100 * 24 * time.Hour)}}
			return o
		}(), "", ""},
		"etcd's is renewed before": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.Etcd = []Endpoint{{Node: "cp2", Etcd: true, Due: true, NotAfter: now.Add(time.Hour)}}
			o.Ending = []Ending{{Node: "cp2", Name: certs.EtcdServer, Renewed: true}}
			return o
		}(), "", ""},
		"another's is renewed before": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.Etcd = []Endpoint{{Node: "cp2", Etcd: true, Due: true, NotAfter: now.Add(time.Hour)}}
			o.Ending = []Ending{{Node: "cp1", Name: certs.EtcdServer, Renewed: true}, {Node: "cp2", Name: certs.EtcdPeer, Renewed: true}}
			return o
		}(), "cp2: the certificate at", ""},
		"an apiserver's is renewed before": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.APIServers = []Endpoint{{Node: "cp2", NotAfter: now.Add(time.Hour)}}
			o.Ending = []Ending{{Node: "cp2", Name: certs.APIServer, Renewed: true}}
			return o
		}(), "", ""},
		"logins to etcd that end": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.Ending = []Ending{{Node: "cp2", Name: certs.EtcdPeer, NotAfter: now.Add(100 * 24 * time.Hour)}, {Node: "cp2", Name: certs.EtcdClient, NotAfter: now.Add(29 * 24 * time.Hour)}}
			return o
		}(), "cp2: less than half of the life is left of etcd-peer, apiserver-etcd-client, until " + now.Add(29*24*time.Hour).UTC().Format(time.RFC3339), ""},
		"logins to etcd that end later": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.Etcd = []Endpoint{{Node: "cp2", Etcd: true, NotAfter: now.Add(8760 * time.Hour)}}
			o.Ending = []Ending{{Node: "cp2", Name: certs.EtcdServer, NotAfter: now.Add(time.Hour)}, {Node: "cp2", Name: certs.EtcdClient, NotAfter: now.Add(100 * 24 * time.Hour)}}
			return o
		}(), "", "cp2: less than half of the life is left of apiserver-etcd-client, until"},
		"good for a year": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.Etcd = []Endpoint{{Node: "cp2", Etcd: true, NotAfter: now.Add(8760 * time.Hour)}}
			return o
		}(), "", ""},
		"images": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.Missing = map[string][]string{"w1": {"a:1", "b:1"}}
			return o
		}(), "", "w1: it lacks 2 image(s) of v1.36.3: a:1, b:1"},
		"a budget": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.Blocked = map[string][]drain.Blocked{"w1": {{Pod: "a/b", Reason: "the budget c"}}}
			return o
		}(), "w1: pod a/b can't be evicted: the budget c", ""},
		"a budget, by force": {v1alpha1.UpgradeSpec{ForceDrain: true}, func() Observation {
			o := well("v1.35.4")
			o.Blocked = map[string][]drain.Blocked{"w1": {{Pod: "a/b", Reason: "the budget c"}}}
			return o
		}(), "", "the budget c"},
		"lonely, by force": {v1alpha1.UpgradeSpec{ForceDrain: true}, func() Observation {
			o := well("v1.35.4")
			o.Blocked = map[string][]drain.Blocked{"w1": {{Pod: "a/b", Unmanaged: true}}}
			return o
		}(), "", ""},
		"no data that is in the way": {v1alpha1.UpgradeSpec{}, loses("w1", "a/b", "a/c"), "", "w1: 2 pods lose the data in emptyDir volumes: a/b, a/c"},
		"data that is not to be lost": {v1alpha1.UpgradeSpec{DeleteEmptyDirData: new(bool)}, loses("w1", "a/b"),
			"w1: 1 pod loses the data in emptyDir volumes: a/b (move what matters, or allow it with --delete-emptydir-data)", ""},
		"data on what is not drained": {v1alpha1.UpgradeSpec{DeleteEmptyDirData: new(bool)}, loses("cp1", "a/b"), "", ""},
		"data on a control plane":     {v1alpha1.UpgradeSpec{DrainControlPlanes: true}, loses("cp1", "a/b"), "", "cp1: 1 pod loses"},
		"a removed API": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.Deprecated = []Deprecated{{Version: "v1", Resource: "x", Removed: "1.36"}}
			return o
		}(), "x.v1 is asked for", ""},
		"one of later": {v1alpha1.UpgradeSpec{}, func() Observation {
			o := well("v1.35.4")
			o.Deprecated = []Deprecated{{Version: "v1", Resource: "x", Removed: "1.37"}, {Version: "v1", Resource: "y"}}
			return o
		}(), "", ""},
		"all at once": {v1alpha1.UpgradeSpec{Version: "v1.37.0"}, change(change(well("v1.35.4"), "w1", func(n *Node) { n.NotReady = "asleep" }), "w2", func(n *Node) { n.NotReady = "too" }), "asleep", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if c.spec.Version == "" {
				c.spec.Version = "v1.36.3"
			}
			all := Check(storedDocument(), &c.spec, c.o, now)
			blocking := Blocking(all)
			if got := messages(blocking); (c.blocks == "") != (got == "") || !strings.Contains(got, c.blocks) {
				t.Errorf("in the way is %q, want %q", got, c.blocks)
			}
			if got := messages(all[len(blocking):]); (c.tells == "") != (got == "") && c.blocks == "" || !strings.Contains(got, c.tells) {
				t.Errorf("told is %q, want %q", got, c.tells)
			}
			if name == "all at once" && len(blocking) != 3 {
				t.Errorf("got %d findings: %v", len(blocking), blocking)
			}
			for _, f := range blocking {
				if len(Blocking(all, f.Check)) == len(blocking) {
					t.Errorf("%s can't be ignored", f.Check)
				}
			}
		})
	}
}

func TestParseDeprecated(t *testing.T) {
	got, err := parseDeprecated([]byte(`# HELP apiserver_requested_deprecated_apis [STABLE] x
# TYPE apiserver_requested_deprecated_apis gauge
apiserver_requested_deprecated_apis{group="flowcontrol.apiserver.k8s.io",removed_release="1.36",resource="flowschemas",subresource="status",version="v1beta3"} 1
apiserver_requested_deprecated_apis{group="",removed_release="",resource="componentstatuses",subresource="",version="v1"} 1
apiserver_requested_deprecated_apis{group="",removed_release="1.36",resource="none",subresource="",version="v1"} 0
apiserver_request_total{code="200"} 7
`))
	if err != nil || len(got) != 2 || got[0].Name() != "flowschemas.v1beta3.flowcontrol.apiserver.k8s.io/status" || got[0].Removed != "1.36" || got[1].Name() != "componentstatuses.v1" {
		t.Errorf("got %+v, %v", got, err)
	}
	// Half an answer must not pass for one without deprecated APIs.
	if got, err := parseDeprecated([]byte("apiserver_request_total{code=\"200\"} 7\n" + metricDeprecated + "{group=\"x")); err == nil {
		t.Errorf("half an answer gives %+v", got)
	}
}

func TestNodeOf(t *testing.T) {
	now := time.Now()
	pod := func(component, node, image string, ready corev1.ConditionStatus) corev1.Pod {
		return corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"component": component, "tier": "control-plane"}},
			Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Image: image}}},
			Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
		}
	}
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "cp1", Labels: map[string]string{"node-role.kubernetes.io/control-plane": ""}}}
	n.Status.NodeInfo.KubeletVersion = "v1.36.3"
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeDiskPressure, Status: corev1.ConditionTrue, Message: "full"}, {Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse}}
	got := nodeOf(n, nil, []corev1.Pod{
		pod(apiserver, "cp1", "registry.example:5000/kube-apiserver:v1.36.3@sha256:00", corev1.ConditionTrue),
		pod(scheduler, "cp1", "registry.k8s.io/kube-scheduler:v1.35.4", corev1.ConditionFalse),
		pod(controllerManager, "cp2", "registry.k8s.io/kube-controller-manager:v1.36.3", corev1.ConditionTrue),
		pod("etcd", "cp1", "registry.k8s.io/etcd:3.6.0", corev1.ConditionTrue),
	}, now)
	if got.Static[apiserver] != "v1.36.3" || got.Static[scheduler] != "v1.35.4" || len(got.Static) != 2 || !got.StaticReady[apiserver] || got.StaticReady[scheduler] {
		t.Errorf("got %+v", got)
	}
	if !got.ControlPlane || got.NotReady == "" || strings.Join(got.Pressure, "") != "DiskPressure: full" || got.ServerAt("v1.36.3") {
		t.Errorf("got %+v", got)
	}
}

func TestReport(t *testing.T) {
	at := func(seconds int64) *metav1.Time { m := metav1.NewTime(time.Unix(seconds, 0)); return &m }
	got := Report([]v1alpha1.StepStatus{
		{ID: "preflight", StartedAt: at(0), FinishedAt: at(5)}, {ID: "backup/cp1", StartedAt: at(5), FinishedAt: at(9)},
		{ID: "apply/cp1", StartedAt: at(10), FinishedAt: at(40)}, {ID: "kubelet/cp1", StartedAt: at(40), FinishedAt: at(85)},
		{ID: "drain/w1", StartedAt: at(90), FinishedAt: at(91)}, {ID: "report", StartedAt: at(91)},
	})
	if got != "cp1 1m15s, w1 1s" {
		t.Errorf("got %s", got)
	}
	many := []v1alpha1.StepStatus{{ID: "gate/w0", State: v1alpha1.StepFailed, StartedAt: at(0), FinishedAt: at(2)}}
	for i := range 5000 {
		many = append(many, v1alpha1.StepStatus{ID: fmt.Sprintf("kubelet/w%d", i), StartedAt: at(10), FinishedAt: at(14)})
	}
	if got := Report(many); !strings.HasPrefix(got, "failed: w0 (gate); w0 6s, w1 4s, ") || !strings.HasSuffix(got, ", w19 4s, and 4980 more, each 4s on average") {
		t.Errorf("of many, got %s", got)
	}
	if got := Report(nil); got != "nothing had to be done" {
		t.Errorf("got %s", got)
	}
}
