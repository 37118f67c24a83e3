package ready

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// Object says what an object waits for, by kstatus's rules for its group and kind; those that
// kstatus has no rules for go by their generation and their conditions Ready, Reconciling and
// Stalled, where they have these.
//
// A StatefulSet with the update strategy OnDelete waits for nothing: a person replaces its pods.
func Object(u *unstructured.Unstructured) string {
	if group := u.GroupVersionKind().Group; group == appsv1.GroupName && u.GetDeletionTimestamp() == nil {
		// kstatus takes no generation for the right one; each of these kinds' controllers sets it.
		if _, seen, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration"); err == nil && !seen {
			return "its controller has not seen it yet"
		}
	}
	r, err := status.Compute(u)
	switch {
	case err != nil:
		return "its status can't be read: " + err.Error()
	case r.Status == status.CurrentStatus:
		return ""
	case r.Status == status.TerminatingStatus:
		return "it is being removed"
	}
	out := []string{r.Message}
	for _, c := range r.Conditions {
		// What the controller said, where kstatus has only its reason.
		if c.Type == status.ConditionStalled && c.Message != "" && c.Message != r.Message {
			out = append(out, c.Message)
		}
	}
	return strings.Join(out, ": ")
}

// DaemonSet says what a roll-out waits for: every wanted pod is of the newest kind and available.
func DaemonSet(ds *appsv1.DaemonSet) string { return workload("DaemonSet", ds) }

// Deployment says what a roll-out waits for: as many pods as are wanted, all of the newest kind
// and available, and no others.
func Deployment(d *appsv1.Deployment) string { return workload("Deployment", d) }

// workload is Object of what a typed client returned, which tells no kind.
func workload(kind string, obj runtime.Object) string {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return "it can't be read: " + err.Error()
	}
	u := &unstructured.Unstructured{Object: m}
	u.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind(kind))
	return Object(u)
}
