package certs

import (
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	taskcerts "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

func cluster() *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{}
	for _, name := range []string{"cp1", "cp2"} {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: name, Address: "10.0.0." + name[2:], Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}})
	}
	return c
}

// TestPlan: one node after the other, each gated before the next.
func TestPlan(t *testing.T) {
	steps, err := Plan(&v1alpha1.RenewCertificatesSpec{Nodes: []v1alpha1.NodeCertificates{
		{Name: "cp2", Signed: []string{taskcerts.EtcdServer, taskcerts.EtcdPeer}, Local: []string{taskcerts.APIServer}},
		{Name: "cp1", Local: []string{taskcerts.Scheduler}},
	}}, cluster())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i, s := range steps {
		ids = append(ids, s.ID)
		if i > 0 && (len(s.After) != 1 || s.After[0] != steps[i-1].ID) {
			t.Errorf("%s comes after %v", s.ID, s.After)
		}
		if task := strings.HasPrefix(s.ID, "install/") || strings.HasPrefix(s.ID, "renew/"); task != (s.Node != "") || s.Title == "" || Definition().Steps[strings.Split(s.ID, "/")[0]] == nil {
			t.Errorf("%+v", s)
		}
	}
	if got := strings.Join(ids, " "); got != "well install/cp2 renew/cp2 gate/cp2 renew/cp1 gate/cp1" {
		t.Error(got)
	}
}

func TestPlanFails(t *testing.T) {
	one := v1alpha1.NodeCertificates{Name: "cp1", Local: []string{taskcerts.APIServer}}
	for name, spec := range map[string]*v1alpha1.RenewCertificatesSpec{
		"none":            nil,
		"no node":         {},
		"a stranger":      {Nodes: []v1alpha1.NodeCertificates{{Name: "w9", Local: one.Local}}},
		"a node twice":    {Nodes: []v1alpha1.NodeCertificates{one, one}},
		"an unknown name": {Nodes: []v1alpha1.NodeCertificates{{Name: "cp1", Local: []string{"ca"}}}},
	} {
		if steps, err := Plan(spec, cluster()); err == nil || steps != nil {
			t.Errorf("%s: %v", name, steps)
		}
	}
}

func TestUnwell(t *testing.T) {
	good := func() upgrade.Observation {
		return upgrade.Observation{APIServers: []upgrade.Endpoint{{Node: "cp1"}}, Etcd: []upgrade.Endpoint{{Node: "cp1", Etcd: true}},
			Nodes: map[string]upgrade.Node{"cp1": {StaticReady: map[string]bool{"kube-scheduler": true}}}}
	}
	if got := unwell(good(), "cp1"); got != "" {
		t.Error(got)
	}
	for want, spoil := range map[string]func(*upgrade.Observation){
		"connection refused":       func(o *upgrade.Observation) { o.Etcd[0].Error = "connection refused" },
		"503":                      func(o *upgrade.Observation) { o.APIServers[0].Error = "503" },
		"is no node":               func(o *upgrade.Observation) { o.Nodes = nil },
		"is not ready: asleep":     func(o *upgrade.Observation) { o.Nodes["cp1"] = upgrade.Node{NotReady: "asleep"} },
		"kube-scheduler of cp1 is": func(o *upgrade.Observation) { o.Nodes["cp1"].StaticReady["kube-scheduler"] = false },
	} {
		o := good()
		spoil(&o)
		if got := unwell(o, "cp1"); !strings.Contains(got, want) {
			t.Errorf("%s: %q", want, got)
		}
	}
}

func TestSum(t *testing.T) {
	end := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	d := taskcerts.Data{Renewed: []taskcerts.Renewed{{Name: "a", NotAfter: end.Add(time.Hour)}, {Name: "b", NotAfter: end}}, Restarted: []string{"kube-scheduler"}, Unseen: map[string]string{"a": "x"}}
	if got := Sum(d); got != "2 in use, the first ends at 2027-01-02T03:04:05Z; restarted kube-scheduler; 1 could not be seen at work" {
		t.Error(got)
	}
	if got := Sum(taskcerts.Data{}); got != "nothing to renew" {
		t.Error(got)
	}
}
