package members

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdcare"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
)

// cluster has three control planes with members, or with apart three more hosts with them.
func cluster(apart bool) *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "test"}, Spec: v1alpha1.ClusterSpec{VirtualIP: "10.0.0.100"}}
	for _, n := range []string{"1", "2", "3"} {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: "cp" + n, Address: "10.0.0.1" + n, Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}})
	}
	for _, n := range []string{"1", "2", "3"} {
		if apart {
			c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: "e" + n, Address: "10.0.0.3" + n, Roles: []v1alpha1.Role{v1alpha1.RoleEtcd}})
		}
	}
	c.SetDefaults()
	return c
}

func ids(steps []v1alpha1.StepStatus) string {
	var out []string
	for _, s := range steps {
		out = append(out, s.ID)
	}
	return strings.Join(out, " ")
}

// TestPlan: one member after the other, each gated before the next, who leads last; two minor
// versions are two rounds of one plan.
func TestPlan(t *testing.T) {
	for name, tc := range map[string]struct {
		spec  v1alpha1.EtcdSpec
		apart bool
		want  string
	}{
		"one round": {v1alpha1.EtcdSpec{Change: v1alpha1.EtcdUpgrade, Versions: []string{"v3.6.16"}, Members: []string{"cp2", "cp3", "cp1"}}, false,
			"well fit/cp2 fit/cp3 fit/cp1 backup/cp2 backup/cp3 backup/cp1 may/v3.6.16 " +
				"member/v3.6.16/cp2 gate/v3.6.16/cp2 member/v3.6.16/cp3 gate/v3.6.16/cp3 member/v3.6.16/cp1 gate/v3.6.16/cp1 settled/v3.6.16 record"},
		"only the last is named": {v1alpha1.EtcdSpec{Change: v1alpha1.EtcdApply, Members: []string{"cp1"}}, false,
			"well apply/cp2 gate/cp2 apply/cp3 gate/cp3 apply/cp1 gate/cp1"},
		"two rounds, on hosts of their own": {v1alpha1.EtcdSpec{Change: v1alpha1.EtcdUpgrade, Versions: []string{"v3.6.16", "v3.7.3"}}, true,
			"well fit/e1 fit/e2 fit/e3 backup/e1 backup/e2 backup/e3 may/v3.6.16 " +
				"member/v3.6.16/e1 gate/v3.6.16/e1 member/v3.6.16/e2 gate/v3.6.16/e2 member/v3.6.16/e3 gate/v3.6.16/e3 settled/v3.6.16 may/v3.7.3 " +
				"member/v3.7.3/e1 gate/v3.7.3/e1 member/v3.7.3/e2 gate/v3.7.3/e2 member/v3.7.3/e3 gate/v3.7.3/e3 settled/v3.7.3 record"},
		"back": {v1alpha1.EtcdSpec{Change: v1alpha1.EtcdDowngrade, Versions: []string{"v3.5.35"}}, false,
			"well fit/cp1 fit/cp2 fit/cp3 backup/cp1 backup/cp2 backup/cp3 may/v3.5.35 lower/v3.5.35 " +
				"member/v3.5.35/cp1 gate/v3.5.35/cp1 member/v3.5.35/cp2 gate/v3.5.35/cp2 member/v3.5.35/cp3 gate/v3.5.35/cp3 settled/v3.5.35 record"},
	} {
		c := cluster(tc.apart)
		steps, err := Plan(&tc.spec, c)
		if err != nil || ids(steps) != tc.want {
			t.Errorf("%s: %s, %v", name, ids(steps), err)
		}
		for i, s := range steps {
			kind, _, _ := strings.Cut(s.ID, "/")
			if i > 0 && (len(s.After) != 1 || s.After[0] != steps[i-1].ID) || s.Title == "" || s.State != v1alpha1.StepPending || Definition().Steps[kind] == nil {
				t.Errorf("%s: %+v", name, s)
			}
			if (s.Node == "") != (s.ID == StepRecord) {
				t.Errorf("%s: every step but the note is a task on a host: %+v", name, s)
			}
			if s.ID == StepRecord {
				continue
			}
			if r, err := Request(s, &tc.spec, c, Backups{Name: "etcd-x", Protect: []string{"upgrade-1"}, Hold: true}); err != nil || r.Task == "" || r.Timeout == 0 || r.LockTimeout == 0 {
				t.Errorf("%s: %s: %+v %v", name, s.ID, r, err)
			}
		}
	}
}

func TestPlanFails(t *testing.T) {
	up := func(versions ...string) *v1alpha1.EtcdSpec {
		return &v1alpha1.EtcdSpec{Change: v1alpha1.EtcdUpgrade, Versions: versions}
	}
	stacked := cluster(false)
	stacked.Spec.Etcd.Topology = v1alpha1.EtcdStacked
	for name, tc := range map[string]struct {
		spec *v1alpha1.EtcdSpec
		c    *v1alpha1.Cluster
		says string
	}{
		"no spec":             {nil, cluster(false), "no spec.etcd"},
		"no version":          {up(), cluster(false), "names no version"},
		"a version is missed": {up("v3.5.35", "v3.7.3"), cluster(false), "one minor version at a time"},
		"backwards":           {up("v3.6.16", "v3.5.35"), cluster(false), "one minor version at a time"},
		"not etcd's":          {up("v1.36.3"), cluster(false), "is not a version of etcd"},
		"back to two":         {&v1alpha1.EtcdSpec{Change: v1alpha1.EtcdDowngrade, Versions: []string{"v3.5.35", "v3.6.16"}}, cluster(false), "back to one version"},
		"a stranger":          {&v1alpha1.EtcdSpec{Change: v1alpha1.EtcdApply, Members: []string{"w1"}}, cluster(false), "w1 has no etcd member"},
		"a member twice":      {&v1alpha1.EtcdSpec{Change: v1alpha1.EtcdApply, Members: []string{"cp1", "cp1"}}, cluster(false), "named twice"},
		"kubeadm's own etcd":  {up("v3.6.16"), stacked, "kubeadm upgrades its own"},
	} {
		if steps, err := Plan(tc.spec, tc.c); err == nil || steps != nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	env := engine.Env{Cluster: cluster(true), Operation: &v1alpha1.Operation{Spec: v1alpha1.OperationSpec{Etcd: up("v3.6.16")}}}
	if _, err := Definition().Plan(t.Context(), env); err == nil || !strings.Contains(err.Error(), "e1, e2, e3 are on hosts that are no nodes") || !strings.Contains(err.Error(), "-f CLUSTER") {
		t.Errorf("members on hosts that are no nodes: %v", err)
	}
}

// TestRequest: what the tasks are told.
func TestRequest(t *testing.T) {
	c := cluster(true)
	c.Spec.Etcd.ExtraArgs = map[string]string{"heartbeat-interval": "200"}
	spec := &v1alpha1.EtcdSpec{Change: v1alpha1.EtcdUpgrade, Versions: []string{"v3.6.16"}, KeepBackups: 5}
	all := map[string]string{"e1": "10.0.0.31", "e2": "10.0.0.32", "e3": "10.0.0.33"}
	urls := []string{"https://10.0.0.31:2379", "https://10.0.0.32:2379", "https://10.0.0.33:2379"}
	servers := []string{"10.0.0.11:6443", "10.0.0.12:6443", "10.0.0.13:6443"}
	for id, tc := range map[string]struct {
		node, task string
		want       any
	}{
		"may/v3.6.16":       {"cp1", tasks.EtcdGate, etcdcare.GateSpec{Endpoints: urls, APIServers: servers, Target: "v3.6.16"}},
		"settled/v3.6.16":   {"cp1", tasks.EtcdGate, etcdcare.GateSpec{Endpoints: urls, APIServers: servers, Settled: "v3.6.16"}},
		"gate/v3.6.16/e2":   {"cp1", tasks.EtcdGate, etcdcare.GateSpec{Endpoints: urls, APIServers: servers}},
		"fit/e2":            {"e2", tasks.EtcdFit, etcdmember.FitSpec{Versions: spec.Versions}},
		"backup/e2":         {"e2", tasks.Backup, backup.Spec{Operation: "etcd-x", Endpoints: []string{urls[1], urls[0], urls[2]}, Keep: 5, Protect: []string{"upgrade-1"}, Hold: true, For: "Upgrade v3.6.16"}},
		"lower/v3.5.35":     {"cp1", tasks.EtcdDowngrade, etcdcare.DowngradeSpec{Endpoints: urls, Version: "v3.5.35"}},
		"member/v3.6.16/e2": {"e2", tasks.EtcdUpgrade, etcdmember.UpgradeSpec{Version: "v3.6.16", Name: "e2", Address: "10.0.0.32", Members: all}},
		"apply/e2":          {"e2", tasks.EtcdSettings, etcdmember.SettingsSpec{Name: "e2", Address: "10.0.0.32", Members: all, Args: c.Spec.Etcd.ExtraArgs}},
		"member/v3.6.16/e9": {"e9", "", nil},
		"something/else/e1": {"e1", "", nil},
	} {
		r, err := Request(v1alpha1.StepStatus{ID: id, Node: tc.node}, spec, c, Backups{Name: "etcd-x", Protect: []string{"upgrade-1"}, Hold: true})
		if tc.want == nil {
			if err == nil {
				t.Errorf("%s: %+v", id, r)
			}
			continue
		}
		got := reflect.New(reflect.TypeOf(tc.want))
		if err == nil {
			err = json.Unmarshal(r.Spec, got.Interface())
		}
		if err != nil || r.Task != tc.task || !reflect.DeepEqual(got.Elem().Interface(), tc.want) {
			t.Errorf("%s: %s %s, %v", id, r.Task, r.Spec, err)
		}
	}
	down := &v1alpha1.EtcdSpec{Change: v1alpha1.EtcdDowngrade, Versions: []string{"v3.5.35"}}
	if r, err := Request(v1alpha1.StepStatus{ID: "may/v3.5.35"}, down, c, Backups{Name: "x"}); err != nil || !strings.Contains(string(r.Spec), `"downgrade":true`) {
		t.Errorf("%s %v", r.Spec, err)
	}
}

// TestFullEtcdGetsSettings: the gates of other settings let a full etcd through, those of other
// versions do not.
func TestFullEtcdGetsSettings(t *testing.T) {
	for change, want := range map[v1alpha1.EtcdChange]bool{v1alpha1.EtcdApply: true, v1alpha1.EtcdUpgrade: false, v1alpha1.EtcdDowngrade: false} {
		for _, id := range []string{"well", "gate/e2"} {
			r, err := Request(v1alpha1.StepStatus{ID: id, Node: "cp1"}, &v1alpha1.EtcdSpec{Change: change, Versions: []string{"v3.6.16"}}, cluster(true), Backups{})
			if err != nil || strings.Contains(string(r.Spec), `"mayBeFull":true`) != want {
				t.Errorf("%s %s: %s %v", change, id, r.Spec, err)
			}
		}
	}
}

func TestSaid(t *testing.T) {
	for want, tc := range map[string]struct {
		kind string
		data any
	}{
		"all are well, with the same data at revision 7": {StepGate, etcdcare.GateData{Revision: 7}},
		"has it; v3.5.35 is in place":                    {StepFit, etcdmember.FitData{Installed: "v3.5.35"}},
		"it is there already":                            {StepMember, etcdmember.UpgradeData{Already: true}},
		"from v3.5.35; the leadership was moved away first, going on from where an earlier run ended": {StepMember, etcdmember.UpgradeData{From: "v3.5.35", Led: true, Resumed: true}},
		"restarted with them": {StepApply, etcdmember.SettingsData{Restarted: true}},
		"it has them":         {StepApply, etcdmember.SettingsData{}},
	} {
		raw, err := json.Marshal(tc.data)
		if err != nil {
			t.Fatal(err)
		}
		if got := Said(tc.kind, node.Result{Data: raw}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := Said(tc.kind, node.Result{Data: []byte("{")}); got != "" {
			t.Errorf("without data: %q", got)
		}
	}
}
