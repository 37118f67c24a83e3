package bootstrap

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
)

func pending(p plan.Plan) []string {
	var out []string
	for _, s := range p.Pending() {
		out = append(out, s.ID)
	}
	return out
}

func find(t *testing.T, p plan.Plan, id string) plan.Step {
	t.Helper()
	for _, s := range p.Steps {
		if s.ID == id {
			return s
		}
	}
	t.Fatalf("there is no step %s", id)
	return plan.Step{}
}

func TestPlanForBareHosts(t *testing.T) {
	c := testCluster(t, nil)
	in := testInputs()
	in.Identity, in.EtcdCAs = "", nil
	p, err := MakePlan(c, bareHosts(c), in)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range p.Steps {
		if s.Skip != "" {
			t.Errorf("%s is skipped: %s", s.ID, s.Skip)
		}
		got = append(got, s.ID+" < "+strings.Join(s.After, ","))
	}
	want := []string{
		"prepare/cp1 < ", "prepare/cp2 < ", "prepare/cp3 < ", "prepare/w1 < ",
		"images/cp1 < prepare/cp1", "images/cp2 < prepare/cp2,images/cp1", "images/cp3 < prepare/cp3,images/cp1", "images/w1 < prepare/w1,images/cp1",
		"etcd/cp1 < prepare/cp1", "etcd/cp2 < prepare/cp2", "etcd/cp3 < prepare/cp3",
		"etcd-health < etcd/cp1,etcd/cp2,etcd/cp3",
		"vip/cp1 < prepare/cp1", "vip/cp2 < prepare/cp2", "vip/cp3 < prepare/cp3",
		"init/cp1 < images/cp1,etcd-health,vip/cp1",
		"join-node/cp2 < init/cp1,images/cp2", "join-node/cp3 < init/cp1,images/cp3", "join-node/w1 < init/cp1,images/w1",
		"tidy/cp1 < prepare/cp1,prepare/cp2,prepare/cp3,prepare/w1,images/cp1,images/cp2,images/cp3,images/w1", "tidy/cp2 < prepare/cp1,prepare/cp2,prepare/cp3,prepare/w1,images/cp1,images/cp2,images/cp3,images/w1", "tidy/cp3 < prepare/cp1,prepare/cp2,prepare/cp3,prepare/w1,images/cp1,images/cp2,images/cp3,images/w1", "tidy/w1 < prepare/cp1,prepare/cp2,prepare/cp3,prepare/w1,images/cp1,images/cp2,images/cp3,images/w1",
		"join < init/cp1,join-node/cp2,join-node/cp3,join-node/w1,vip/cp1,vip/cp2,vip/cp3",
		"kubeconfig < init/cp1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	member := find(t, p, "etcd/cp2").Spec.(etcdmember.Spec)
	if !member.New || len(member.Members) != 3 || member.Members["cp3"] != "127.0.7.13" || len(member.ServerKey) > 0 {
		t.Errorf("etcd's spec %+v", member)
	}
	cp, w := find(t, p, "prepare/cp1").Spec.(prepare.Spec), find(t, p, "prepare/w1").Spec.(prepare.Spec)
	if len(cp.Contents.Binaries) != 2 || len(w.Contents.Binaries) != 1 || cp.SandboxImage != "registry.k8s.io/pause:3.10" {
		t.Errorf("prepare's specs %+v %+v", cp, w)
	}
	other := find(t, p, "images/w1").Spec.(prepare.ImagesSpec)
	if len(other.Images) != 3 || other.SandboxImage != cp.SandboxImage || other.AgentImage != "agent" {
		t.Errorf("images' spec %+v", other)
	}
	priorities := map[int32]bool{}
	for _, h := range c.ControlPlanes() {
		v := find(t, p, "vip/"+h.Name).Spec.(vip.Spec)
		if v.Priority < vip.LowestPriority || v.Priority > vip.HighestPriority || priorities[v.Priority] || len(v.Peers) != 2 || slices.Contains(v.Peers, h.Address) {
			t.Errorf("vip's spec of %s: %+v", h.Name, v)
		}
		priorities[v.Priority] = true
	}
}

func TestPlanResumes(t *testing.T) {
	etcdHosts := func(c *v1alpha1.Cluster) {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: "e1", Address: "127.0.7.31", Roles: []v1alpha1.Role{v1alpha1.RoleEtcd}})
	}
	slowBeat := func(c *v1alpha1.Cluster) {
		c.Spec.Etcd.ExtraArgs = map[string]string{"heartbeat-interval": "500"}
	}
	always := []string{"vip/cp1", "vip/cp2", "vip/cp3", "join", "kubeconfig"}
	undo := func(o *HostObservation, tasks ...string) {
		o.Facts.Ours.Done = slices.DeleteFunc(o.Facts.Ours.Done, func(s string) bool { return slices.Contains(tasks, s) })
	}
	for name, x := range map[string]struct {
		cluster func(*v1alpha1.Cluster)
		made    func(*v1alpha1.Cluster) // the file with which it was made
		hosts   func(o map[string]*HostObservation)
		bare    string // a host that is bare again
		want    []string
		initOn  string
		newEtcd bool
	}{
		"complete": {want: always},
		"an image is gone": {hosts: func(o map[string]*HostObservation) { delete(o["w1"].Facts.Images, "registry.k8s.io/pause:3.10") },
			want: []string{"images/w1", "vip/cp1", "vip/cp2", "vip/cp3", "tidy/w1", "join", "kubeconfig"}},
		"a binary is another": {hosts: func(o map[string]*HostObservation) { o["w1"].Facts.Binaries["/usr/local/bin/kubelet"] = "old" },
			want: []string{"prepare/w1", "vip/cp1", "vip/cp2", "vip/cp3", "tidy/w1", "join", "kubeconfig"}},
		"an earlier version's agent": {hosts: func(o map[string]*HostObservation) { o["w1"].Facts.AgentInstalled = false },
			want: []string{"prepare/w1", "vip/cp1", "vip/cp2", "vip/cp3", "tidy/w1", "join", "kubeconfig"}},
		"a proxy was set in the file": {cluster: func(c *v1alpha1.Cluster) { c.Spec.Proxy.HTTPProxy = "http://p:3128" },
			want: []string{"prepare/cp1", "prepare/cp2", "prepare/cp3", "prepare/w1", "vip/cp1", "vip/cp2", "vip/cp3", "tidy/cp1", "tidy/cp2", "tidy/cp3", "tidy/w1", "join", "kubeconfig"}},
		"what was fetched is left": {hosts: func(o map[string]*HostObservation) { o["cp1"].Facts.Fetched = true },
			want: []string{"vip/cp1", "vip/cp2", "vip/cp3", "tidy/cp1", "join", "kubeconfig"}},
		"what was fetched is left elsewhere": {hosts: func(o map[string]*HostObservation) { o["w1"].Facts.Fetched = true },
			want: []string{"vip/cp1", "vip/cp2", "vip/cp3", "tidy/w1", "join", "kubeconfig"}},
		"another agent": {hosts: func(o map[string]*HostObservation) { delete(o["w1"].Facts.Images, "agent") },
			want: []string{"images/w1", "vip/cp1", "vip/cp2", "vip/cp3", "tidy/w1", "join", "kubeconfig"}},
		"etcd is down": {hosts: func(o map[string]*HostObservation) { o["cp2"].Facts.State.EtcdActive = false },
			want: append([]string{"etcd/cp2", "etcd-health"}, always...)},
		"etcd's arguments were changed in the file": {cluster: slowBeat, want: append([]string{"etcd/cp1", "etcd/cp2", "etcd/cp3", "etcd-health"}, always...)},
		"the same while a member is away": {cluster: slowBeat, hosts: func(o map[string]*HostObservation) { o["cp2"].Facts.State.EtcdActive = false },
			want: append([]string{"etcd/cp2", "etcd/cp1", "etcd/cp3", "etcd-health"}, always...)},
		"a kubelet is down": {hosts: func(o map[string]*HostObservation) { o["w1"].Facts.State.KubeletActive = false },
			want: []string{"vip/cp1", "vip/cp2", "vip/cp3", "join-node/w1", "join", "kubeconfig"}},
		"the first control plane is lost and bare again": {cluster: etcdHosts, made: etcdHosts, bare: "cp1", want: []string{"prepare/cp1", "images/cp1", "vip/cp1", "vip/cp2", "vip/cp3", "join-node/cp1", "tidy/cp1", "join", "kubeconfig"}, initOn: "cp2"},
		"the first control plane's apiserver is down": {hosts: func(o map[string]*HostObservation) { o["cp1"].Facts.State.APIServerReady = false },
			want: always, initOn: "cp2"},
		"all apiservers are down": {hosts: func(o map[string]*HostObservation) {
			for _, n := range []string{"cp1", "cp2", "cp3"} {
				o[n].Facts.State.APIServerReady = false
			}
		}, want: append([]string{"etcd-health"}, always...)},
		"interrupted in init": {hosts: func(o map[string]*HostObservation) {
			undo(o["cp1"], "init")
			o["cp1"].Facts.State.APIServerReady = false
			for _, n := range []string{"cp2", "cp3", "w1"} {
				undo(o[n], "join-node", "promote")
				o[n].Facts.State = observe.State{EtcdCA: o[n].Facts.State.EtcdCA, EtcdData: o[n].Facts.State.EtcdData, EtcdActive: o[n].Facts.State.EtcdActive}
			}
		}, want: []string{"etcd-health", "vip/cp1", "vip/cp2", "vip/cp3", "init/cp1", "join-node/cp2", "join-node/cp3", "join-node/w1", "join", "kubeconfig"}},
		"interrupted in init, then put in another order": {cluster: func(c *v1alpha1.Cluster) {
			c.Spec.Hosts[0], c.Spec.Hosts[1] = c.Spec.Hosts[1], c.Spec.Hosts[0]
		}, hosts: func(o map[string]*HostObservation) {
			for n, h := range o {
				undo(h, "join-node", "promote", "init")
				h.Facts.State = observe.State{EtcdCA: h.Facts.State.EtcdCA, EtcdData: h.Facts.State.EtcdData, EtcdActive: h.Facts.State.EtcdActive}
				if n == "cp1" {
					h.Facts.State.ClusterCA = "half"
				}
			}
		}, want: []string{"etcd-health", "vip/cp1", "vip/cp2", "vip/cp3", "init/cp1", "join-node/cp2", "join-node/cp3", "join-node/w1", "join", "kubeconfig"}},
		"interrupted while etcd was begun": {hosts: func(o map[string]*HostObservation) {
			for n, h := range o {
				undo(h, "join-node", "promote", "init", "vip")
				if n != "cp1" {
					undo(h, "etcd")
					h.Facts.State = observe.State{}
				} else {
					h.Facts.State = observe.State{EtcdCA: testCA, EtcdData: true, EtcdActive: true}
				}
			}
		}, want: []string{"etcd/cp2", "etcd/cp3", "etcd-health", "vip/cp1", "vip/cp2", "vip/cp3", "init/cp1",
			"join-node/cp2", "join-node/cp3", "join-node/w1", "join", "kubeconfig"}, newEtcd: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := testCluster(t, x.cluster)
			// It was made as it stands in the file before its order was changed.
			made := testCluster(t, x.made)
			pointers := map[string]*HostObservation{}
			for name, seen := range completeHosts(made) {
				pointers[name] = &seen
			}
			if x.hosts != nil {
				x.hosts(pointers)
			}
			if x.bare != "" {
				h, _ := c.Host(x.bare)
				*pointers[x.bare] = bare(c, h)
			}
			o := Observation{}
			for name, seen := range pointers {
				o[name] = *seen
			}
			p, err := MakePlan(c, o, testInputs())
			if err != nil {
				t.Fatal(err)
			}
			if got := pending(p); !slices.Equal(got, x.want) {
				t.Errorf("got  %q\nwant %q", got, x.want)
			}
			if x.initOn == "" {
				x.initOn = "cp1"
			}
			if s := find(t, p, "init/"+x.initOn); x.initOn != "cp1" && s.Skip == "" {
				t.Error("a second cluster would be made")
			}
			if m := find(t, p, "etcd/"+c.EtcdMembers()[0].Name).Spec.(etcdmember.Spec); m.New != x.newEtcd {
				t.Errorf("etcd is new: %v", m.New)
			}
		})
	}
}

// TestPlanRestartsMembersInTurn: changed settings reach one member after the
// other, the ones that are away first.
func TestPlanRestartsMembersInTurn(t *testing.T) {
	c := testCluster(t, nil)
	o := completeHosts(c)
	away := o["cp2"]
	away.Facts.State.EtcdActive = false
	o["cp2"] = away
	c.Spec.Etcd.ExtraArgs = map[string]string{"heartbeat-interval": "500"}
	p, err := MakePlan(c, o, testInputs())
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"etcd/cp2": "prepare/cp2", "etcd/cp1": "prepare/cp1,etcd/cp2", "etcd/cp3": "prepare/cp3,etcd/cp2,etcd/cp1"} {
		if got := strings.Join(find(t, p, id).After, ","); got != want {
			t.Errorf("%s comes after %s, want %s", id, got, want)
		}
	}
}

func TestPlanWithoutControlPlane(t *testing.T) {
	c := testCluster(t, func(c *v1alpha1.Cluster) { c.Spec.Hosts = c.Spec.Hosts[3:] })
	if _, err := MakePlan(c, bareHosts(c), testInputs()); err == nil {
		t.Error("a plan without control plane")
	}
}

func TestRegistryMirrors(t *testing.T) {
	c := testCluster(t, func(c *v1alpha1.Cluster) {
		c.Spec.Images = v1alpha1.Images{Mirror: "http://mirror:8080/", Mirrors: map[string]string{
			"ghcr.io": "mirror:8080/gh", "gcr.io": "other.example/gcr"}}
	})
	got := registryMirrors(c)
	for registry, want := range map[string]string{"registry.k8s.io": "http://mirror:8080/registry.k8s.io",
		"ghcr.io": "http://mirror:8080/gh", "gcr.io": "https://other.example/gcr"} {
		if !slices.Equal(got[registry], []string{want}) {
			t.Errorf("%s: %q, want %s", registry, got[registry], want)
		}
	}
	if got := registryMirrors(testCluster(t, nil)); len(got) > 0 {
		t.Errorf("without a mirror: %q", got)
	}
}

func TestEnvironment(t *testing.T) {
	c := testCluster(t, func(c *v1alpha1.Cluster) {
		c.Spec.Proxy = v1alpha1.Proxy{HTTPProxy: "http://p:3128", NoProxy: []string{"corp.example"}}
	})
	got := environment(c)
	if len(got) != 2 || got[0] != "HTTP_PROXY=http://p:3128" {
		t.Fatalf("got %q", got)
	}
	for _, want := range []string{"127.0.7.100", "127.0.7.21", "w1", "10.244.0.0/16", "10.96.0.0/12", ".svc", ".cluster.local", "corp.example"} {
		if !slices.Contains(strings.Split(strings.TrimPrefix(got[1], "NO_PROXY="), ","), want) {
			t.Errorf("%q lacks %s", got[1], want)
		}
	}
	if got := environment(testCluster(t, nil)); got != nil {
		t.Errorf("without a proxy: %q", got)
	}
}

// TestPriority: all different, in their order, within what the weights are made for.
func TestPriority(t *testing.T) {
	for n := 1; n <= 9; n++ {
		for i := range n {
			p := vip.PriorityOf(i, n)
			if i > 0 && p >= vip.PriorityOf(i-1, n) {
				t.Errorf("%d of %d has %d, not less than the one before", i, n, p)
			}
			if p < vip.LowestPriority || p > vip.HighestPriority {
				t.Errorf("%d of %d has %d, out of range", i, n, p)
			}
		}
	}
}

// Whoever has the virtual IP gets a changed interval first.
func TestVirtualIPHolderFirst(t *testing.T) {
	for name, c := range map[string]struct {
		holders []string
		after   map[string][]string
	}{
		"bare hosts":     {nil, map[string][]string{"cp1": nil, "cp2": nil, "cp3": nil}},
		"the second one": {[]string{"cp2"}, map[string][]string{"cp1": {"vip/cp2"}, "cp2": nil, "cp3": {"vip/cp2"}}},
		// For a moment, as it moves.
		"two at once": {[]string{"cp1", "cp2"}, map[string][]string{"cp1": nil, "cp2": nil, "cp3": {"vip/cp1", "vip/cp2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := testCluster(t, nil)
			o := completeHosts(cluster)
			if c.holders == nil {
				o = bareHosts(cluster)
			}
			for n, seen := range o {
				seen.Facts.VirtualIPHere = slices.Contains(c.holders, n)
				o[n] = seen
			}
			p, err := MakePlan(cluster, o, testInputs())
			if err != nil {
				t.Fatal(err)
			}
			for host, want := range c.after {
				if got := find(t, p, "vip/"+host).After; !slices.Equal(got, append([]string{"prepare/" + host}, want...)) {
					t.Errorf("%s waits for %q, want %q beside its own preparation", host, got, want)
				}
			}
		})
	}
}

// What is under the agent's tag is the agent only when it has its digest: any pod may have
// brought something there, and pods of ours name it by that.
func TestPlanImportsTheAgentByItsDigest(t *testing.T) {
	for name, tc := range map[string]struct {
		digest, there string
		skipped       bool
	}{
		"not known":     {"", "sha256:a", true},
		"the same":      {"sha256:a", "sha256:a", true},
		"another":       {"sha256:b", "sha256:a", false},
		"none":          {"sha256:a", "", false},
		"none, unknown": {"", "", false},
	} {
		c := testCluster(t, nil)
		o := completeHosts(c)
		for _, h := range o {
			if h.Facts.Images["agent"] = tc.there; tc.there == "" {
				delete(h.Facts.Images, "agent")
			}
		}
		in := testInputs()
		in.AgentDigest = tc.digest
		p, err := MakePlan(c, o, in)
		if err != nil {
			t.Fatal(err)
		}
		if s := find(t, p, "images/w1"); (s.Skip != "") != tc.skipped {
			t.Errorf("%s: skipped because %q, want %v", name, s.Skip, tc.skipped)
		}
	}
}
