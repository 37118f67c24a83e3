package schedule

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const day = 24 * time.Hour

// TestState: how runs ended is told by the last one that did, with its own words.
func TestState(t *testing.T) {
	kind := Kind{Name: "work", DefaultCron: "37 3 * * *", What: "scheduled work", Late: "the scheduled work has not run as it should", Missed: 2, SetUp: "do it", TakeAway: "leave it"}
	now := time.Now().Truncate(time.Second)
	at := func(ago time.Duration) metav1.Time { return metav1.NewTime(now.Add(-ago)) }
	run := func(name string, ago time.Duration, condition batchv1.JobConditionType, message string) batchv1.Job {
		j := batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: at(ago)}}
		if condition != "" {
			j.Status.Conditions = []batchv1.JobCondition{{Type: condition, Status: corev1.ConditionTrue, Message: message}}
		}
		return j
	}
	pod := func(job string, ago time.Duration, state corev1.ContainerState) corev1.Pod {
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{batchv1.JobNameLabel: job}, CreationTimestamp: at(ago)}, Spec: corev1.PodSpec{NodeName: "cp1"},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: state}}}}
	}
	said := func(text string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: text}}
	}
	yes := true
	for name, tc := range map[string]struct {
		change  func(*batchv1.CronJob)
		jobs    []batchv1.Job
		pods    []corev1.Pod
		problem string
	}{
		"new":             {nil, nil, nil, ""},
		"well":            {func(j *batchv1.CronJob) { last := at(time.Hour); j.Status.LastSuccessfulTime = &last }, []batchv1.Job{run("b", time.Hour, batchv1.JobComplete, ""), run("a", 25*time.Hour, batchv1.JobFailed, "x")}, nil, ""},
		"failed":          {nil, []batchv1.Job{run("b", time.Hour, batchv1.JobFailed, "backoff"), run("a", 25*time.Hour, batchv1.JobComplete, "")}, []corev1.Pod{pod("b", 2*time.Hour, said("first")), pod("b", time.Hour, said("log\nerror: cp2 is away\n")), pod("a", 0, said("another's"))}, "has failed: error: cp2 is away"},
		"failed silently": {nil, []batchv1.Job{run("b", time.Hour, batchv1.JobFailed, "deadline")}, nil, "has failed: deadline"},
		"under way":       {nil, []batchv1.Job{run("c", 0, "", ""), run("b", time.Hour, batchv1.JobComplete, "")}, []corev1.Pod{pod("c", 0, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})}, ""},
		"does not start": {nil, []batchv1.Job{run("c", 0, "", "")}, []corev1.Pod{pod("c", 0, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImageNeverPull", Message: "not present"}})},
			"does not start: ErrImageNeverPull on cp1: not present"},
		"overdue":    {func(j *batchv1.CronJob) { j.CreationTimestamp = at(4*day + 2*time.Hour) }, nil, nil, "has not run as it should: never"},
		"missed two": {func(j *batchv1.CronJob) { j.CreationTimestamp = at(2 * day) }, nil, nil, ""},
		"overdue since": {func(j *batchv1.CronJob) {
			last := at(5 * day)
			j.CreationTimestamp, j.Status.LastSuccessfulTime = at(50*day), &last
		}, nil, nil, "last at "},
		"suspended":            {func(j *batchv1.CronJob) { j.CreationTimestamp, j.Spec.Suspend = at(50*day), &yes }, nil, nil, "is suspended"},
		"monthly, not overdue": {func(j *batchv1.CronJob) { j.CreationTimestamp, j.Spec.Schedule = at(50*day), "0 0 1 * *" }, nil, nil, ""},
		"never":                {func(j *batchv1.CronJob) { j.CreationTimestamp, j.Spec.Schedule = at(50*day), "0 0 30 2 *" }, nil, nil, ""},
	} {
		j := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: at(time.Minute)}, Spec: batchv1.CronJobSpec{Schedule: kind.DefaultCron}}
		if tc.change != nil {
			tc.change(j)
		}
		what, next := kind.Problem(*stateOf(j, tc.jobs, tc.pods), now)
		if (what == "") != (tc.problem == "") || !strings.Contains(what, tc.problem) || (next == "") != (what == "") {
			t.Errorf("%s: %q, next %q", name, what, next)
		}
	}
}
