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
	binding := func(namespace, name string) runtime.Object {
		return &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	}
	for _, tt := range []struct {
		name string
		have []runtime.Object
		want string
	}{
		{"none", nil, ""},
		{"empty", []runtime.Object{namespace}, ""},
		{"of an interrupted adoption", []runtime.Object{namespace, binding("ha-system", "ha-coordinator")}, ""},
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
