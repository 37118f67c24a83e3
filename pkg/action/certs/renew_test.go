package certs

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// TestMakePlan: who signs what, and what is left, with why.
func TestMakePlan(t *testing.T) {
	c, etcdCA := newCluster(), newCA(t)
	hs := newHosts(t, c, etcdCA, time.Millisecond)
	found := map[string]certs.LookData{}
	for name, root := range hs.roots {
		found[name] = certs.Find(hostAt(t, root), time.Now())
	}
	delete(found, "e3")
	plan := func(o Options, noSigner error) string {
		o.Cluster = c
		p := MakePlan(o, keepers(c), found, map[string]string{"e3": "no way"}, noSigner)
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	member := `"signed":["etcd-peer","etcd-server"]`
	for name, tc := range map[string]struct {
		o        Options
		noSigner error
		want     string
	}{
		"all that is due":      {Options{}, nil, `{"hosts":[{"name":"e1",` + member + `},{"name":"e2",` + member + `}],"nodes":[{"name":"cp1","signed":["apiserver-etcd-client"],"local":["apiserver","admin.conf","scheduler.conf"]}],"left":["e3: no way"]}`},
		"one by its name":      {Options{Names: []string{certs.Scheduler}}, nil, `{"nodes":[{"name":"cp1","local":["scheduler.conf"]}],"left":["e3: no way"]}`},
		"one that no host has": {Options{Names: []string{certs.SuperAdmin}}, nil, `{"left":["e3: no way","super-admin.conf: none of the hosts that were looked at has it"]}`},
		"without etcd's CA": {Options{}, errors.New("not here"), `{"nodes":[{"name":"cp1","local":["apiserver","admin.conf","scheduler.conf"]}],` +
			`"left":["e3: no way","apiserver-etcd-client of cp1: not here","etcd-peer, etcd-server of e1: not here","etcd-peer, etcd-server of e2: not here"]}`},
	} {
		if got := plan(tc.o, tc.noSigner); got != tc.want {
			t.Errorf("%s:\n%s, not\n%s", name, got, tc.want)
		}
	}
}

// TestRenewRefuses: what can't be renewed in use is not passed over in silence.
func TestRenewRefuses(t *testing.T) {
	_, err := Renew(t.Context(), Options{Cluster: newCluster(), Config: &rest.Config{Host: "https://127.0.0.1:1"}, Names: []string{certs.Kubelet}}, report.SinkFunc(func(report.Event) {}))
	if err == nil || !strings.Contains(err.Error(), "certs rescue --host") || action.KindOf(err) != action.Invalid {
		t.Error(err)
	}
}

// TestPlanDue: an empty plan with something left is not the same as nothing to do.
func TestPlanDue(t *testing.T) {
	left := []string{"etcd-server of e1: no CA"}
	if err := (Plan{Left: left}).Due(); err == nil || !strings.Contains(err.Error(), left[0]) || action.KindOf(err) != action.Findings {
		t.Error(err)
	}
	if err := errors.Join(Plan{}.Due(), Plan{Addons: []string{"a/b"}, Left: left}.Due()); err != nil {
		t.Error(err)
	}
}
