package loadbalancer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/document"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/balancer"
)

func testCluster(uses ...v1alpha1.LoadBalancerUse) *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{VirtualIP: "10.0.0.100", APIServerPort: 6443, Hosts: []v1alpha1.Host{
		{Name: "cp1", Address: "10.0.0.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}},
		{Name: "cp2", Address: "10.0.0.2", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}},
		{Name: "w1", Address: "10.0.0.21", Roles: []v1alpha1.Role{v1alpha1.RoleWorker}},
	}}}
	c.SetDefaults()
	c.Spec.LoadBalancer.Enabled, c.Spec.LoadBalancer.UseFor = len(uses) > 0, uses
	return c
}

func testOperation(port int32, uses ...v1alpha1.LoadBalancerUse) *v1alpha1.Operation {
	return &v1alpha1.Operation{Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationLoadBalancer,
		LoadBalancer: &v1alpha1.LoadBalancerSpec{Type: "haproxy", Port: port, Image: "haproxy:1", UseFor: uses}}}
}

func ids(steps []v1alpha1.StepStatus) string {
	var out []string
	for _, s := range steps {
		out = append(out, s.ID)
	}
	return strings.Join(out, " ")
}

// TestPlan: kubelets are touched only where they use the load balancer, or used it; each
// step comes after those before it.
func TestPlan(t *testing.T) {
	const ready = "names/cp1 names/cp2 agent/cp1 agent/cp2 apply ready "
	const up = ready + "record kube-proxy cluster-info"
	for name, tc := range map[string]struct {
		c    *v1alpha1.Cluster
		op   *v1alpha1.Operation
		want string
	}{
		"first":                {testCluster(), testOperation(8443), up},
		"kubelets":             {testCluster(), testOperation(8443, v1alpha1.UseForKubelets), up + " kubelet/w1 kubelets-heard"},
		"kubelets not anymore": {testCluster(v1alpha1.UseForKubelets), testOperation(8443), ready + "note kube-proxy cluster-info kubelet/w1 kubelets-heard record"},
	} {
		t.Run(name, func(t *testing.T) {
			steps, err := Plan(tc.op, tc.c)
			if err != nil || ids(steps) != tc.want {
				t.Fatalf("%v: %s instead of %s", err, ids(steps), tc.want)
			}
			for i, s := range steps {
				if i > 0 && len(s.After) == 0 || Definition().Steps[strings.Split(s.ID, "/")[0]] == nil {
					t.Errorf("%+v", s)
				}
			}
		})
	}
	if _, err := Plan(testOperation(9443), testCluster(v1alpha1.UseForKubeProxy)); !errors.Is(err, ErrPort) {
		t.Errorf("another port while it is used: %v", err)
	}
	if _, err := Plan(testOperation(9443), Wanted(testCluster(), testOperation(8443).Spec.LoadBalancer)); err != nil {
		t.Errorf("another port while nobody uses it: %v", err)
	}
	if _, err := Plan(testOperation(6443), testCluster()); err == nil {
		t.Error("the apiservers' own port was accepted")
	}
	if got := ids(PlanRemove(testCluster(v1alpha1.UseForKubelets))); got != "kube-proxy cluster-info kubelet/w1 kubelets-heard record delete" {
		t.Error(got)
	}
	if got := ids(PlanRemove(testCluster())); got != "kube-proxy cluster-info record delete" {
		t.Error(got)
	}
}

// TestNoteKeepsUsers: while kubelets are pointed elsewhere the document goes on to name
// them, so that a removal in between points them away too; at the end it does not.
func TestNoteKeepsUsers(t *testing.T) {
	turn := engine.Turn{}
	turn.Cluster = testCluster(v1alpha1.UseForKubelets, v1alpha1.UseForKubeProxy)
	turn.Operation = testOperation(8443, v1alpha1.UseForKubeProxy)
	turn.Cluster.APIVersion, turn.Cluster.Kind, turn.Cluster.Metadata.Name = v1alpha1.APIVersion, v1alpha1.ClusterKind, "c"
	text, err := v1alpha1.Marshal(turn.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	kube := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.SystemNamespace, Name: v1alpha1.ClusterConfigMap},
		Data: map[string]string{v1alpha1.ClusterConfigMapKey: string(text)}})
	turn.Clients = &client.Clients{Kube: kube}
	for _, x := range []struct {
		do   func(context.Context, engine.Turn) (engine.Outcome, error)
		want string
	}{{note, "kube-proxy, kubelets"}, {record, "kube-proxy"}} {
		if _, err := x.do(t.Context(), turn); err != nil {
			t.Fatal(err)
		}
		stored, err := document.Read(t.Context(), kube)
		if err != nil {
			t.Fatal(err)
		}
		if got := uses(stored.Spec.LoadBalancer.UseFor); got != x.want || !stored.Spec.LoadBalancer.Enabled {
			t.Errorf("the document has %q instead of %q", got, x.want)
		}
		if removal := ids(PlanRemove(stored)); strings.Contains(removal, "kubelet/w1") != strings.Contains(x.want, "kubelets") {
			t.Errorf("a removal would be %s", removal)
		}
	}
}

// TestObjects: the pods get settings that they can read; a control plane that comes does
// not roll them, another image or port does.
func TestObjects(t *testing.T) {
	annotation := func(c *v1alpha1.Cluster, op *v1alpha1.Operation, agent string) string {
		t.Helper()
		objects, err := Objects(c, op.Spec.LoadBalancer, agent)
		if err != nil {
			t.Fatal(err)
		}
		out := ""
		for _, u := range objects {
			switch u.GetKind() {
			case "DaemonSet":
				ds := &appsv1.DaemonSet{}
				if err := apply.Typed(u, ds); err != nil {
					t.Fatal(err)
				}
				if ds.Spec.Template.Spec.Containers[0].Image != op.Spec.LoadBalancer.Image {
					t.Error(ds.Spec.Template.Spec.Containers[0].Image)
				}
				out = ds.Spec.Template.Annotations[annotationSettings]
			case "ConfigMap":
				m := &corev1.ConfigMap{}
				if err := apply.Typed(u, m); err != nil {
					t.Fatal(err)
				}
				s, err := balancer.ParseSettings([]byte(m.Data[settingsKey]))
				if err != nil || len(s.Backends) != len(c.ControlPlanes()) {
					t.Errorf("%+v %v", s, err)
				}
			}
		}
		return out
	}
	base := annotation(testCluster(), testOperation(8443), "agent:1")
	more := testCluster()
	more.Spec.Hosts = append(slices.Clone(more.Spec.Hosts), v1alpha1.Host{Name: "cp3", Address: "10.0.0.3", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}})
	if annotation(more, testOperation(8443), "agent:1") != base {
		t.Error("another control plane rolls the pods")
	}
	if annotation(testCluster(), testOperation(8444), "agent:1") == base || annotation(testCluster(), testOperation(8443), "agent:2") == base {
		t.Error("another port or agent does not roll the pods")
	}
}

func TestUncovered(t *testing.T) {
	pod := func(node string, ready corev1.ConditionStatus) corev1.Pod {
		return corev1.Pod{Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}
	}
	crashed := pod("cp2", corev1.ConditionFalse)
	crashed.Status.ContainerStatuses = []corev1.ContainerStatus{{LastTerminationState: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "port 8443 is in use\n"}}}}
	for name, tc := range map[string]struct {
		pods []corev1.Pod
		want string
	}{
		"all":      {[]corev1.Pod{pod("cp1", corev1.ConditionTrue), pod("cp2", corev1.ConditionTrue)}, ""},
		"missing":  {[]corev1.Pod{pod("cp1", corev1.ConditionTrue)}, "cp2: there is no pod yet"},
		"crashed":  {[]corev1.Pod{pod("cp1", corev1.ConditionTrue), crashed}, "cp2: port 8443 is in use"},
		"too many": {[]corev1.Pod{pod("cp1", corev1.ConditionTrue), pod("cp2", corev1.ConditionTrue), pod("cp3", corev1.ConditionTrue)}, "cp3: it still has one"},
	} {
		if got := uncovered(tc.pods, []string{"cp1", "cp2"}); got != tc.want {
			t.Errorf("%s: %q instead of %q", name, got, tc.want)
		}
	}
}
