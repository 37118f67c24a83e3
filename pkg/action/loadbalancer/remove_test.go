package loadbalancer

import (
	"errors"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// TestOwnAccess: who would cut off the branch that he sits on is told so.
func TestOwnAccess(t *testing.T) {
	c := &v1alpha1.Cluster{}
	c.SetDefaults()
	for host, refused := range map[string]bool{
		"https://192.0.2.10:8443": true, "https://[2001:db8::1]:8443": true, "192.0.2.10:8443": true, "https://192.0.2.10:8443/": true,
		"https://192.0.2.10:6443": false, "https://api.example": false, "https://api.example/path:8443": false,
	} {
		r := &Removal{o: RemoveOptions{To: &operate.Connection{Config: &rest.Config{Host: host}, Stored: c}}, Plan: &operate.Plan{Cluster: c}}
		err := r.Check()
		if (err != nil) != refused || refused && action.KindOf(err) != action.Invalid {
			t.Errorf("%s: %v", host, err)
		}
		if !refused {
			continue
		}
		if begun, err := r.Begin(t.Context(), report.Discard()); begun != nil || err == nil {
			t.Errorf("%s: it is begun", host)
		}
	}
}

// TestInACluster is about a cluster of a real API server, with one control plane and a worker.
func TestInACluster(t *testing.T) {
	s := kubetest.Start(t)
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "test"}, Spec: v1alpha1.ClusterSpec{KubernetesVersion: "v1.36.3", VirtualIP: "198.51.100.100",
		Hosts: []v1alpha1.Host{{Name: "cp1", Address: "198.51.100.11", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}, {Name: "w1", Address: "198.51.100.21"}}}}
	c.SetDefaults()
	if _, err := incluster.Install(t.Context(), s.Config, c); err != nil {
		t.Fatal(err)
	}
	kube, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	for name, labels := range map[string]map[string]string{"cp1": {controlPlaneLabel: ""}, "w1": nil} {
		if _, err := kube.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	to, err := operate.Connect(t.Context(), s.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("install", func(t *testing.T) { install(t, to, kube) })
	t.Run("remove", func(t *testing.T) { remove(t, to, kube) })
	t.Run("beside another", func(t *testing.T) { beside(t, to) })
}

// install brings the image first where control planes lack it, and only there.
func install(t *testing.T, to *operate.Connection, kube kubernetes.Interface) {
	i, err := PlanInstall(t.Context(), InstallOptions{To: to, Type: "nginx"})
	if err != nil {
		t.Fatal(err)
	}
	if lb := i.Plan.Cluster.Spec.LoadBalancer; lb.Type != "nginx" || !lb.Enabled || to.Stored.Spec.LoadBalancer.Enabled {
		t.Errorf("the cluster will have %+v", lb)
	}
	first := i.Plan.Steps[0]
	if first.ID != "image" || first.Title != "bring "+i.Spec.Image+" to cp1" {
		t.Errorf("the first step is %+v", first)
	}
	n, err := kube.CoreV1().Nodes().Get(t.Context(), "cp1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.Status.Images = []corev1.ContainerImage{{Names: []string{i.Spec.Image}}}
	if _, err := kube.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if i, err = PlanInstall(t.Context(), InstallOptions{To: to, Type: "nginx"}); err != nil || i.Plan.Steps[0].ID == "image" {
		t.Errorf("the image is there, and yet: %v, %+v", err, i.Plan.Steps[0])
	}
	if _, err := PlanInstall(t.Context(), InstallOptions{To: to, Port: to.Stored.Spec.APIServerPort}); action.KindOf(err) != action.Invalid {
		t.Errorf("the apiservers' own port: %v", err)
	}
	objects, spec, err := InstallManifests(t.Context(), InstallOptions{To: to, Type: "nginx"})
	if err != nil || len(objects) != 2 || spec.Image != i.Spec.Image || objects[0].GetName() != "loadbalancer-nginx" {
		t.Errorf("%v, %+v, %v", objects, spec, err)
	}
}

// remove has nothing to do without one; one whose installation has not ended can be removed.
func remove(t *testing.T, to *operate.Connection, kube kubernetes.Interface) {
	r, err := PlanRemove(t.Context(), RemoveOptions{To: to})
	if err != nil || r.Plan != nil {
		t.Fatalf("there is none: %+v, %v", r, err)
	}
	if begun, err := r.Begin(t.Context(), report.Discard()); begun != nil || action.KindOf(err) != action.Invalid {
		t.Errorf("none is removed: %+v, %v", begun, err)
	}
	labels := map[string]string{"app": "x"}
	if _, err := kube.AppsV1().DaemonSets(v1alpha1.SystemNamespace).Create(t.Context(), &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: loadbalancer.Name},
		Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "balancer", Image: "x"}}}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if r, err = PlanRemove(t.Context(), RemoveOptions{To: to}); err != nil || r.Plan == nil || len(r.Plan.Steps) == 0 || r.Endpoint != "198.51.100.100:8443" {
		t.Errorf("%+v, %v", r, err)
	}
	objects, err := RemoveManifests(t.Context(), RemoveOptions{To: to})
	if err != nil || len(objects) != 2 {
		t.Fatalf("%v, %v", objects, err)
	}
	for _, o := range objects {
		if bad := validation.IsDNS1123Subdomain(o.GetName()); len(bad) > 0 {
			t.Errorf("%s: %v", o.GetName(), bad)
		}
	}
}

// beside another Operation nothing is planned, unless only to be looked at.
func beside(t *testing.T, to *operate.Connection) {
	if err := to.RefuseOther(t.Context()); err != nil {
		t.Fatalf("so far there is none: %v", err)
	}
	ops, err := incluster.NewOperations(to.Config, v1alpha1.Agents{{Image: "agent:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ops.Create(t.Context(), v1alpha1.OperationSpec{Type: v1alpha1.OperationAddNode, AddNode: &v1alpha1.AddNodeSpec{Nodes: []string{"w1"}}}); err != nil {
		t.Fatal(err)
	}
	var busy *operations.BusyError
	if _, err := PlanInstall(t.Context(), InstallOptions{To: to}); !errors.As(err, &busy) {
		t.Errorf("install: %v", err)
	}
	if _, err := PlanRemove(t.Context(), RemoveOptions{To: to}); !errors.As(err, &busy) {
		t.Errorf("remove: %v", err)
	}
	if _, err := PlanInstall(t.Context(), InstallOptions{To: to, DryRun: true}); err != nil {
		t.Errorf("a dry run of install: %v", err)
	}
	if _, err := PlanRemove(t.Context(), RemoveOptions{To: to, DryRun: true}); err != nil {
		t.Errorf("a dry run of remove: %v", err)
	}
}
