package adopt

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
)

func TestCheckNamespace(t *testing.T) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ha-system"}}
	binding := func(namespace, name string, to ...rbacv1.Subject) runtime.Object {
		return &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Subjects: to}
	}
	account := func(namespace, name string) rbacv1.Subject {
		return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
	}
	for _, tt := range []struct {
		name string
		have []runtime.Object
		want string
	}{
		{"none", nil, ""},
		{"empty", []runtime.Object{namespace}, ""},
		{"of an interrupted adoption", []runtime.Object{namespace, binding("ha-system", "ha-coordinator", account("ha-system", "ha-coordinator")), binding("ha-system", "ha-csr-approver", account("ha-system", "csr-approver"))}, ""},
		{"by a name of ours", []runtime.Object{namespace, binding("ha-system", "ha-csr-approver", rbacv1.Subject{Kind: rbacv1.UserKind, Name: "eve"})}, "(ha-csr-approver)"},
		{"of ours and more", []runtime.Object{namespace, binding("ha-system", "ha-csr-approver", account("ha-system", "csr-approver"), account("ha-system", "default"))}, "(ha-csr-approver)"},
		{"of another namespace's account", []runtime.Object{namespace, binding("ha-system", "ha-coordinator", account("default", "ha-coordinator"))}, "(ha-coordinator)"},
		{"with somebody's rights", []runtime.Object{namespace, binding("ha-system", "ha-coordinator"), binding("ha-system", "developers")}, "(developers)"},
		{"rights elsewhere", []runtime.Object{namespace, binding("default", "developers")}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := CheckNamespace(t.Context(), fake.NewClientset(tt.have...))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
