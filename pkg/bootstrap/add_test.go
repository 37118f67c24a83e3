package bootstrap

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/reach"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func addCluster() *v1alpha1.Cluster {
	cp := []v1alpha1.Role{v1alpha1.RoleControlPlane}
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "test"}}
	c.Spec.VirtualIP, c.Spec.KubernetesVersion = "10.0.0.100", "v1.36.3"
	c.Spec.Hosts = []v1alpha1.Host{{Name: "cp1", Address: "10.0.0.11", Roles: cp}, {Name: "cp2", Address: "10.0.0.12", Roles: cp},
		{Name: "cp3", Address: "10.0.0.13", Roles: cp}, {Name: "cp4", Address: "10.0.0.14", Roles: cp}, {Name: "w1", Address: "10.0.0.21"}, {Name: "w2", Address: "10.0.0.22"}}
	c.SetDefaults()
	return c
}

// Only the new hosts have steps, whatever the size of the cluster; those of a second
// control plane that gets a member wait for the first one's vote.
func TestMakeAddPlan(t *testing.T) {
	for _, tt := range []struct {
		name  string
		hosts []string
		want  string
	}{
		{"a worker", []string{"w2"}, "prepare/w2 images/w2 join-node/w2 tidy/w2"},
		{"a control plane", []string{"cp4"}, "prepare/cp4 images/cp4 etcd/cp4 vip/cp4 join-node/cp4 tidy/cp4"},
		{"two", []string{"cp3", "cp4"}, "prepare/cp3 prepare/cp4 images/cp3 images/cp4 etcd/cp3 etcd/cp4 vip/cp3 join-node/cp3 vip/cp4 join-node/cp4 tidy/cp3 tidy/cp4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := MakeAddPlan(addCluster(), tt.hosts, Observation{}, Inputs{Running: true})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range p.Steps {
				got = append(got, s.ID)
				if spec, ok := s.Spec.(etcdmember.Spec); ok && (!spec.Join || spec.New || spec.CA != nil) {
					t.Errorf("%s: %+v", s.ID, spec)
				}
				if s.ID == "etcd/cp4" && len(tt.hosts) == 2 && !slices.Contains(s.After, "etcd/cp3") {
					t.Errorf("etcd/cp4 comes after %v", s.After)
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%s, want %s", strings.Join(got, " "), tt.want)
			}
		})
	}
	if _, err := MakeAddPlan(addCluster(), []string{"w9"}, Observation{}, Inputs{}); err == nil {
		t.Error("an unknown host was taken")
	}
}

// The virtual IP answers and VRRP is heard, as it should be in a cluster that runs; the
// hosts that were not looked at have no findings.
func TestPreflightOfNewHosts(t *testing.T) {
	o := Observation{"cp4": {Facts: observe.Facts{VirtualIPAnswers: "02:00:00:00:00:01", VRRPRouters: []int{int(addCluster().Spec.Keepalived.RouterID)}}}}
	has := func(found []report.Finding, check string) bool {
		return slices.ContainsFunc(found, func(f report.Finding) bool { return f.Check == check && f.Severity == report.SeverityError })
	}
	for _, f := range Preflight(addCluster(), o, Inputs{Running: true}) {
		if f.Node != "cp4" && f.Node != "" || f.Check == "virtual-ip" || f.Check == "router-id" {
			t.Errorf("%+v", f)
		}
	}
	if found := Preflight(addCluster(), o, Inputs{}); !has(found, "virtual-ip") || !has(found, "router-id") {
		t.Errorf("a new cluster beside another one: %+v", found)
	}
}

func TestJudgeReach(t *testing.T) {
	c := addCluster()
	h, _ := c.Host("cp4")
	dial := func(address string, port int32, out reach.Outcome) reach.Dialled {
		return reach.Dialled{Target: reach.Target{Host: "x", Address: address, Port: port}, Outcome: out}
	}
	for _, tt := range []struct {
		name    string
		results []reach.Dialled
		want    string
	}{
		{"all", []reach.Dialled{dial("10.0.0.100", 6443, reach.WrongAnswer), dial("10.0.0.11", 2379, reach.WrongAnswer)}, ""},
		{"one member is away", []reach.Dialled{dial("10.0.0.11", 2379, reach.Timeout), dial("10.0.0.12", 2379, reach.WrongAnswer)}, ""},
		{"no member", []reach.Dialled{dial("10.0.0.11", 2379, reach.Timeout)}, "any etcd member"},
		{"no API", []reach.Dialled{dial("10.0.0.100", 6443, reach.Refused)}, "can't reach the API"},
	} {
		got := judgeReach(c, h, reach.DialData{Results: tt.results})
		if (tt.want == "") != (len(got) == 0) || tt.want != "" && !strings.Contains(got[0].Message, tt.want) {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}
