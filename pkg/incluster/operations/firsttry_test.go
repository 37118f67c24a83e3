package operations

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

func TestFirstTries(t *testing.T) {
	upgrade := func(name string, phase v1alpha1.OperationPhase) v1alpha1.Operation {
		return v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.OperationSpec{Upgrade: &v1alpha1.UpgradeSpec{}}, Status: v1alpha1.OperationStatus{Phase: phase}}
	}
	etcd := func(name string, phase v1alpha1.OperationPhase) v1alpha1.Operation {
		return v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.OperationSpec{Etcd: &v1alpha1.EtcdSpec{}}, Status: v1alpha1.OperationStatus{Phase: phase}}
	}
	other := v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "join"}, Spec: v1alpha1.OperationSpec{Join: &v1alpha1.JoinSpec{}}, Status: v1alpha1.OperationStatus{Phase: v1alpha1.OperationFailed}}
	for name, c := range map[string]struct {
		all  []v1alpha1.Operation
		want string
	}{
		"none":                   {nil, ""},
		"the one that runs":      {[]v1alpha1.Operation{other, upgrade("a", v1alpha1.OperationRunning)}, "a"},
		"tries":                  {[]v1alpha1.Operation{upgrade("a", v1alpha1.OperationFailed), other, upgrade("b", v1alpha1.OperationAborted), upgrade("c", "")}, "a"},
		"after one that went on": {[]v1alpha1.Operation{upgrade("a", v1alpha1.OperationFailed), upgrade("b", v1alpha1.OperationSucceeded), upgrade("c", v1alpha1.OperationFailed), upgrade("d", v1alpha1.OperationRunning)}, "c"},
		"of each kind":           {[]v1alpha1.Operation{upgrade("a", v1alpha1.OperationFailed), etcd("b", v1alpha1.OperationFailed), etcd("c", v1alpha1.OperationRunning)}, "a b"},
		"of the other kind":      {[]v1alpha1.Operation{upgrade("a", v1alpha1.OperationFailed), etcd("b", v1alpha1.OperationSucceeded)}, "a"},
		"all went through":       {[]v1alpha1.Operation{upgrade("a", v1alpha1.OperationSucceeded)}, ""},
	} {
		if got := strings.Join(FirstTries(c.all), " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
