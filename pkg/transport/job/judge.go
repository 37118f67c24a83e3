package job

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// verdict is what a look at a Job and its pod says.
type verdict struct {
	// pod is the Job's pod, nil while there is none.
	pod *corev1.Pod
	// started: the container runs or has run, so that it has a log.
	started bool
	// ended: the container has ended; termination is its message.
	ended       bool
	termination string
	// cantStart says why the pod will not start by itself.
	cantStart string
	// killed: the container was ended from outside.
	killed bool
	// lost: the Job has ended without a container that has.
	lost bool
	// late: the Job was ended at its deadline.
	late bool
	// seen is one line for people.
	seen string
}

// judge is pure. The Job makes one pod at most, since its backoff limit is zero.
func judge(pods *corev1.PodList, job *batchv1.Job) verdict {
	v := verdict{seen: "the job has no pod yet"}
	if len(pods.Items) > 0 {
		v = judgePod(&pods.Items[0])
	}
	if c := over(job); c != nil && !v.ended {
		v.late = c.Reason == batchv1.JobReasonDeadlineExceeded
		v.lost = !v.late
		v.seen = fmt.Sprintf("%s; the job: %s, %s: %s", v.seen, c.Type, c.Reason, c.Message)
	}
	return v
}

func judgePod(pod *corev1.Pod) verdict {
	v := verdict{pod: pod, seen: "pod " + pod.Name + " is " + string(pod.Status.Phase)}
	if pod.DeletionTimestamp != nil {
		v.seen += " and being deleted"
	}
	if pod.Status.Reason != "" {
		v.seen += ", " + pod.Status.Reason + ": " + pod.Status.Message
	}
	if len(pod.Status.ContainerStatuses) == 0 {
		return v
	}
	state := pod.Status.ContainerStatuses[0].State
	switch {
	case state.Terminated != nil:
		t := state.Terminated
		v.started, v.termination = true, t.Message
		v.seen += fmt.Sprintf(", its container ended with %d (%s)", t.ExitCode, t.Reason)
		// What the kubelet reports for a container that it knows nothing about
		// any more, after a restart of the node for instance, has no message.
		v.ended = t.Message != "" || t.Reason == "Completed" || t.Reason == "Error"
		v.killed = t.ExitCode > 128
	case state.Running != nil:
		v.started = true
		v.seen += ", its container runs"
	case state.Waiting != nil:
		v.seen += ", its container waits: " + state.Waiting.Reason + " " + state.Waiting.Message
		switch state.Waiting.Reason {
		case "ErrImageNeverPull", "InvalidImageName", "ErrImagePull", "ImagePullBackOff":
			v.cantStart = state.Waiting.Reason + ": " + state.Waiting.Message
		}
	}
	return v
}

// over is the condition by which the Job has ended or is about to, nil while it
// goes on.
func over(job *batchv1.Job) *batchv1.JobCondition {
	for i, c := range job.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete, batchv1.JobFailed, batchv1.JobFailureTarget, batchv1.JobSuccessCriteriaMet:
			return &job.Status.Conditions[i]
		}
	}
	return nil
}
