package convert

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	backups "github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/convert"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// single has one control plane, whose own address is the endpoint.
func single() *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "test"}, Spec: v1alpha1.ClusterSpec{KubernetesVersion: "v1.36.3",
		Endpoint: v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: "198.51.100.11:6443"}, Etcd: v1alpha1.Etcd{Topology: v1alpha1.EtcdStacked},
		Network: v1alpha1.Network{Plugin: v1alpha1.NetworkPluginNone},
		Hosts:   []v1alpha1.Host{{Name: "cp1", Address: "198.51.100.11", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}, {Name: "w1", Address: "198.51.100.21"}}}}
	c.SetDefaults()
	return c
}

// TestInACluster: with a real API server the conversion is planned and begun, and its way back is
// found where the document does not tell of it.
func TestInACluster(t *testing.T) {
	s := kubetest.Start(t)
	if _, err := incluster.Install(t.Context(), s.Config, single()); err != nil {
		t.Fatal(err)
	}
	to, err := operate.Connect(t.Context(), s.Config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), Options{To: to, Undo: true}); action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), convert.ErrNothing.Error()) {
		t.Errorf("there is nothing to take back: %v", err)
	}
	for name, o := range map[string]Options{"a worker's": {VirtualIP: "198.51.100.21"}, "the endpoint's": {VirtualIP: "198.51.100.11"}, "no address": {VirtualIP: "here"}} {
		o.To = to
		if _, err := New(t.Context(), o); action.KindOf(err) != action.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, err := New(t.Context(), Options{To: to, VirtualIP: "198.51.100.100"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Done || len(c.Plan.Steps) == 0 || c.Plan.Cluster.Endpoint() != "198.51.100.100:6443" || to.Stored.KeepsVirtualIP() {
		t.Errorf("%+v", c)
	}
	ops, err := incluster.NewOperations(s.Config, v1alpha1.Agents{{Image: "agent:1"}})
	if err != nil {
		t.Fatal(err)
	}
	op, err := ops.Create(t.Context(), c.operation())
	if err != nil {
		t.Fatal(err)
	}
	// It is the one that is under way, and another address is another intent.
	if _, err := New(t.Context(), Options{To: to, VirtualIP: "198.51.100.100"}); err != nil {
		t.Errorf("the same again: %v", err)
	}
	var busy *operations.BusyError
	if _, err := New(t.Context(), Options{To: to, VirtualIP: "198.51.100.101"}); !errors.As(err, &busy) {
		t.Errorf("another one: %v", err)
	}
	// A schedule of before follows, there and back, and keeps all else.
	cron, err := backups.Backup().Object(to.Stored, "", v1alpha1.Agents{{Image: "agent:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := schedule.Apply(t.Context(), to.Clients, cron); err != nil {
		t.Fatal(err)
	}
	back := &Conversion{o: Options{To: to, Undo: true}, Plan: &operate.Plan{Cluster: to.Stored}}
	for _, step := range []struct {
		point func(context.Context) error
		want  string
	}{{c.Settle, "198.51.100.100"}, {c.Settle, "198.51.100.100"}, {back.Settle, "198.51.100.100"}, {back.pointSchedules, "198.51.100.11"}} {
		if err := step.point(t.Context()); err != nil {
			t.Fatal(err)
		}
		have, err := backups.Backup().Get(t.Context(), to.Clients.Kube)
		if err != nil {
			t.Fatal(err)
		}
		was, now := cron.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Env, have.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Env
		if len(now) != len(was) || !slices.ContainsFunc(now, func(e corev1.EnvVar) bool { return e.Name == "KUBERNETES_SERVICE_HOST" && e.Value == step.want }) {
			t.Errorf("%+v, want %s", now, step.want)
		}
	}
	if err := ops.Abort(t.Context(), op.Name); err != nil {
		t.Fatal(err)
	}
	back, err = New(t.Context(), Options{To: to, Undo: true, DryRun: true})
	if err != nil || back.VirtualIP() != "198.51.100.100" || back.Plan.Cluster.Endpoint() != "198.51.100.11:6443" {
		t.Errorf("the way back: %+v %v", back, err)
	}
}

// TestOwnAccess: who would cut off the branch that he sits on is told so.
func TestOwnAccess(t *testing.T) {
	stored := convert.Wanted(single(), &v1alpha1.ConvertSpec{VirtualIP: "198.51.100.100"})
	for host, refused := range map[string]bool{"https://198.51.100.100:6443": true, "198.51.100.100:6443": true, "https://198.51.100.11:6443": false, "https://api.example": false} {
		for _, undo := range []bool{true, false} {
			c := &Conversion{o: Options{To: &operate.Connection{Config: &rest.Config{Host: host}, Stored: stored}, Undo: undo}, spec: v1alpha1.ConvertSpec{VirtualIP: "198.51.100.100", Back: undo},
				Plan: &operate.Plan{Cluster: single()}}
			if err := c.Check(); (err != nil) != (refused && undo) || err != nil && !strings.Contains(err.Error(), "https://198.51.100.11:6443") {
				t.Errorf("%s, undo %v: %v", host, undo, err)
			}
		}
	}
}

// TestFindings: what becomes of the endpoint of before is said for each kind of it.
func TestFindings(t *testing.T) {
	with := func(virtualIP, address string, more ...v1alpha1.Host) *v1alpha1.Cluster {
		c := single()
		c.Spec.VirtualIP, c.Spec.Endpoint.Address = virtualIP, address
		c.Spec.Hosts = append(c.Spec.Hosts, more...)
		return c
	}
	second := v1alpha1.Host{Name: "cp2", Address: "198.51.100.12", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}
	for name, tt := range map[string]struct {
		c    *v1alpha1.Cluster
		want []string
	}{
		"a node's":     {single(), []string{"as long as cp1 lives", "nowhere to go"}},
		"a name":       {with("", "api.example:6443", second), []string{"as long as others keep it"}},
		"localhost":    {with("", "localhost:6443", second), []string{"on the control planes"}},
		"a virtual IP": {with("198.51.100.77", "", second), []string{"as long as others keep it"}},
		"converted":    {convert.Wanted(single(), &v1alpha1.ConvertSpec{VirtualIP: "198.51.100.100"}), []string{"198.51.100.11:6443 go on working, for as long as cp1 lives", "nowhere to go"}},
	} {
		got := findings(tt.c, false)
		if len(got) != len(tt.want) {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		for i, f := range got {
			if !strings.Contains(f.Message, tt.want[i]) || f.Blocks {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if got := findings(tt.c, true); len(got) > 0 {
			t.Errorf("%s, back: %+v", name, got)
		}
	}
}

// TestWithControlPlanes: hosts come as control planes; one that is there is passed over.
func TestWithControlPlanes(t *testing.T) {
	stored := convert.Wanted(single(), &v1alpha1.ConvertSpec{VirtualIP: "198.51.100.100"})
	got, err := WithControlPlanes(stored, "root", []v1alpha1.Host{{Name: "cp1", Address: "198.51.100.11"}, {Name: "cp2", Address: "198.51.100.12"}})
	if err != nil || len(got.ControlPlanes()) != 2 || got.Spec.SSH.User != "root" || len(stored.ControlPlanes()) != 1 {
		t.Errorf("%v %+v", err, got)
	}
	for name, h := range map[string]v1alpha1.Host{"another address": {Name: "cp1", Address: "198.51.100.12"}, "a worker": {Name: "w1", Address: "198.51.100.21"},
		"the virtual IP": {Name: "cp2", Address: "198.51.100.100"}, "no address": {Name: "cp2", Address: "cp2"}, "no name": {Name: "CP_2", Address: "198.51.100.12"}} {
		if _, err := WithControlPlanes(stored, "", []v1alpha1.Host{h}); action.KindOf(err) != action.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
