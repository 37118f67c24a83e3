package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// resync is how often the pod is looked at without any news of it.
	resync = 5 * time.Second
	// retryInterval is the time between two tries to reach the API.
	retryInterval = 500 * time.Millisecond
	// requestTimeout bounds one look.
	requestTimeout = 10 * time.Second
	// startTimeout bounds the start of a pod whose task may take for ever.
	startTimeout = 3 * time.Minute
	// logGrace is how long the log's end is waited for once the container has ended.
	logGrace = 3 * time.Second
)

// waiter waits for the end of one Job.
type waiter struct {
	Runner
	host string
	// image is what the Job runs.
	image string
	sink  report.Sink
	log   *log
	// seen is what was last seen, for errors.
	seen string
	// unheard is since when the node has been silent, by our own clock, and
	// looked is when it was last asked about.
	unheard, looked time.Time
}

// wait returns when the agent has said its last, or its container has ended. It waits
// for neither to be reported: the Job's own condition comes a second or more later, and a
// kubelet that was restarted tells of a container's end only after five.
func (w *waiter) wait(ctx context.Context) (node.Result, error) {
	defer w.log.stop()
	w.seen = "nothing yet"
	for {
		pods, job, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return node.Result{}, w.cutShort(ctx)
		case apierrors.IsNotFound(err):
			return node.Result{}, &LostError{Node: w.host, Job: w.Name, Seen: "the job was deleted; before that " + w.seen}
		case err != nil:
			pause(ctx, retryInterval)
			continue
		}
		v := judge(pods, job)
		if v.seen != "" {
			w.seen = v.seen
		}
		if v.pod != nil && v.started {
			w.log.follow(ctx, v.pod.Name)
		}
		if r := w.log.whole(); r != nil {
			return *r, nil
		}
		switch {
		case v.ended:
			return w.result(ctx, v)
		case v.cantStart != "":
			return node.Result{}, w.startError(v.cantStart)
		case v.late:
			return node.Result{}, w.deadline(ctx)
		case v.lost:
			return node.Result{}, &LostError{Node: w.host, Job: w.Name, Seen: w.seen}
		case w.LostAfter > 0 && !v.started && time.Since(job.CreationTimestamp.Time) > w.LostAfter+startTimeout:
			return node.Result{}, &StartError{Node: w.host, Job: w.Name, Reason: "it has not begun within " + (w.LostAfter + startTimeout).String() + ", last seen: " + w.seen,
				Hint: "see kubectl -n " + namespace + " describe pods of this job, and whether containerd and the kubelet on " + w.host + " are well"}
		case w.silent(ctx):
			return node.Result{}, &LostError{Node: w.host, Job: w.Name, Seen: w.seen + "; the node has not been heard of for " + w.LostAfter.String()}
		}
		w.await(ctx, pods.ResourceVersion)
	}
}

func (w *waiter) look(ctx context.Context) (*corev1.PodList, *batchv1.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	pods, err := w.Kube.CoreV1().Pods(namespace).List(ctx, w.selector())
	if err != nil {
		return nil, nil, err
	}
	job, err := w.Kube.BatchV1().Jobs(namespace).Get(ctx, w.Name, metav1.GetOptions{})
	return pods, job, err
}

func (w *waiter) selector() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + w.Name}
}

// await returns at the next news of the pod, at the end of its log, or at the resync.
func (w *waiter) await(ctx context.Context, version string) {
	ctx, cancel := context.WithTimeout(ctx, resync)
	defer cancel()
	o := w.selector()
	o.ResourceVersion = version
	watching, err := w.Kube.CoreV1().Pods(namespace).Watch(ctx, o)
	if err != nil {
		pause(ctx, retryInterval)
		return
	}
	defer watching.Stop()
	select {
	case <-ctx.Done():
	case <-w.log.end():
	case _, open := <-watching.ResultChan():
		if !open {
			pause(ctx, retryInterval)
		}
	}
}

// silent tells whether the node has not been heard of for too long. That nobody
// answers about the node says nothing about it.
func (w *waiter) silent(ctx context.Context) bool {
	if w.LostAfter == 0 || time.Since(w.looked) < resync {
		return false
	}
	w.looked = time.Now()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	n, err := w.Kube.CoreV1().Nodes().Get(ctx, w.host, metav1.GetOptions{})
	switch {
	case err != nil && !apierrors.IsNotFound(err):
		return false
	case err == nil && ready.Reports(n):
		w.unheard = time.Time{}
		return false
	case w.unheard.IsZero():
		w.unheard = time.Now()
	}
	return time.Since(w.unheard) >= w.LostAfter
}

// result takes the task's result: from the log, which has all of it, when it
// could be read, else from the termination message, which may be cut.
func (w *waiter) result(ctx context.Context, v verdict) (node.Result, error) {
	if r := w.log.result(ctx, logGrace); r != nil {
		return *r, nil
	}
	var r node.Result
	if err := json.Unmarshal([]byte(v.termination), &r); v.termination != "" && err == nil {
		return r, nil
	}
	if v.killed {
		return node.Result{}, &LostError{Node: w.host, Job: w.Name, Seen: w.seen + ", without a result"}
	}
	return node.Result{}, fmt.Errorf("the agent on %s ended without a result (%s); kubectl -n %s logs job/%s shows its log", w.host, w.seen, namespace, w.Name)
}

func (w *waiter) cutShort(ctx context.Context) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("job %s on %s goes on without this coordinator: %w", w.Name, w.host, context.Canceled)
	}
	return w.deadline(ctx)
}

func (w *waiter) deadline(ctx context.Context) error {
	state := "unknown"
	nodeContext, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	if n, err := w.Kube.CoreV1().Nodes().Get(nodeContext, w.host, metav1.GetOptions{}); err == nil {
		state = nodeState(n)
	}
	return &DeadlineError{Node: w.host, Job: w.Name, Seen: w.seen, NodeState: state}
}

func (w *waiter) startError(reason string) error {
	return &StartError{
		Node: w.host, Job: w.Name, Reason: reason,
		Hint: fmt.Sprintf("see that the image %s is in the image store of %s (kubectl ha bootstrap puts it there, or in a cluster that was adopted kubectl ha adopt --ssh), then resume", w.image, w.host),
	}
}

// nodeState says in a few words whether a node is there.
func nodeState(n *corev1.Node) string {
	switch c := ready.NodeCondition(n); {
	case c == nil:
		return "without a Ready condition"
	case c.Status == corev1.ConditionTrue:
		return "Ready"
	default:
		return fmt.Sprintf("not Ready since %s, %s", c.LastTransitionTime.UTC().Format(time.RFC3339), c.Message)
	}
}

// reading reads again while the API gives no answer about the request itself.
func reading[T any](ctx context.Context, read func(context.Context) (T, error)) (T, error) {
	for {
		one, cancel := context.WithTimeout(ctx, requestTimeout)
		v, err := read(one)
		cancel()
		var status apierrors.APIStatus
		answered := err == nil || (errors.As(err, &status) && status.Status().Code < 429)
		if answered || ctx.Err() != nil {
			return v, err
		}
		pause(ctx, retryInterval)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
