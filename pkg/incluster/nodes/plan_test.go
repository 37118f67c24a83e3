package nodes

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/drain"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/kubeadmconfig"
)

// testCluster has control planes cp1 to cpN with the etcd members, and workers.
func testCluster(controlPlanes, workers int) *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "test"}}
	for i := range controlPlanes {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: fmt.Sprintf("cp%d", i+1), Address: fmt.Sprintf("10.0.0.%d", i+11), Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}})
	}
	for i := range workers {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: fmt.Sprintf("w%d", i+1), Address: fmt.Sprintf("10.0.0.%d", i+21)})
	}
	c.Spec.VirtualIP = "10.0.0.100"
	c.SetDefaults()
	return c
}

// well is a cluster in which all is.
func well(c *v1alpha1.Cluster, but ...string) Observation {
	o := Observation{Nodes: map[string]Node{}, EtcdAway: map[string]string{}}
	for _, h := range c.Nodes() {
		if !slices.Contains(but, h.Name) {
			o.Nodes[h.Name] = Node{ControlPlane: h.Has(v1alpha1.RoleControlPlane)}
		}
	}
	return o
}

func lose(o Observation, names ...string) Observation {
	for _, name := range names {
		n := o.Nodes[name]
		n.NotReady, n.Lost = "NodeStatusUnknown", "last heard of long ago"
		o.Nodes[name] = n
		o.EtcdAway[name] = "no answer"
	}
	return o
}

// serves has a host answer that was lost.
func serves(o Observation, name string) Observation {
	n := o.Nodes[name]
	n.Answers = "an API server answers at port 6443"
	o.Nodes[name] = n
	return o
}

// apart is a cluster whose etcd members are on hosts of their own.
func apart(controlPlanes, workers int, members ...string) *v1alpha1.Cluster {
	c := testCluster(controlPlanes, workers)
	for i := range c.ControlPlanes() {
		c.Spec.Hosts[i].Roles = []v1alpha1.Role{v1alpha1.RoleControlPlane}
	}
	for i, name := range members {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: name, Address: fmt.Sprintf("10.0.0.%d", i+71), Roles: []v1alpha1.Role{v1alpha1.RoleEtcd}})
	}
	return c
}

func ids(steps []v1alpha1.StepStatus) string {
	var out []string
	for _, s := range steps {
		if s.State == v1alpha1.StepPending {
			out = append(out, s.ID)
		} else {
			out = append(out, "("+s.ID+")")
		}
	}
	return strings.Join(out, " ")
}

// sound: every step comes after others that are before it, and all but the clean-up
// hang together.
func sound(t *testing.T, steps []v1alpha1.StepStatus) {
	t.Helper()
	seen := map[string]bool{}
	for i, s := range steps {
		for _, a := range s.After {
			if !seen[a] {
				t.Errorf("%s comes after %s, which is not before it", s.ID, a)
			}
		}
		if i > 0 && len(s.After) == 0 && !s.Cleanup {
			t.Errorf("%s comes after nothing", s.ID)
		}
		if seen[s.ID] {
			t.Errorf("%s is there twice", s.ID)
		}
		seen[s.ID] = true
	}
}

func TestPlanRemove(t *testing.T) {
	three := testCluster(3, 1)
	apart := apart(2, 1, "e1", "e2", "e3")
	for _, tt := range []struct {
		name, node string
		cluster    *v1alpha1.Cluster
		o          Observation
		want       string
	}{
		{"a worker", "w1", three, well(three), "check cordon/w1 drain/w1 retire/w1 delete-node/w1 document uncordon-all"},
		{"a lost worker", "w1", three, lose(well(three), "w1"), "check delete-node/w1 document silenced/w1"},
		{"the first control plane", "cp1", three, well(three),
			"check etcd-may-leave/cp2 cordon/cp1 drain/cp1 vip-away/cp1 endpoints/cp2 endpoints/cp3 etcd-leave/cp2 retire/cp1 vip-peers/cp2 vip-peers/cp3 " +
				"kubeadm-config delete-node/cp1 coredns coredns-ready document uncordon-all vip-restore/cp1"},
		// etcd#10499: the member first, for whatever comes after needs a quorum.
		{"a lost control plane", "cp1", three, lose(well(three), "cp1"),
			"check etcd-may-leave/cp2 etcd-leave/cp2 endpoints/cp2 endpoints/cp3 vip-peers/cp2 vip-peers/cp3 kubeadm-config delete-node/cp1 coredns coredns-ready document silenced/cp1"},
		{"a control plane without etcd", "cp1", apart, well(apart),
			"check cordon/cp1 drain/cp1 vip-away/cp1 retire/cp1 vip-peers/cp2 kubeadm-config delete-node/cp1 coredns coredns-ready document uncordon-all vip-restore/cp1"},
		{"an etcd host", "e2", apart, well(apart),
			"check etcd-may-leave/cp1 etcd-leave/cp1 endpoints/cp1 endpoints/cp2 kubeadm-config document"},
		{"a node that the document does not know", "x1", three, func() Observation { o := well(three); o.Nodes["x1"] = Node{}; return o }(),
			"check cordon/x1 drain/x1 retire/x1 delete-node/x1 document uncordon-all"},
		{"a node that the document does not know, which may have a member", "x1", three, func() Observation { o := well(three); o.Nodes["x1"] = Node{Address: "10.0.0.99"}; return o }(),
			"check etcd-may-leave/cp1 cordon/x1 drain/x1 etcd-leave/cp1 retire/x1 delete-node/x1 document uncordon-all"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			steps, err := PlanRemove(&v1alpha1.RemoveNodeSpec{Node: tt.node}, tt.cluster, tt.o)
			if err != nil || ids(steps) != tt.want {
				t.Errorf("%v\n%s, want\n%s", err, ids(steps), tt.want)
			}
			sound(t, steps)
		})
	}
	five := testCluster(5, 0)
	steps, err := PlanRemove(&v1alpha1.RemoveNodeSpec{Node: "cp1"}, five, lose(well(five), "cp1", "cp4"))
	if err != nil || !strings.Contains(ids(steps), "endpoints/cp3 (endpoints/cp4) endpoints/cp5") || !strings.Contains(ids(steps), "(coredns-ready)") {
		t.Errorf("with another one away: %v\n%s", err, ids(steps))
	}
	sound(t, steps)
}

// pod is one that a drain is about.
func pod(local, unmanaged bool) drain.Pod {
	return drain.Pod{Pod: corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"}}, Local: local, Unmanaged: unmanaged}
}

// TestRemoveTellsOfLocalData: what may go is named all the same.
func TestRemoveTellsOfLocalData(t *testing.T) {
	three := testCluster(3, 1)
	o := well(three)
	o.Pods = []drain.Pod{pod(true, false), pod(false, false)}
	for _, may := range []bool{false, true} {
		got := CheckRemove(three, &v1alpha1.RemoveNodeSpec{Node: "w1", DeleteEmptyDirData: may}, o)
		if len(got) != 1 || got[0].Blocks == may || got[0].Message != "1 pod loses the data in emptyDir volumes: default/a" {
			t.Errorf("allowed %v: %+v", may, got)
		}
	}
}

func TestCheckRemove(t *testing.T) {
	three, one := testCluster(3, 1), testCluster(1, 1)
	pods := func(o Observation, p ...drain.Pod) Observation { o.Pods = p; return o }
	blind := func(o Observation) Observation { o.EtcdAway = nil; return o }
	for _, tt := range []struct {
		name    string
		cluster *v1alpha1.Cluster
		o       Observation
		spec    v1alpha1.RemoveNodeSpec
		want    string
	}{
		{"all well", three, well(three), v1alpha1.RemoveNodeSpec{Node: "cp2"}, ""},
		{"unknown", three, well(three), v1alpha1.RemoveNodeSpec{Node: "w9"}, "unknown"},
		{"the last control plane", one, well(one), v1alpha1.RemoveNodeSpec{Node: "cp1"}, "last-control-plane quorum"},
		{"no other control plane lives", three, lose(well(three), "cp1", "cp2"), v1alpha1.RemoveNodeSpec{Node: "cp3"}, "last-control-plane quorum"},
		{"a living member beside a dead one", three, lose(well(three), "cp1"), v1alpha1.RemoveNodeSpec{Node: "cp2"}, "quorum"},
		{"from where etcd can't be reached", three, blind(lose(well(three), "cp1")), v1alpha1.RemoveNodeSpec{Node: "cp2"}, ""},
		{"local data", three, pods(well(three), pod(true, false)), v1alpha1.RemoveNodeSpec{Node: "w1"}, "local-data"},
		{"local data that may go", three, pods(well(three), pod(true, false)), v1alpha1.RemoveNodeSpec{Node: "w1", DeleteEmptyDirData: true}, ""},
		{"lone pods", three, pods(well(three), pod(false, true)), v1alpha1.RemoveNodeSpec{Node: "w1"}, "unmanaged-pods"},
		{"lone pods by force", three, pods(well(three), pod(false, true)), v1alpha1.RemoveNodeSpec{Node: "w1", ForceDrain: true}, ""},
		{"only its kubelet is silent", three, serves(lose(well(three), "cp1"), "cp1"), v1alpha1.RemoveNodeSpec{Node: "cp1"}, "not-lost"},
		{"the same, and it was cut off", three, serves(lose(well(three), "cp1"), "cp1"), v1alpha1.RemoveNodeSpec{Node: "cp1", Fenced: true}, ""},
		{"a worker whose kubelet is silent", three, serves(lose(well(three), "w1"), "w1"), v1alpha1.RemoveNodeSpec{Node: "w1"}, "not-lost"},
		{"said to be cut off, and is not", three, well(three), v1alpha1.RemoveNodeSpec{Node: "w1", Fenced: true}, "fenced"},
		{"pods of a lost host", three, pods(lose(well(three), "w1"), pod(true, false)), v1alpha1.RemoveNodeSpec{Node: "w1"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, f := range Blocking(CheckRemove(tt.cluster, &tt.spec, tt.o)) {
				if got = append(got, f.Check); f.Hint == "" {
					t.Errorf("%s has no hint", f.Check)
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%v, want %q", got, tt.want)
			}
			_, err := PlanRemove(&tt.spec, tt.cluster, tt.o)
			var refused *Refused
			if errors.As(err, &refused) != (tt.want != "") {
				t.Errorf("the plan: %v", err)
			}
		})
	}
}

func TestPlanAdd(t *testing.T) {
	four, three := testCluster(4, 2), testCluster(3, 2)
	apart := apart(3, 0, "e1", "e2")
	for _, tt := range []struct {
		name    string
		nodes   []string
		cluster *v1alpha1.Cluster
		o       Observation
		want    string
	}{
		{"a worker", []string{"w2"}, three, well(three, "w2"), "labels nodes-ready"},
		{"a worker beside a lost control plane", []string{"w2"}, three, lose(well(three, "w2"), "cp1"), "labels nodes-ready"},
		// The peers know of it before it has an apiserver, and with that may have the virtual IP.
		{"a control plane with an etcd member", []string{"cp4"}, four, well(four, "cp4"),
			"kubeadm-config vip-peers/cp1 vip-peers/cp2 vip-peers/cp3 upload-certs/cp1 promote/cp4 endpoints/cp1 endpoints/cp2 endpoints/cp3 labels nodes-ready coredns coredns-ready clean-up"},
		{"a control plane without one", []string{"cp3"}, apart, well(apart, "cp3"),
			"kubeadm-config vip-peers/cp1 vip-peers/cp2 upload-certs/cp1 promote/cp3 labels nodes-ready coredns coredns-ready clean-up"},
		{"an etcd host", []string{"e2"}, apart, well(apart), "kubeadm-config endpoints/cp1 endpoints/cp2 endpoints/cp3 labels nodes-ready"},
		{"once more", []string{"cp4"}, four, well(four),
			"kubeadm-config vip-peers/cp1 vip-peers/cp2 vip-peers/cp3 upload-certs/cp1 (promote/cp4) endpoints/cp1 endpoints/cp2 endpoints/cp3 labels nodes-ready coredns coredns-ready clean-up"},
		{"the first in the file", []string{"cp1"}, four, well(four, "cp1"),
			"kubeadm-config vip-peers/cp2 vip-peers/cp3 vip-peers/cp4 upload-certs/cp2 promote/cp1 endpoints/cp2 endpoints/cp3 endpoints/cp4 labels nodes-ready coredns coredns-ready clean-up"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			steps, err := PlanAdd(&v1alpha1.AddNodeSpec{Nodes: tt.nodes}, tt.cluster, tt.o)
			if err != nil || ids(steps) != tt.want {
				t.Errorf("%v\n%s, want\n%s", err, ids(steps), tt.want)
			}
			sound(t, steps)
		})
	}
	if _, err := PlanAdd(&v1alpha1.AddNodeSpec{Nodes: []string{"cp4"}}, four, lose(well(four, "cp4"), "cp2")); err == nil || !strings.Contains(err.Error(), "takes no new one while 1 of them is away") {
		t.Errorf("a member beside a dead one: %v", err)
	}
	// Four of five are a quorum of six.
	six := testCluster(6, 2)
	if got := Blocking(CheckAdd(six, []string{"cp6"}, lose(well(six, "cp6"), "cp2"))); len(got) != 0 {
		t.Errorf("a sixth member beside a dead one of five: %v", got)
	}
	if got := Blocking(CheckAdd(six, []string{"cp6"}, lose(lose(well(six, "cp6"), "cp2"), "cp3"))); len(got) == 0 {
		t.Error("a sixth member beside two dead ones of five was let in")
	}
	if _, err := PlanAdd(&v1alpha1.AddNodeSpec{Nodes: []string{"w9"}}, four, well(four)); err == nil {
		t.Error("an unknown host was taken")
	}
}

func TestWith(t *testing.T) {
	stored, file := testCluster(3, 1), testCluster(4, 2)
	file.Spec.Hosts = slices.DeleteFunc(file.Spec.Hosts, func(h v1alpha1.Host) bool { return h.Name == "cp2" })
	file.Spec.Hosts[0].Address = "10.9.9.9" // of no interest: it is no new host
	got := With(stored, file, "cp4")
	var names []string
	for _, h := range got.Spec.Hosts {
		names = append(names, h.Name)
	}
	if strings.Join(names, " ") != "cp1 cp3 cp4 w1 cp2" || got.Spec.Hosts[0].Address != "10.0.0.11" || len(stored.Spec.Hosts) != 4 {
		t.Errorf("%v %+v", names, got.Spec.Hosts[0])
	}
	if left := Without(got, "cp1"); len(left.Spec.Hosts) != 4 || len(got.Spec.Hosts) != 5 {
		t.Errorf("%d hosts of %d", len(left.Spec.Hosts), len(got.Spec.Hosts))
	}
}

// Endpoints for health checks that somebody has made are theirs.
func TestOfHostsHTTPEndpoints(t *testing.T) {
	const text = "etcd:\n  external:\n    endpoints: ['https://10.0.0.11:2379']\n    httpEndpoints: ['http://10.0.0.11:2381']\n"
	got, _, err := kubeadmconfig.Edit(text, ofHosts(testCluster(3, 0), nil))
	if err != nil || !strings.Contains(got, "httpEndpoints:\n    - http://10.0.0.11:2381\n") || !strings.Contains(got, "- https://10.0.0.13:2379") {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestOfHosts(t *testing.T) {
	const text = "apiServer:\n  certSANs: [10.0.0.100, cp1, 10.0.0.11, cp2, 10.0.0.12, mine.example]\netcd:\n  external:\n    caFile: x\n    endpoints: ['https://10.0.0.11:2379', 'https://10.0.0.12:2379']\n    httpEndpoints: ['https://10.0.0.11:2379', 'https://10.0.0.12:2379']\nother: kept\n"
	two := testCluster(2, 0)
	for _, tt := range []struct {
		name        string
		cluster     *v1alpha1.Cluster
		gone        *v1alpha1.Host
		has, hasNot []string
	}{
		{"one more", testCluster(3, 0), nil, []string{"- cp3", "- https://10.0.0.13:2379", "- mine.example", "other: kept", "caFile: x"}, nil},
		{"one fewer", Without(two, "cp1"), &two.Spec.Hosts[0], []string{"- cp2", "- mine.example"}, []string{"cp1", "10.0.0.11"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, changed, err := kubeadmconfig.Edit(text, ofHosts(tt.cluster, tt.gone))
			if err != nil || !changed {
				t.Fatal(changed, err)
			}
			for _, want := range tt.has {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
			for _, not := range tt.hasNot {
				if strings.Contains(got, not) {
					t.Errorf("%q is still in\n%s", not, got)
				}
			}
			if again, changed, err := kubeadmconfig.Edit(got, ofHosts(tt.cluster, tt.gone)); err != nil || changed || again != got {
				t.Errorf("once more: %v %v\n%s", changed, err, again)
			}
		})
	}
	if _, _, err := kubeadmconfig.Edit("etcd: {local: {}}", ofHosts(two, nil)); err == nil {
		t.Error("kubeadm's own etcd was taken for ours")
	}
}
