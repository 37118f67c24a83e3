package upgrade

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestBackups: the newest first, without those that failed or that their host no longer keeps.
func TestBackups(t *testing.T) {
	at := func(hours int) metav1.Time {
		return metav1.NewTime(time.Unix(0, 0).Add(time.Duration(hours) * time.Hour))
	}
	op := func(name string, hours int, keep int32, nodes ...string) v1alpha1.Operation {
		o := v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: at(hours)}, Spec: v1alpha1.OperationSpec{Upgrade: &v1alpha1.UpgradeSpec{KeepBackups: keep}}}
		end := at(hours)
		for _, n := range nodes {
			o.Status.Steps = append(o.Status.Steps, v1alpha1.StepStatus{ID: "backup/" + n, Node: n, State: v1alpha1.StepSucceeded, FinishedAt: &end, Message: "etcd and all"})
		}
		o.Status.Steps = append(o.Status.Steps, v1alpha1.StepStatus{ID: "backup/cp9", Node: "cp9", State: v1alpha1.StepFailed, FinishedAt: &end}, v1alpha1.StepStatus{ID: "kubelet/cp1", Node: "cp1", State: v1alpha1.StepSucceeded, FinishedAt: &end})
		return o
	}
	got := Backups([]v1alpha1.Operation{op("first", 1, 3, "cp1", "cp2"), op("second", 2, 3, "cp1", "cp2"), op("third", 3, 2, "cp1"), {ObjectMeta: metav1.ObjectMeta{Name: "join"}}})
	var names []string
	for _, b := range got {
		names = append(names, b.Name+"/"+b.Node)
	}
	if s := strings.Join(names, " "); s != "third/cp1 second/cp1 second/cp2 first/cp2" {
		t.Errorf("got %s", s)
	}
}
