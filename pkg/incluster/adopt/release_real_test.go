package adopt_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/adopt"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// TestRealRelease: all that an adoption brings into a cluster goes again, and nothing else does,
// against a real API server.
func TestRealRelease(t *testing.T) {
	s := kubetest.Start(t)
	s.StartControllerManager(t)
	clients, err := client.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "prod"}, Spec: v1alpha1.ClusterSpec{KubernetesVersion: "v1.36.3",
		Endpoint: v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: "api.example:6443"}, Network: v1alpha1.Network{Plugin: v1alpha1.NetworkPluginFlannel},
		Hosts: []v1alpha1.Host{{Name: "m1", Address: "192.0.2.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}}}}
	c.SetDefaults()
	// Others made flannel, and its namespace.
	if _, err := clients.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-flannel"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	installed, err := incluster.Install(ctx, s.Config, c)
	if err != nil {
		t.Fatal(err)
	}
	// A load balancer that was there marks kube-proxy.
	proxy := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kube-proxy", Annotations: map[string]string{"kubectl-ha.dev/endpoint": "https://192.0.2.100:8443", "example.com/x": "y"}}}
	if _, err := clients.Kube.CoreV1().ConfigMaps("kube-system").Create(ctx, proxy, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// What others have is not taken for ours, although it has names like ours or names our accounts.
	account := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "ha-system", Name: "ha-coordinator"}
	theirs := []*rbacv1.ClusterRoleBinding{
		{ObjectMeta: metav1.ObjectMeta{Name: "ha-proxy"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"}, Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: "eve"}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "auditors"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"}, Subjects: []rbacv1.Subject{account, {Kind: rbacv1.UserKind, Name: "eve"}}},
	}
	for _, b := range theirs {
		if _, err := clients.Kube.RbacV1().ClusterRoleBindings().Create(ctx, b, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "m1", Annotations: map[string]string{"kubectl-ha.dev/previous-version": "v1.35.4", "example.com/x": "y"}}}
	if _, err := clients.Kube.CoreV1().Nodes().Create(ctx, n, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	ops := operations.New(clients.Dynamic)
	if _, err := ops.Create(ctx, &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "upgrade-x"}, Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: &v1alpha1.UpgradeSpec{Version: "v1.36.3"}}}); err != nil {
		t.Fatal(err)
	}
	refused := func(c *v1alpha1.Cluster, want string) {
		t.Helper()
		var why *adopt.ReleaseError
		if err := adopt.Releasable(ctx, clients, c); !errors.As(err, &why) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	refused(c, "operation upgrade-x is not finished")
	if err := ops.Delete(ctx, "upgrade-x"); err != nil {
		t.Fatal(err)
	}
	ours, balanced := *c, *c
	ours.Spec.Endpoint = v1alpha1.Endpoint{}
	balanced.Spec.LoadBalancer.Enabled = true
	refused(&ours, "keeps its virtual IP")
	ours.Spec.Endpoint.Former = []v1alpha1.FormerEndpoint{{Address: "192.0.2.1:6443"}}
	refused(&ours, "convert --undo")
	refused(&balanced, "loadbalancer remove")
	if err := adopt.Releasable(ctx, clients, c); err != nil {
		t.Fatal(err)
	}

	objects, err := adopt.Objects(ctx, clients)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range objects {
		names = append(names, o.String())
	}
	for _, want := range []string{"customresourcedefinitions operations.kubectl-ha.dev", "clusterroles ha-coordinator", "clusterrolebindings ha-coordinator",
		"roles kube-system/ha-coordinator", "rolebindings default/ha-coordinator", "validatingadmissionpolicies ha-coordinator", "namespaces ha-system"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s does not go: %v", want, names)
		}
	}
	// Whatever the adoption applied goes, or is in the namespace that does.
	for _, i := range installed {
		resource, _ := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Kind: i.Kind})
		if want := resource.Resource + strings.TrimPrefix(i.String(), i.Kind); i.Namespace != "ha-system" && !slices.Contains(names, want) {
			t.Errorf("%s was applied, and does not go: %v", want, names)
		}
	}
	if last := names[len(names)-1]; last != "namespaces ha-system" {
		t.Errorf("the last is %s; the document is in the namespace", last)
	}
	if err := adopt.Quiet(ctx, clients); err != nil {
		t.Fatal(err)
	}
	if err := adopt.Unmark(ctx, clients); err != nil {
		t.Fatal(err)
	}
	for range 2 { // Again, as after an interruption.
		for _, o := range objects {
			if err := adopt.Remove(ctx, clients, o); err != nil {
				t.Fatal(err)
			}
		}
	}
	left, err := adopt.Objects(ctx, clients)
	if err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	for _, b := range theirs {
		if _, err := clients.Kube.RbacV1().ClusterRoleBindings().Get(ctx, b.Name, metav1.GetOptions{}); err != nil {
			t.Errorf("what others made is gone: %v", err)
		}
	}
	if _, err := clients.Kube.RbacV1().ClusterRoles().Get(ctx, "view", metav1.GetOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Error(err)
	}
	after, err := clients.Kube.CoreV1().Nodes().Get(ctx, "m1", metav1.GetOptions{})
	if err != nil || len(after.Annotations) != 1 || after.Annotations["example.com/x"] != "y" {
		t.Errorf("annotations: %v, %v", after.Annotations, err)
	}
	proxy, err = clients.Kube.CoreV1().ConfigMaps("kube-system").Get(ctx, "kube-proxy", metav1.GetOptions{})
	if err != nil || len(proxy.Annotations) != 1 || proxy.Annotations["example.com/x"] != "y" {
		t.Errorf("kube-proxy's annotations: %v, %v", proxy.Annotations, err)
	}
	if _, err := clients.Kube.CoreV1().Namespaces().Get(ctx, "kube-flannel", metav1.GetOptions{}); err != nil {
		t.Errorf("what others made is gone: %v", err)
	}
}
