package ready

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// differs tells whether what is said is not what was expected: nothing, or something about it.
func differs(got, want string) bool {
	return (got == "") != (want == "") || !strings.Contains(got, want)
}

func TestNode(t *testing.T) {
	now := time.Now()
	node := func(s corev1.ConditionStatus) corev1.Node {
		return corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse}, {Type: corev1.NodeReady, Status: s, Reason: "Why"}}}}
	}
	lease := func(age time.Duration) *coordinationv1.Lease {
		at := metav1.NewMicroTime(now.Add(-age))
		return &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{RenewTime: &at}}
	}
	for name, c := range map[string]struct {
		n       corev1.Node
		l       *coordinationv1.Lease
		want    string
		silent  string
		reports bool
	}{
		"ready":               {node(corev1.ConditionTrue), lease(time.Second), "", "", true},
		"a clock that is off": {node(corev1.ConditionTrue), lease(-time.Minute), "", "", true},
		"not ready":           {node(corev1.ConditionFalse), lease(time.Second), "Why", "", true},
		"unknown":             {node(corev1.ConditionUnknown), lease(time.Second), "Why", "not been heard of since", false},
		"no condition":        {corev1.Node{}, lease(time.Second), "no Ready condition", "", false},
		"no lease":            {node(corev1.ConditionTrue), nil, "no lease", "", true},
		"never renewed":       {node(corev1.ConditionTrue), &coordinationv1.Lease{}, "no lease", "", true},
		"just in time":        {node(corev1.ConditionTrue), lease(LeaseDuration), "", "", true},
		"just died":           {node(corev1.ConditionTrue), lease(time.Minute), "last heard of", "", true},
	} {
		if got := Node(&c.n, c.l, now); differs(got, c.want) {
			t.Errorf("%s: got %q", name, got)
		}
		if got := Silent(&c.n); differs(got, c.silent) {
			t.Errorf("%s: silent is %q", name, got)
		}
		if got := Reports(&c.n); got != c.reports {
			t.Errorf("%s: reports is %v", name, got)
		}
	}
	n := corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodePIDPressure, Status: corev1.ConditionTrue},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse}, {Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}
	if got := Pressures(&n); len(got) != 1 || got[0].Type != corev1.NodePIDPressure {
		t.Errorf("pressures are %v", got)
	}
}

func TestPod(t *testing.T) {
	pod := func(kind corev1.PodConditionType, s corev1.ConditionStatus) *corev1.Pod {
		return &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: kind, Status: s}}}}
	}
	going := pod(corev1.PodReady, corev1.ConditionTrue)
	going.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	for name, c := range map[string]struct {
		pod  *corev1.Pod
		want bool
	}{
		"ready": {pod(corev1.PodReady, corev1.ConditionTrue), true}, "not ready": {pod(corev1.PodReady, corev1.ConditionFalse), false},
		"lost": {pod(corev1.PodReady, corev1.ConditionUnknown), false}, "new": {&corev1.Pod{}, false}, "going": {going, false},
		"only its containers are": {pod(corev1.ContainersReady, corev1.ConditionTrue), false},
	} {
		if got := Pod(c.pod); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestDeployment(t *testing.T) {
	three, deadline := int32(3), int32(600)
	for name, c := range map[string]struct {
		change func(*appsv1.Deployment)
		want   string
	}{
		"done":                {func(*appsv1.Deployment) {}, ""},
		"new":                 {func(d *appsv1.Deployment) { d.Status = appsv1.DeploymentStatus{} }, "not seen it yet"},
		"just changed":        {func(d *appsv1.Deployment) { d.Generation = 3 }, "generation is 3"},
		"waits for one":       {func(d *appsv1.Deployment) { d.Status.AvailableReplicas = 2 }, "Available: 2/3"},
		"waits for a new one": {func(d *appsv1.Deployment) { d.Status.UpdatedReplicas = 2 }, "Updated: 2/3"},
		"an old one is there": {func(d *appsv1.Deployment) { d.Status.Replicas = 4 }, "Pending termination: 1"},
		"not available":       {func(d *appsv1.Deployment) { d.Status.Conditions[0].Status = corev1.ConditionFalse }, "not Available"},
		"on its way out":      {func(d *appsv1.Deployment) { d.DeletionTimestamp = &metav1.Time{Time: time.Now()} }, "being removed"},
		"it takes too long": {func(d *appsv1.Deployment) {
			d.Status.Conditions[1] = appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded", Message: "it has timed out"}
		}, "Progress deadline exceeded: it has timed out"},
	} {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: appsv1.DeploymentSpec{Replicas: &three, ProgressDeadlineSeconds: &deadline},
			Status: appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 3, AvailableReplicas: 3, ReadyReplicas: 3, Conditions: []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}, {Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"}}}}
		c.change(d)
		if got := Deployment(d); differs(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestDaemonSet(t *testing.T) {
	for name, c := range map[string]struct {
		status appsv1.DaemonSetStatus
		want   string
	}{
		"done":               {appsv1.DaemonSetStatus{ObservedGeneration: 2, CurrentNumberScheduled: 3, UpdatedNumberScheduled: 3, DesiredNumberScheduled: 3, NumberAvailable: 3, NumberReady: 3}, ""},
		"for no node":        {appsv1.DaemonSetStatus{ObservedGeneration: 2}, ""},
		"just changed":       {appsv1.DaemonSetStatus{ObservedGeneration: 1, CurrentNumberScheduled: 3, UpdatedNumberScheduled: 3, DesiredNumberScheduled: 3, NumberAvailable: 3, NumberReady: 3}, "generation is 2"},
		"under way":          {appsv1.DaemonSetStatus{ObservedGeneration: 2, CurrentNumberScheduled: 3, UpdatedNumberScheduled: 1, DesiredNumberScheduled: 3, NumberAvailable: 2}, "Updated: 1/3"},
		"a node went away":   {appsv1.DaemonSetStatus{ObservedGeneration: 2, CurrentNumberScheduled: 3, UpdatedNumberScheduled: 3, DesiredNumberScheduled: 3, NumberAvailable: 2}, "Available: 2/3"},
		"nobody has one yet": {appsv1.DaemonSetStatus{}, "not seen it yet"},
	} {
		if got := DaemonSet(&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Status: c.status}); differs(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
