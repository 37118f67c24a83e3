package certs

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
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
	// One whose CA is another, and one whose CA has its key nowhere here.
	theirs := map[string]certs.LookData{"cp1": {Certificates: slices.Clone(found["cp1"].Certificates)}}
	for i, c := range theirs["cp1"].Certificates {
		switch c.Name {
		case certs.APIServer:
			theirs["cp1"].Certificates[i].RenewedBy, theirs["cp1"].Certificates[i].Issuer = certs.OwnerNobody, "company"
		case certs.Admin:
			theirs["cp1"].Certificates[i].RenewedBy = certs.OwnerElsewhere
		}
	}
	plan := func(o Options, noSigner error) string {
		o.Cluster = c
		p := makePlan(o, c.Keepers(c.Spec.Hosts), found, map[string]string{"e3": "no way"}, signers{noEtcd: noSigner})
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	o := Options{Cluster: c}
	want := "apiserver (signed by company) of cp1: another CA has signed it, which is to renew it\nadmin.conf of cp1: " + errElsewhere.Error()
	if p := makePlan(o, c.Keepers(c.Spec.Hosts), theirs, nil, signers{}); strings.Join(p.Left, "\n") != want || len(p.Nodes) != 1 || strings.Join(p.Nodes[0].Local, " ") != "scheduler.conf" {
		t.Errorf("%+v", p)
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

// TestPlanRefused: nothing is begun while the nodes would have to wait.
func TestPlanRefused(t *testing.T) {
	done, running := v1alpha1.Operation{}, v1alpha1.Operation{}
	running.Name, running.Status.Phase = "upgrade-x", v1alpha1.OperationRunning
	done.Status.Phase = v1alpha1.OperationSucceeded
	nodes := Plan{Nodes: []v1alpha1.NodeCertificates{{Name: "cp1"}}}
	var busy *operations.BusyError
	if err := nodes.refused([]v1alpha1.Operation{done, running}); !errors.As(err, &busy) || busy.Name != "upgrade-x" {
		t.Error(err)
	}
	if err := errors.Join(nodes.refused([]v1alpha1.Operation{done}), Plan{Addons: []string{"a/b"}}.refused([]v1alpha1.Operation{running})); err != nil {
		t.Error(err)
	}
}

// TestWantsAddon: what is asked for by its name is renewed, whatever is left of its life.
func TestWantsAddon(t *testing.T) {
	pair := maker{t, time.Hour}.issue(newCA(t), pki.Request{CommonName: "prometheus", Client: true})
	cert, err := pki.ParseCert(pair.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		o    Options
		in   time.Duration
		want bool
	}{
		{Options{}, 0, false}, {Options{}, 50 * time.Minute, true}, {Options{All: true}, 0, true}, {Options{Names: []string{addonNames}}, 0, true},
	} {
		if got := tc.o.wantsAddon(cert, time.Now().Add(tc.in)); got != tc.want {
			t.Errorf("%+v after %s: %v", tc.o, tc.in, got)
		}
	}
}
