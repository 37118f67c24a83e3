package nodes

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/kubeadmconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/loadbalancer"
)

func stackedCluster(controlPlanes, workers int) *v1alpha1.Cluster {
	c := testCluster(controlPlanes, workers)
	c.Spec.Etcd.Topology = v1alpha1.EtcdStacked
	return c
}

// TestStackedPlans: the member goes before its host, whose kubelet asks another API server by then; no apiserver is
// told of members; and control planes come one after the other.
func TestStackedPlans(t *testing.T) {
	three, five := stackedCluster(3, 1), stackedCluster(5, 0)
	remove := func(c *v1alpha1.Cluster, o Observation, node string) ([]v1alpha1.StepStatus, error) {
		return PlanRemove(&v1alpha1.RemoveNodeSpec{Node: node}, c, o)
	}
	for name, tc := range map[string]struct {
		plan func() ([]v1alpha1.StepStatus, error)
		want string
	}{
		"the first leaves": {func() ([]v1alpha1.StepStatus, error) { return remove(three, well(three), "cp1") },
			"check etcd-may-leave/cp2 cordon/cp1 drain/cp1 vip-away/cp1 kubelet-away/cp1 etcd-leave/cp2 retire/cp1 vip-peers/cp2 vip-peers/cp3 kubeadm-config delete-node/cp1 coredns coredns-ready document uncordon-all vip-restore/cp1"},
		"a lost one is taken out": {func() ([]v1alpha1.StepStatus, error) { return remove(three, lose(well(three), "cp2"), "cp2") },
			"check etcd-may-leave/cp1 etcd-leave/cp1 vip-peers/cp1 vip-peers/cp3 kubeadm-config delete-node/cp2 coredns coredns-ready document silenced/cp2"},
		"a worker": {func() ([]v1alpha1.StepStatus, error) { return remove(three, well(three), "w1") },
			"check cordon/w1 drain/w1 retire/w1 delete-node/w1 document uncordon-all"},
		"two come": {func() ([]v1alpha1.StepStatus, error) {
			return PlanAdd(&v1alpha1.AddNodeSpec{Nodes: []string{"cp4", "cp5"}}, five, well(five, "cp4", "cp5"))
		}, "kubeadm-config vip-peers/cp1 vip-peers/cp2 vip-peers/cp3 upload-certs/cp1 promote/cp4 promote/cp5 labels nodes-ready coredns coredns-ready clean-up"},
	} {
		t.Run(name, func(t *testing.T) {
			steps, err := tc.plan()
			if err != nil || ids(steps) != tc.want {
				t.Errorf("%v\n%s, want\n%s", err, ids(steps), tc.want)
			}
			sound(t, steps)
			for _, s := range steps {
				if s.ID == "promote/cp5" && !strings.Contains(strings.Join(s.After, " "), "promote/cp4") {
					t.Errorf("both join at the same time: after %v", s.After)
				}
			}
		})
	}
}

// TestStackedKubeletAway: the kubelet of a host that leaves uses what all share, unless somebody else chose another.
func TestStackedKubeletAway(t *testing.T) {
	c := stackedCluster(3, 0)
	r, err := kubeletAway(t.Context(), engine.Turn{Env: engine.Env{Cluster: c}, Step: v1alpha1.StepStatus{Node: "cp2"}})
	if err != nil {
		t.Fatal(err)
	}
	var spec loadbalancer.KubeletSpec
	if err := json.Unmarshal(r.Spec, &spec); err != nil || spec.Server != "https://10.0.0.100:6443" || len(spec.From) != 1 || spec.From[0] != "https://10.0.0.12:6443" {
		t.Errorf("%+v, %v", spec, err)
	}
}

// TestRetireNamesTheData: the host that leaves says where etcd's data stay.
func TestRetireNamesTheData(t *testing.T) {
	c := stackedCluster(3, 0)
	c.Spec.Etcd.DataDir = "/data/etcd"
	r, err := retire(t.Context(), engine.Turn{Env: engine.Env{Cluster: c}})
	if err != nil || !strings.Contains(string(r.Spec), `"etcdData":"/data/etcd"`) {
		t.Errorf("%s, %v", r.Spec, err)
	}
}

// TestStackedOfHosts: kubeadm's configuration gets the certificates' names, and no list of members.
func TestStackedOfHosts(t *testing.T) {
	const text = "apiServer:\n  certSANs: [10.0.0.100, cp1, 10.0.0.11]\netcd:\n  local:\n    dataDir: /data\n"
	got, changed, err := kubeadmconfig.Edit(text, ofHosts(stackedCluster(2, 0), nil))
	if err != nil || !changed || !strings.Contains(got, "- cp2") || !strings.Contains(got, "dataDir: /data") || strings.Contains(got, "external") {
		t.Errorf("%v, changed %v\n%s", err, changed, got)
	}
}

// TestStackedPromotionFailed: the host of a promotion that failed is in the document, and may have no member. It can be
// taken out, its learner as well, and it does not count when another host is added.
func TestStackedPromotionFailed(t *testing.T) {
	c := stackedCluster(2, 0)
	o := well(c)
	o.Nodes["cp2"] = Node{}
	o.EtcdAway["cp2"] = "connection refused"
	steps, err := PlanRemove(&v1alpha1.RemoveNodeSpec{Node: "cp2"}, c, o)
	if err != nil || !strings.Contains(ids(steps), "check etcd-may-leave/cp1 ") {
		t.Errorf("remove: %v\n%s", err, ids(steps))
	}
	if _, err := PlanRemove(&v1alpha1.RemoveNodeSpec{Node: "cp1"}, c, o); err == nil || !strings.Contains(err.Error(), "no other control plane") {
		t.Errorf("the only one that serves was let go: %v", err)
	}
	if steps, err := PlanRemove(&v1alpha1.RemoveNodeSpec{EtcdMember: "https://10.0.0.14:2380"}, c, o); err != nil || ids(steps) != "check etcd-drop/cp1" {
		t.Errorf("a learner: %v\n%s", err, ids(steps))
	}
	three := stackedCluster(3, 0)
	if found := Blocking(CheckAdd(three, []string{"cp3"}, o)); len(found) > 0 {
		t.Errorf("another one: %+v", found)
	}
	o.Nodes["cp2"] = Node{ControlPlane: true}
	if found := Blocking(CheckAdd(three, []string{"cp3"}, o)); len(found) != 1 {
		t.Errorf("another one beside a member that is away: %+v", found)
	}
}

// TestStackedAddBesideAway: an early kubeadm wants every member to answer; a later one is content with a quorum.
func TestStackedAddBesideAway(t *testing.T) {
	for version, blocks := range map[string]bool{"v1.32.0": true, "v1.35.4": true, "v1.35.5": false, "v1.36.0": true, "v1.36.3": false, "v1.37.0": false} {
		c := stackedCluster(6, 0)
		c.Spec.KubernetesVersion = version
		o := lose(well(c, "cp6"), "cp5")
		if found := Blocking(CheckAdd(c, []string{"cp6"}, o)); (len(found) == 1) != blocks {
			t.Errorf("%s: %+v", version, found)
		}
	}
}
