package certs

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

// TestPlanForOthers: what another verb shows of a renewal, and whether it has to begin one.
func TestPlanForOthers(t *testing.T) {
	c := newCluster()
	end := time.Now().Add(time.Hour)
	found := map[string]certs.LookData{"cp1": {Certificates: []certs.Certificate{
		{Name: certs.EtcdClient, Due: true, NotAfter: end, KeyState: certs.KeyFits, RenewedBy: certs.OwnerWorkstation},
		{Name: certs.APIServer, Due: true, NotAfter: end, KeyState: certs.KeyFits, RenewedBy: certs.OwnerHost},
		{Name: certs.Scheduler, KeyState: certs.KeyFits, RenewedBy: certs.OwnerHost},
	}}}
	for what, tc := range map[string]struct {
		found    map[string]certs.LookData
		unseen   map[string]string
		noSigner error
		count    int
		unsigned string
		wanted   bool
	}{
		"all":                             {found: found, count: 2, wanted: true},
		"without etcd's CA":               {found: found, noSigner: errors.New("not here"), count: 1, unsigned: certs.EtcdClient, wanted: true},
		"nothing":                         {},
		"a node that is away":             {unseen: map[string]string{"cp1": "away"}, wanted: true},
		"a host to which there is no way": {unseen: map[string]string{"e1": "no way"}},
	} {
		p := makePlan(Options{Cluster: c}, c.Keepers(c.Spec.Hosts), tc.found, tc.unseen, signers{noEtcd: tc.noSigner})
		var unsigned []string
		for _, e := range p.Unsigned {
			if e.Host != "cp1" || !e.NotAfter.Equal(end) {
				t.Errorf("%s: %+v", what, e)
			}
			unsigned = append(unsigned, e.Name)
		}
		if p.Count() != tc.count || p.Empty() != (tc.count == 0) || strings.Join(unsigned, " ") != tc.unsigned || p.Wanted() != tc.wanted {
			t.Errorf("%s: %d, without a signature %v, wanted %v", what, p.Count(), unsigned, p.Wanted())
		}
	}
	p := makePlan(Options{Cluster: c}, c.Keepers(c.Spec.Hosts), found, nil, signers{})
	p.Addons = []string{"monitoring/etcd"}
	if got := p.Title(); got != "renew 3 certificates of cp1, addons" {
		t.Error(got)
	}
}

func TestNotReady(t *testing.T) {
	node := func(name string, conditions ...corev1.NodeCondition) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: conditions}}
	}
	is := func(s corev1.ConditionStatus) corev1.NodeCondition {
		return corev1.NodeCondition{Type: corev1.NodeReady, Status: s}
	}
	kube := fake.NewClientset(node("well", is(corev1.ConditionTrue)), node("away", is(corev1.ConditionUnknown)), node("new"),
		node("odd", corev1.NodeCondition{Type: corev1.NodeDiskPressure, Status: corev1.ConditionTrue}))
	away, err := notReady(t.Context(), &client.Clients{Kube: kube})
	if err != nil || len(away) != 3 || away["well"] != "" {
		t.Errorf("%v, %v", away, err)
	}
}
