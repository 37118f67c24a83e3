package nodes

import (
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	host "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// TestTakesCertificates: workers get none.
func TestTakesCertificates(t *testing.T) {
	member := clusterOf("cp1", "w1", "w2")
	member.Spec.Hosts[2].Roles = []v1alpha1.Role{v1alpha1.RoleEtcd}
	for what, tc := range map[string]struct {
		c     *v1alpha1.Cluster
		names []string
		want  bool
	}{
		"a worker":                     {clusterOf("cp1", "w1", "w2"), []string{"w2"}, false},
		"a control plane":              {clusterOf("cp1", "w1", "cp2"), []string{"cp2"}, true},
		"a worker and a control plane": {clusterOf("cp1", "w1", "cp2"), []string{"cp2", "w1"}, true},
		"a member of etcd":             {member, []string{"w2"}, true},
	} {
		a := &adding{AddOptions: AddOptions{Names: tc.names}, merged: tc.c}
		if got := a.takesCertificates(); got != tc.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// TestAddRenewal: the renewal comes first, and nothing of it stands in the way.
func TestAddRenewal(t *testing.T) {
	fresh := func() *operate.Plan { return &operate.Plan{Steps: []plan.Step{{ID: "join/cp2"}}} }
	p := fresh()
	addRenewal(p, certs.Plan{})
	if len(p.Steps) != 1 || len(p.Findings) != 0 {
		t.Errorf("nothing is due: %+v", p)
	}
	addRenewal(p, certs.Plan{Nodes: []v1alpha1.NodeCertificates{{Name: "cp1", Signed: []string{host.EtcdClient}}}})
	if len(p.Steps) != 2 || p.Steps[0].Title != "renew 1 certificate of cp1" || p.Steps[1].ID != "join/cp2" || len(p.Findings) != 0 {
		t.Errorf("one is due: %+v", p)
	}
	p = fresh()
	addRenewal(p, certs.Plan{Unsigned: []certs.Entry{{Host: "cp1", Certificate: host.Certificate{Name: host.EtcdClient, NotAfter: time.Now()}}}, Unseen: map[string]string{"cp3": "away"}})
	if len(p.Steps) != 1 || len(p.Findings) != 2 || len(nodes.Blocking(p.Findings)) != 0 || p.Findings[0].Node != "cp1" || !strings.Contains(p.Findings[0].Hint, "kubectl ha certs renew") || p.Findings[1].Node != "cp3" {
		t.Errorf("etcd's CA is elsewhere, and a node is away: %+v", p)
	}
}

// renewNothingBeside: while an Operation is unfinished, which is taken up, no other is begun.
func renewNothingBeside(t *testing.T, s *kubetest.Server) {
	a := &adding{AddOptions: AddOptions{To: connect(t, s), Names: []string{"cp2"}}, merged: clusterOf("cp1", "w1", "cp2"), before: stored(), renews: true}
	p := &operate.Plan{}
	if err := a.planRenewal(t.Context(), p); err != nil || len(p.Steps)+len(p.Findings) > 0 {
		t.Errorf("planned: %+v, %v", p, err)
	}
	if err := a.renew(t.Context(), noEvents(t)); err != nil {
		t.Errorf("renewed: %v", err)
	}
	refused := &operate.Plan{Findings: []nodes.Finding{{Blocks: true}}}
	if err := a.planRenewal(t.Context(), refused); err != nil || refused.Refused() == nil || len(refused.Findings) != 1 {
		t.Errorf("where something is in the way: %+v, %v", refused, err)
	}
}
