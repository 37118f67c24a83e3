package schedule

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// State is a schedule, and how its last runs ended.
type State struct {
	// Cron is when it runs, in the time zone of the controller-managers.
	Cron string `json:"schedule"`
	// Suspended: somebody has it not run.
	Suspended bool      `json:"suspended,omitempty"`
	Since     time.Time `json:"since"`
	// LastRun began then, the last one that ended well then. Zero: none yet.
	LastRun     time.Time `json:"lastRun,omitzero"`
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	// LastFailure is when the last one failed of those whose Jobs are still there. Zero: none.
	LastFailure time.Time `json:"lastFailure,omitzero"`
	// Running tells whether one is under way.
	Running bool `json:"running,omitempty"`
	// Failed says why the last one that ended did not end well, FailedJob which Job that was.
	Failed    string `json:"failed,omitempty"`
	FailedJob string `json:"failedJob,omitempty"`
	// Stuck says why the pod of the one under way does not start.
	Stuck string `json:"stuck,omitempty"`
	// Image is the agent's that it runs.
	Image string `json:"image"`
}

// Look reads a cluster's schedule; nil where there is none.
func (k Kind) Look(ctx context.Context, kube kubernetes.Interface) (*State, error) {
	j, err := k.Get(ctx, kube)
	if err != nil || j == nil {
		return nil, err
	}
	return k.LookAt(ctx, kube, j)
}

// LookAt is Look, of a CronJob that was read already.
func (k Kind) LookAt(ctx context.Context, kube kubernetes.Interface, j *batchv1.CronJob) (*State, error) {
	mine := metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + k.Name}
	jobs, err := kube.BatchV1().Jobs(v1alpha1.SystemNamespace).List(ctx, mine)
	if err != nil {
		return nil, fmt.Errorf("list the runs of the schedule: %w", err)
	}
	pods, err := kube.CoreV1().Pods(v1alpha1.SystemNamespace).List(ctx, mine)
	if err != nil {
		return nil, fmt.Errorf("list the pods of the schedule: %w", err)
	}
	return stateOf(j, jobs.Items, pods.Items), nil
}

// stateOf is pure.
func stateOf(j *batchv1.CronJob, jobs []batchv1.Job, pods []corev1.Pod) *State {
	s := &State{Cron: j.Spec.Schedule, Suspended: j.Spec.Suspend != nil && *j.Spec.Suspend, Since: j.CreationTimestamp.UTC(), Running: len(j.Status.Active) > 0}
	if c := j.Spec.JobTemplate.Spec.Template.Spec.Containers; len(c) > 0 {
		s.Image = c[0].Image
	}
	if t := j.Status.LastScheduleTime; t != nil {
		s.LastRun = t.UTC()
	}
	if t := j.Status.LastSuccessfulTime; t != nil {
		s.LastSuccess = t.UTC()
	}
	jobs = slices.Clone(jobs)
	slices.SortStableFunc(jobs, func(a, b batchv1.Job) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	known := false // how the last one ended that did
	for _, job := range jobs {
		of := podsOf(job, pods)
		switch c := ended(job); {
		case c == nil && !known:
			s.Stuck = cmp.Or(s.Stuck, waiting(of))
		case c == nil:
		case c.Type == batchv1.JobComplete:
			known = true
		default:
			if !known {
				s.FailedJob, s.Failed = job.Name, cmp.Or(lastWords(of), c.Message)
			}
			if at := c.LastTransitionTime.UTC(); at.After(s.LastFailure) {
				s.LastFailure = at
			}
			known = true
		}
	}
	return s
}

// ended is how a Job has ended, failed or complete; nil while it is under way.
func ended(j batchv1.Job) *batchv1.JobCondition {
	for i, c := range j.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobFailed || c.Type == batchv1.JobComplete) {
			return &j.Status.Conditions[i]
		}
	}
	return nil
}

func podsOf(j batchv1.Job, pods []corev1.Pod) []corev1.Pod {
	out := slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool { return p.Labels[batchv1.JobNameLabel] != j.Name })
	slices.SortStableFunc(out, func(a, b corev1.Pod) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	return out
}

// lastWords are the last line that the newest pod has said before it failed.
func lastWords(pods []corev1.Pod) string {
	for _, p := range pods {
		for _, c := range p.Status.ContainerStatuses {
			if t := c.State.Terminated; t != nil && t.ExitCode != 0 && strings.TrimSpace(t.Message) != "" {
				lines := strings.Split(strings.TrimSpace(t.Message), "\n")
				return lines[len(lines)-1]
			}
		}
	}
	return ""
}

// waiting is why a pod does not start: such as ErrImageNeverPull.
func waiting(pods []corev1.Pod) string {
	for _, p := range pods {
		for _, c := range p.Status.ContainerStatuses {
			if w := c.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
				return fmt.Sprintf("%s on %s: %s", w.Reason, p.Spec.NodeName, w.Message)
			}
		}
	}
	return ""
}

// Overdue tells whether no run has ended well for longer than its schedule says.
func (k Kind) Overdue(s State, now time.Time) bool {
	when, err := k.Parse(s.Cron)
	if err != nil || s.Suspended {
		return false // A CronJob that can't be read is refused when it is written.
	}
	at := s.Since
	if s.LastSuccess.After(at) {
		at = s.LastSuccess
	}
	for range k.Missed + 1 {
		if at = when.Next(at); at.IsZero() {
			return false // It never runs: the 30th of February.
		}
	}
	return now.After(at.Add(time.Hour))
}

// Problem is what is wrong with a schedule, in a line, with what to do; empty for nothing.
func (k Kind) Problem(s State, now time.Time) (what, next string) {
	const kubectl = "kubectl -n " + v1alpha1.SystemNamespace + " "
	switch {
	case s.Suspended:
		return "the " + k.What + " is suspended", k.TakeAway + " takes it away; " + kubectl + "patch cronjob " + k.Name + ` -p '{"spec":{"suspend":false}}' has it run again`
	case s.Failed != "" || s.FailedJob != "":
		return fmt.Sprintf("the last %s has failed: %s", k.What, cmp.Or(s.Failed, "it has not said why")), kubectl + "logs job/" + s.FailedJob
	case s.Stuck != "":
		return "the " + k.What + " does not start: " + s.Stuck, k.SetUp + " brings this program's agent to the nodes, and has it run by that"
	case k.Overdue(s, now):
		last := "never"
		if !s.LastSuccess.IsZero() {
			last = "last at " + s.LastSuccess.Format(time.RFC3339)
		}
		return k.Late + ": " + last, kubectl + "describe cronjob " + k.Name
	}
	return "", ""
}
