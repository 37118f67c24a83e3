package upgrade

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	host "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

// TestRenewing: what is renewed before is in the way no more; what can't be is, within a month of
// its end; and what could not be looked at is said.
func TestRenewing(t *testing.T) {
	day := 24 * time.Hour
	entry := func(name string, left time.Duration) certs.Entry {
		return certs.Entry{Host: "cp1", Certificate: host.Certificate{Name: name, NotAfter: time.Now().Add(left)}}
	}
	renews := certs.Plan{Nodes: []v1alpha1.NodeCertificates{{Name: "cp1", Signed: []string{host.EtcdServer, host.EtcdClient}, Local: []string{host.APIServer}}}}
	ends := upgrade.Observation{Etcd: []upgrade.Endpoint{{Node: "cp1", Address: "here", Etcd: true, Due: true, NotAfter: time.Now().Add(day)}}}
	for what, tc := range map[string]struct {
		due    certs.Plan
		err    error
		seen   upgrade.Observation
		ok     bool
		shown  bool
		begins bool
		want   string
	}{
		"nothing is due":              {ok: true},
		"what ends is renewed":        {due: renews, seen: ends, ok: true, shown: true, begins: true},
		"etcd's CA is elsewhere":      {due: certs.Plan{Unsigned: []certs.Entry{entry(host.EtcdServer, day)}}, seen: ends, want: "the certificate at here ends"},
		"a login ends soon":           {due: certs.Plan{Unsigned: []certs.Entry{entry(host.EtcdClient, 29*day)}}, want: "apiserver-etcd-client"},
		"a login ends in some months": {due: certs.Plan{Unsigned: []certs.Entry{entry(host.EtcdClient, 100*day)}}, ok: true, want: "apiserver-etcd-client"},
		"a node has an older agent":   {due: certs.Plan{Unseen: map[string]string{"cp1": "the agent is older"}}, ok: true, begins: true, want: "cp1: whether certificates in its files are due can't be told: the agent is older"},
		"no look at all":              {err: errors.New("forbidden"), ok: true, want: "can't be told: forbidden"},
		"no look at what ends":        {err: errors.New("forbidden"), seen: ends, want: "can't be told: forbidden"},
	} {
		o := usual()
		o.Cluster = &v1alpha1.Cluster{}
		tc.seen.Nodes = map[string]upgrade.Node{}
		p := &Plan{options: o}
		p.check(tc.seen)
		p.renewing(tc.due, tc.err, tc.seen)
		var found []string
		for _, f := range p.Findings {
			if f.Check == upgrade.CheckCertificates {
				found = append(found, f.String())
			}
		}
		ok := len(upgrade.Blocking(p.Findings, upgrade.CheckSkew)) == 0
		if ok != tc.ok || (p.Certificates != nil) != tc.shown || p.renews != tc.begins || (len(found) == 0) != (tc.want == "") || !strings.Contains(strings.Join(found, "\n"), tc.want) {
			t.Errorf("%s: goes %v, shown %v, renews %v: %q", what, ok, p.Certificates, p.renews, found)
		}
	}
}

// TestLooksAtFiles: nodes are not asked where nothing would be begun all the same.
func TestLooksAtFiles(t *testing.T) {
	node := []upgrade.NodePlan{{Node: "cp1", Turn: 1}}
	for what, tc := range map[string]struct {
		p    Plan
		want bool
	}{
		"all is well":                  {Plan{Nodes: node}, true},
		"all is done":                  {Plan{Nodes: []upgrade.NodePlan{{Node: "cp1"}}}, false},
		"certificates are in the way":  {Plan{Nodes: node, Findings: []upgrade.Finding{{Check: upgrade.CheckCertificates, Blocks: true}}}, true},
		"a node is in the way":         {Plan{Nodes: node, Findings: []upgrade.Finding{{Check: upgrade.CheckNodes, Blocks: true}}}, false},
		"what is ignored is in no way": {Plan{Nodes: node, Ignored: []string{upgrade.CheckDisk}, Findings: []upgrade.Finding{{Check: upgrade.CheckDisk, Blocks: true}}}, true},
		"only a look":                  {Plan{Nodes: node, options: Options{Look: true}}, false},
		"a look where some are due":    {Plan{Nodes: node, options: Options{Look: true}, Findings: []upgrade.Finding{{Check: upgrade.CheckCertificates}}}, true},
	} {
		if got := tc.p.looksAtFiles(); got != tc.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}
