package job

import (
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestJudge(t *testing.T) {
	pods := func(phase corev1.PodPhase, s *corev1.ContainerState) *corev1.PodList {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: corev1.PodStatus{Phase: phase}}
		if s != nil {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: *s}}
		}
		return &corev1.PodList{Items: []corev1.Pod{p}}
	}
	waiting := func(reason string) *corev1.ContainerState {
		return &corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	ended := func(code int32, reason, message string) *corev1.ContainerState {
		return &corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}}
	}
	goesOn := &batchv1.Job{}
	isOver := func(kind batchv1.JobConditionType) *batchv1.Job {
		return &batchv1.Job{Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: kind, Status: corev1.ConditionTrue, Reason: "Why"}}}}
	}
	isLate := isOver(batchv1.JobFailed)
	isLate.Status.Conditions[0].Reason = batchv1.JobReasonDeadlineExceeded
	for name, c := range map[string]struct {
		pods                     *corev1.PodList
		job                      *batchv1.Job
		started, ended, no, lost bool
		killed, late             bool
		seen                     string
	}{
		"no pod yet":             {pods: &corev1.PodList{}, job: goesOn, seen: "no pod yet"},
		"no pod any more":        {pods: &corev1.PodList{}, job: isOver(batchv1.JobFailed), lost: true, seen: "Failed, Why"},
		"creating":               {pods: pods(corev1.PodPending, waiting("ContainerCreating")), job: goesOn, seen: "ContainerCreating"},
		"no image":               {pods: pods(corev1.PodPending, waiting("ErrImageNeverPull")), job: goesOn, no: true, seen: "ErrImageNeverPull"},
		"running":                {pods: pods(corev1.PodRunning, &corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}), job: goesOn, started: true, seen: "runs"},
		"done":                   {pods: pods(corev1.PodSucceeded, ended(0, "Completed", "{}")), job: goesOn, started: true, ended: true, seen: "ended with 0"},
		"done, job as well":      {pods: pods(corev1.PodSucceeded, ended(0, "Completed", "{}")), job: isOver(batchv1.JobComplete), started: true, ended: true},
		"crashed":                {pods: pods(corev1.PodFailed, ended(2, "Error", "")), job: goesOn, started: true, ended: true, seen: "ended with 2"},
		"forgotten by a kubelet": {pods: pods(corev1.PodFailed, ended(137, "ContainerStatusUnknown", "")), job: goesOn, started: true, killed: true},
		"forgotten, job over":    {pods: pods(corev1.PodFailed, ended(137, "ContainerStatusUnknown", "")), job: isOver(batchv1.JobFailureTarget), started: true, killed: true, lost: true},
		"killed":                 {pods: pods(corev1.PodFailed, ended(137, "Error", "")), job: goesOn, started: true, ended: true, killed: true},
		"deadline":               {pods: pods(corev1.PodRunning, &corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}), job: isLate, started: true, late: true},
	} {
		t.Run(name, func(t *testing.T) {
			v := judge(c.pods, c.job)
			if v.started != c.started || v.ended != c.ended || (v.cantStart != "") != c.no || v.lost != c.lost || v.killed != c.killed || v.late != c.late {
				t.Errorf("got %+v", v)
			}
			if !strings.Contains(v.seen, c.seen) {
				t.Errorf("seen is %q, want %q in it", v.seen, c.seen)
			}
		})
	}
}
