package nodes

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
)

func TestPlanDrop(t *testing.T) {
	three := testCluster(3, 1)
	node := func(o Observation) Observation {
		o.Nodes["x1"] = Node{Address: "2001:db8::9"}
		return o
	}
	for _, tt := range []struct {
		name, member string
		o            Observation
		want, says   string
		hint         string
	}{
		{"a learner of nobody", "https://10.0.0.14:2380", well(three), "check etcd-drop/cp1", "", ""},
		{"by its ID", "8e9e05c52164694d", well(three), "check etcd-drop/cp1", "", ""},
		{"while one control plane is lost", "cp4", lose(well(three), "cp1"), "check etcd-drop/cp2", "", ""},
		{"a host of the document", "cp2", well(three), "", "cp2 is part of the cluster", "kubectl ha node remove cp2"},
		{"its address", "https://10.0.0.12:2380", well(three), "", "cp2 is part of the cluster", "kubectl ha node remove cp2"},
		{"a node that is in no document", "https://[2001:db8:0::9]:2380", node(well(three)), "", "x1 is part of the cluster", "kubectl ha node remove x1"},
		{"without a quorum", "cp4", lose(well(three), "cp1", "cp2"), "", "1 of 3 members answer", "bring members back"},
		{"nobody can ask", "cp4", func() Observation { o := well(three); o.Nodes = nil; return o }(), "", "no control plane", "bring one back"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			steps, err := PlanRemove(&v1alpha1.RemoveNodeSpec{EtcdMember: tt.member}, three, tt.o)
			if tt.says != "" {
				if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), tt.hint) {
					t.Errorf("%v, want %q and %q", err, tt.says, tt.hint)
				}
				return
			}
			if err != nil || ids(steps) != tt.want {
				t.Errorf("%v\n%s, want\n%s", err, ids(steps), tt.want)
			}
			sound(t, steps)
		})
	}
}

// TestEveryStateHasAWayOut goes through what an interrupted node add leaves behind, as it is
// seen from inside, and takes the host out again by the verb that knows it.
func TestEveryStateHasAWayOut(t *testing.T) {
	before, after := testCluster(3, 0), testCluster(4, 0)
	const address = "10.0.0.14" // cp4's
	add := func(o Observation, n Node) Observation {
		n.Address = address
		o.Nodes["cp4"] = n
		return o
	}
	silent := Node{NotReady: "NodeStatusUnknown", Lost: "last heard of long ago"}
	member := v1alpha1.RemoveNodeSpec{EtcdMember: "https://" + address + ":2380"}
	host := v1alpha1.RemoveNodeSpec{Node: "cp4"}
	for _, tt := range []struct {
		name    string
		cluster *v1alpha1.Cluster
		o       Observation
		by      v1alpha1.RemoveNodeSpec
		// takes is the step that takes its member out.
		takes string
	}{
		{"a member, and nothing else", before, well(before), member, "etcd-drop/cp1"},
		{"the kubelet is joined", before, add(well(before), Node{}), host, "etcd-leave/cp1"},
		{"the kubelet is joined, and the host lost", before, add(well(before), silent), host, "etcd-leave/cp1"},
		{"the document has it, and no node", after, well(after, "cp4"), host, "etcd-leave/cp1"},
		{"the document has it, and it is a node", after, add(well(after, "cp4"), Node{}), host, "etcd-leave/cp1"},
		{"the document has it, and its node is lost", after, lose(add(well(after, "cp4"), Node{}), "cp4"), host, "etcd-leave/cp1"},
		{"it is a control plane, not Ready", after, add(well(after, "cp4"), Node{ControlPlane: true, NotReady: "no network"}), host, "etcd-leave/cp1"},
		{"it is Ready", after, add(well(after, "cp4"), Node{ControlPlane: true}), host, "etcd-leave/cp1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			steps, err := PlanRemove(&tt.by, tt.cluster, tt.o)
			if err != nil || !strings.Contains(" "+ids(steps)+" ", " "+tt.takes+" ") {
				t.Errorf("%v, steps %s; want %s", err, ids(steps), tt.takes)
			}
			// The other verb says which one it is.
			other, names := host, "--etcd-member"
			if tt.by.EtcdMember == "" {
				other, names = member, "kubectl ha node remove cp4"
			}
			if _, err := PlanRemove(&other, tt.cluster, tt.o); err == nil || !strings.Contains(err.Error(), names) {
				t.Errorf("by the other verb: %v, want %q in it", err, names)
			}
		})
	}
}

// Nobody is left who could ask etcd about a member.
func TestNobodyCanAsk(t *testing.T) {
	c := apart(1, 1, "e1", "e2", "e3")
	o := lose(well(c), "cp1")
	delete(o.EtcdAway, "cp1")
	if _, err := PlanRemove(&v1alpha1.RemoveNodeSpec{Node: "e2"}, c, o); err == nil || !strings.Contains(err.Error(), "could ask etcd") {
		t.Errorf("%v", err)
	}
	if _, err := PlanRemove(&v1alpha1.RemoveNodeSpec{Node: "w1"}, c, o); err != nil {
		t.Errorf("a worker: %v", err)
	}
}

func TestDropped(t *testing.T) {
	for want, data := range map[string]etcdmember.DropData{
		"https://10.0.0.14:2380 is out; etcd has a, b":     {Dropped: "https://10.0.0.14:2380", Left: []string{"a", "b"}},
		"there is no such member; etcd has a at https://x": {Left: []string{"a at https://x"}},
	} {
		raw, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		if got := dropped(node.Result{Data: raw}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Of a node that no document has the task is told that it may have no member.
func TestLeaveSpec(t *testing.T) {
	c := testCluster(3, 0)
	for name, want := range map[string]bool{"cp1": false, "x9": true} {
		op := &v1alpha1.Operation{Spec: v1alpha1.OperationSpec{RemoveNode: &v1alpha1.RemoveNodeSpec{Node: name, Address: "10.0.0.9"}}}
		got, err := leaveSpec(t.Context(), engine.Turn{Env: engine.Env{Operation: op, Cluster: c}})
		if err != nil || got.MayBeNone != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if got := answered(node.Result{Data: []byte(`{"gone":true,"members":0,"answer":0}`)}); got != "it has no member" {
		t.Errorf("told as %q", got)
	}
}
