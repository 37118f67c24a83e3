package schedule

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

const day = 24 * time.Hour

func document(t *testing.T) *v1alpha1.Cluster {
	t.Helper()
	c, _, err := v1alpha1.Load([]byte(strings.Join([]string{
		"apiVersion: kubectl-ha.dev/v1alpha1", "kind: Cluster", "metadata: {name: test}",
		"spec:", "  kubernetesVersion: v1.36.3", "  virtualIP: 10.77.0.100", "  hosts:",
		"  - {name: cp1, address: 10.77.0.11, roles: [control-plane]}",
		"  - {name: cp2, address: 10.77.0.12, roles: [control-plane]}",
		"  - {name: cp3, address: 10.77.0.13, roles: [control-plane]}",
		"  - {name: w1, address: 10.77.0.21}", "",
	}, "\n")), "cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func agents(digit string, archs ...string) (out v1alpha1.Agents) {
	for _, arch := range archs {
		out = append(out, v1alpha1.Agent{Arch: arch, Image: bundle.AgentRepository + ":v1@sha256:" + strings.Repeat(digit, 63) + arch[:1], SHA256: "x"})
	}
	return out
}

// lived is a certificate of a year that has lived for a part of that.
func lived(name string, owner certs.Owner, part float64) certs.Certificate {
	now := time.Now()
	year := 365 * day
	born := now.Add(-time.Duration(part * float64(year)))
	return certs.Certificate{Name: name, File: "/" + name, NotBefore: born.Add(-5 * time.Minute), NotAfter: born.Add(year), RenewedBy: owner, KeyState: certs.KeyFits}
}

// TestPlan: what is signed on the nodes, from two thirds of its life on.
func TestPlan(t *testing.T) {
	c := document(t)
	lost := lived(certs.Admin, certs.OwnerHost, 0.1)
	lost.KeyState = certs.KeyMissing
	found := map[string]certs.LookData{
		"cp1": {Time: time.Now(), Certificates: []certs.Certificate{
			lived(certs.APIServer, certs.OwnerHost, 0.67), lived(certs.Scheduler, certs.OwnerHost, 0.66), lived(certs.EtcdServer, certs.OwnerWorkstation, 0.9),
			lived(certs.Kubelet, certs.OwnerKubelet, 0.9), lived(certs.FrontProxyClient, certs.OwnerNobody, 0.9), lived("", certs.OwnerHost, 0.9), lived(certs.SuperAdmin, certs.OwnerElsewhere, 0.9)}},
		"cp2": {Time: time.Now(), Certificates: []certs.Certificate{lived(certs.APIServer, certs.OwnerHost, 1.2), lost}},
		"cp3": {Time: time.Now(), Certificates: []certs.Certificate{lived(certs.APIServer, certs.OwnerHost, 0)}},
	}
	got, err := json.Marshal(plan(c.ControlPlanes(), found, 20*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if want := `[{"name":"cp1","local":["apiserver"],"validity":"20m0s"},{"name":"cp2","local":["apiserver","admin.conf"],"validity":"20m0s"}]`; string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestEnding: from sixty days on what nobody in the cluster can renew, the first end first.
func TestEnding(t *testing.T) {
	now := time.Now()
	in := func(name string, owner certs.Owner, left time.Duration) certs.Certificate {
		return certs.Certificate{Name: name, NotAfter: now.Add(left), RenewedBy: owner}
	}
	found := map[string]certs.LookData{"cp1": {Certificates: []certs.Certificate{
		in(certs.EtcdServer, certs.OwnerWorkstation, 59*day+time.Hour), in(certs.EtcdPeer, certs.OwnerWorkstation, 61*day), in(certs.EtcdClient, certs.OwnerWorkstation, -time.Hour),
		in(certs.APIServer, certs.OwnerHost, day), in(certs.Kubelet, certs.OwnerKubelet, day), in("", certs.OwnerNobody, day), in(certs.Admin, certs.OwnerNobody, 10*day+time.Hour), in(certs.Scheduler, certs.OwnerElsewhere, 11*day+time.Hour)}}}
	var got []string
	for _, n := range ending(found, []certs.Elsewhere{{Host: "e1", Name: certs.EtcdServer, NotAfter: now.Add(5*day + time.Hour)}, {Host: "e1", Name: certs.EtcdPeer, NotAfter: now.Add(100 * day)}}, now) {
		got = append(got, n.say(now))
	}
	for i, want := range []string{"apiserver-etcd-client of cp1 has ended, at ", "etcd-server of e1 ends in 5 days, at ", "admin.conf of cp1 ends in 10 days", "scheduler.conf of cp1 ends in 11 days", "etcd-server of cp1 ends in 59 days"} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Errorf("%d is not %q: %q", i, want, got)
		}
	}
	if len(got) != 5 || !strings.Contains(got[0], "where the key of etcd's CA is") || !strings.Contains(got[2], "whoever has signed it") || !strings.Contains(got[3], "with the CA's key") {
		t.Errorf("%q", got)
	}
}

// TestObject: the agent by its digest, on control planes of its architecture, and what it needs to
// know of the others.
func TestObject(t *testing.T) {
	c := document(t)
	for name, tc := range map[string]struct {
		s    Spec
		want []string
	}{
		"the usual":         {Spec{Agents: agents("a", "amd64")}, []string{DefaultCron, "one"}},
		"two architectures": {Spec{Cron: "@weekly", Agents: agents("a", "arm64", "amd64"), Life: time.Minute}, []string{"@weekly", "arm64"}},
	} {
		j, err := object(tc.s, c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		pod := j.Spec.JobTemplate.Spec.Template.Spec
		main := pod.Containers[0]
		terms := pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
		if j.Spec.Schedule != tc.want[0] || main.Image != tc.s.Agents[0].Image || main.ImagePullPolicy != corev1.PullNever || len(terms) != 1 || len(terms[0].MatchExpressions) != len(tc.s.Agents) {
			t.Errorf("%s: %s %s %+v", name, j.Spec.Schedule, main.Image, terms)
		}
		var back v1alpha1.Agents
		if err := json.Unmarshal([]byte(main.Args[3]), &back); err != nil || len(back) != len(tc.s.Agents) || main.Args[2] != "--agents" {
			t.Errorf("%s: %v %v", name, main.Args, err)
		}
		if lifeOf(j) != tc.s.Life || (len(main.Args) == 6) != (tc.s.Life > 0) {
			t.Errorf("%s: a life of %s, %v", name, lifeOf(j), main.Args)
		}
		if j.Spec.ConcurrencyPolicy != batchv1.ForbidConcurrent || j.Spec.StartingDeadlineSeconds != nil || pod.ServiceAccountName != "ha-coordinator" {
			t.Errorf("%s: %+v", name, j.Spec)
		}
	}
	for _, cron := range []string{"every day", "* * *", "61 * * * *"} {
		if _, err := object(Spec{Cron: cron, Agents: agents("a", "amd64")}, c); err == nil || !strings.Contains(err.Error(), "can't be read") {
			t.Errorf("%q: %v", cron, err)
		}
	}
}
