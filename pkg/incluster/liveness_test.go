package incluster

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPodStates(t *testing.T) {
	pod := func(node string, phase corev1.PodPhase, s corev1.ContainerState) corev1.Pod {
		return corev1.Pod{Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: phase, ContainerStatuses: []corev1.ContainerStatus{{State: s}}}}
	}
	runs := func(node string) corev1.Pod {
		return pod(node, corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})
	}
	noImage := pod("w1", corev1.PodPending, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImageNeverPull"}})
	crashed := pod("w2", corev1.PodRunning, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2}})
	done := pod("w2", corev1.PodSucceeded, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}})
	lost := runs("w3")
	lost.DeletionTimestamp = &metav1.Time{}
	fresh := corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending}}
	nowhere := fresh
	nowhere.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available"}}
	for name, c := range map[string]struct {
		pods []corev1.Pod
		want string
	}{
		"none":                   {nil, "its job has no pod"},
		"both run":               {[]corev1.Pod{runs("w2"), runs("w1")}, "on w1: Running; on w2: Running"},
		"a standby without node": {[]corev1.Pod{runs("w1"), nowhere}, "on w1: Running"},
		"no node for either":     {[]corev1.Pod{nowhere, nowhere}, "Unschedulable, 0/1 nodes are available"},
		"not scheduled yet":      {[]corev1.Pod{fresh, lost}, "not scheduled yet"},
		"lost, replaced":         {[]corev1.Pod{lost, runs("w1")}, "on w1: Running"},
		"lost":                   {[]corev1.Pod{lost}, "on w3: Running, being removed"},
		"neither can start":      {[]corev1.Pod{noImage, crashed}, "on w2: it ended with 2; the agent image is not in the image store of w1; kubectl ha bootstrap puts it there, or in a cluster that was adopted kubectl ha adopt --ssh"},
		"ended":                  {[]corev1.Pod{done}, "on w2: it ended with 0"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := podStates(c.pods); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
