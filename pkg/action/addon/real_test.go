package addon

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// TestPlansOfARealCluster plans against a real API server, on which two addons are written down.
func TestPlansOfARealCluster(t *testing.T) {
	s := kubetest.Start(t)
	c, err := client.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	install1 := InstallOptions{Config: s.Config, Names: []string{"metrics-server"}}
	if _, err := PlanInstall(ctx, install1); action.KindOf(err) != action.Invalid {
		t.Errorf("without a Cluster document: %v (%s)", err, action.KindOf(err))
	}
	put := func(name string, labels, data map[string]string) {
		t.Helper()
		if _, err := c.Kube.CoreV1().ConfigMaps(v1alpha1.SystemNamespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Data: data}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SystemNamespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	storeDocument(t, put)
	for _, inv := range []install.Inventory{{Name: "mine", Version: "v1", State: install.Installed}, {Name: "mines-need", Version: "v1", For: "mine", State: install.Installing}} {
		text, err := json.Marshal(inv)
		if err != nil {
			t.Fatal(err)
		}
		put("addon-"+inv.Name, map[string]string{"app.kubernetes.io/component": "addon"}, map[string]string{"inventory.json": string(text)})
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "cp1", Labels: map[string]string{"node-role.kubernetes.io/control-plane": ""}}}
	if _, err := c.Kube.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	if _, err := c.Kube.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}

	p, err := PlanInstall(ctx, install1)
	if err != nil || len(p.Steps) == 0 || p.Cluster.Metadata.Name != "demo" {
		t.Errorf("got %+v, %v", p, err)
	}
	if objects, err := Manifests(ctx, install1); err != nil || len(objects) == 0 {
		t.Errorf("%d objects, %v", len(objects), err)
	}
	u, err := PlanUninstall(ctx, UninstallOptions{Config: s.Config, Names: []string{"mine", "nothing"}})
	if err != nil || !slices.Equal(u.Absent, []string{"nothing"}) || !slices.Contains(u.Going, "mine") || !slices.Contains(u.Going, "mines-need") || len(u.Steps) == 0 {
		t.Errorf("got %+v, %v", u, err)
	}
	if u, err := PlanUninstall(ctx, UninstallOptions{Config: s.Config, Names: []string{"nothing"}}); err != nil || len(u.Going)+len(u.Steps) != 0 {
		t.Errorf("got %+v, %v", u, err)
	}
	states, err := Status(ctx, s.Config, nil)
	if unwell := Unwell(states); err != nil || len(states) != 2 || unwell == nil || !strings.HasSuffix(unwell.Error(), "mines-need") {
		t.Errorf("got %+v, %v, %v", states, err, unwell)
	}
	if _, err := Status(ctx, s.Config, []string{"nothing"}); action.KindOf(err) != action.Invalid {
		t.Errorf("got %v", err)
	}
	if _, err := FindDashboard(ctx, s.Config); action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "dashboard install") {
		t.Errorf("got %v", err)
	}
	if list, unknown, err := List(ctx, s.Config); err != nil || unknown != nil || list[len(list)-1].Description != "your own" {
		t.Errorf("got %+v, %v, %v", list, unknown, err)
	}
}

// storeDocument stores a Cluster document.
func storeDocument(t *testing.T, put func(name string, labels, data map[string]string)) {
	t.Helper()
	cluster := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "demo"}}
	cluster.Spec.VirtualIP, cluster.Spec.KubernetesVersion = "192.0.2.100", v1alpha1.DefaultKubernetesVersion
	cluster.Spec.Hosts = []v1alpha1.Host{{Name: "cp1", Address: "192.0.2.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}}
	cluster.SetDefaults()
	text, err := v1alpha1.Marshal(cluster)
	if err != nil {
		t.Fatal(err)
	}
	put(v1alpha1.ClusterConfigMap, nil, map[string]string{v1alpha1.ClusterConfigMapKey: string(text)})
}
