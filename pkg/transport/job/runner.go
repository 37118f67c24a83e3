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
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

const (
	// defaultTimeout and defaultLockTimeout are the agent's own, see node.Request.
	defaultTimeout     = 10 * time.Minute
	defaultLockTimeout = 2 * time.Minute
	// slack is for the pod's start and end around the task.
	slack = time.Minute
	// endSlack is what the runner waits longer than the Job's own deadline, so
	// that it is the cluster that ends the Job where it can.
	endSlack = 30 * time.Second
	// requestKey is the file's name in the mounted Secret.
	requestKey = "request.json"
	// secretTimeout bounds the removal of a request after the task's end.
	secretTimeout = 30 * time.Second
	// removeTimeout bounds the removal of a Job that belongs to no Operation.
	removeTimeout = 15 * time.Second
)

// Runner runs one task as the Job of one name. It is a transport.Runner.
type Runner struct {
	Kube kubernetes.Interface
	// Name is the Job's name, at most 63 characters.
	Name string
	// Owner, when set, owns the Job.
	Owner *metav1.OwnerReference
	// Agents are those whose images the nodes have in their image stores; the node's
	// architecture tells which one runs.
	Agents v1alpha1.Agents
	// LostAfter is for how long the node may not have been heard of before the
	// task counts as lost, and its Job is removed. Zero: until the Job's deadline.
	LostAfter time.Duration
}

var _ transport.Runner = Runner{}

// Run runs the request on the node, or awaits the Job of this name when it is
// there already. Errors: LostError, StartError, DeadlineError, or the API's
// answer when it refuses the Job.
func (r Runner) Run(ctx context.Context, host string, req node.Request, sink report.Sink) (node.Result, error) {
	deadline := jobDeadline(req)
	job, err := r.ensure(ctx, host, req, deadline)
	if err != nil {
		return node.Result{}, err
	}
	began := job.CreationTimestamp.Time
	if job.Status.StartTime != nil {
		began = job.Status.StartTime.Time
	}
	ctx, cancel := context.WithDeadline(ctx, began.Add(deadline+endSlack))
	defer cancel()
	w := &waiter{Runner: r, host: host, image: job.Spec.Template.Spec.Containers[0].Image, sink: sink, log: newLog(r.Kube, host, sink)}
	result, err := w.wait(ctx)
	r.forget(context.WithoutCancel(ctx), err)
	return result, err
}

// Once is Run of a task that belongs to no Operation and that nobody comes back to: its Job goes
// with it, with its pod and its request, however it ended.
func (r Runner) Once(ctx context.Context, host string, req node.Request, sink report.Sink) (node.Result, error) {
	defer func() {
		gone, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
		defer cancel()
		// Best effort: it goes by itself some hours later.
		r.remove(gone)
	}()
	return r.Run(ctx, host, req, sink)
}

func (r Runner) remove(ctx context.Context) {
	background := metav1.DeletePropagationBackground
	_ = r.Kube.BatchV1().Jobs(namespace).Delete(ctx, r.Name, metav1.DeleteOptions{PropagationPolicy: &background})
}

// jobDeadline bounds the Job: the task, the wait for the host's lock, the pod's start.
func jobDeadline(req node.Request) time.Duration {
	task, lock := req.Timeout, req.LockTimeout
	if task == 0 {
		task = defaultTimeout
	}
	if lock == 0 {
		lock = defaultLockTimeout
	}
	return task + lock + slack
}

// ensure returns the Job of this name, made when it isn't there.
func (r Runner) ensure(ctx context.Context, host string, req node.Request, deadline time.Duration) (*batchv1.Job, error) {
	jobs := r.Kube.BatchV1().Jobs(namespace)
	job, err := reading(ctx, func(ctx context.Context) (*batchv1.Job, error) {
		return jobs.Get(ctx, r.Name, metav1.GetOptions{})
	})
	if !apierrors.IsNotFound(err) {
		return job, wrap(err, "read job %s", r.Name)
	}
	agent, err := r.agent(ctx, host)
	if err != nil {
		return nil, err
	}
	// The Secret first, so that the pod never waits for it.
	req.AgentSHA256 = agent.SHA256
	secret, err := r.putRequest(ctx, req)
	if err != nil {
		return nil, err
	}
	want, err := r.manifest(host, agent.Image, deadline)
	if err != nil {
		return nil, err
	}
	job, err = jobs.Create(ctx, want, metav1.CreateOptions{})
	if err != nil {
		// Whatever the answer was or was not: the name tells whether it is there.
		created, getErr := reading(ctx, func(ctx context.Context) (*batchv1.Job, error) {
			return jobs.Get(ctx, r.Name, metav1.GetOptions{})
		})
		if getErr != nil {
			return nil, wrap(err, "create job %s for node %s", r.Name, host)
		}
		job = created
	}
	secret.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: job.UID}}
	if _, err := r.Kube.CoreV1().Secrets(namespace).Update(ctx, secret, metav1.UpdateOptions{}); err != nil {
		// It is removed when the task has ended; the owner is for the case that
		// nobody is left to do that, and until now it is the Operation.
		return job, nil //nolint:nilerr // see above
	}
	return job, nil
}

// agent is the one for a node.
func (r Runner) agent(ctx context.Context, host string) (v1alpha1.Agent, error) {
	if len(r.Agents) == 1 {
		return r.Agents[0], nil
	}
	n, err := reading(ctx, func(ctx context.Context) (*corev1.Node, error) {
		return r.Kube.CoreV1().Nodes().Get(ctx, host, metav1.GetOptions{})
	})
	if err != nil {
		return v1alpha1.Agent{}, wrap(err, "read the architecture of node %s", host)
	}
	agent, err := r.Agents.For(n.Status.NodeInfo.Architecture)
	return agent, wrap(err, "job %s for node %s", r.Name, host)
}

// putRequest writes the request's Secret, in place of one that a coordinator
// left behind before it came to create the Job.
func (r Runner) putRequest(ctx context.Context, req node.Request) (*corev1.Secret, error) {
	data, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encode the request for job %s: %w", r.Name, err)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: r.Name, Namespace: namespace, Labels: map[string]string{"app.kubernetes.io/name": "kubectl-ha"}},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{requestKey: data},
	}
	if r.Owner != nil {
		secret.OwnerReferences = []metav1.OwnerReference{*r.Owner}
	}
	secrets := r.Kube.CoreV1().Secrets(namespace)
	created, err := secrets.Create(ctx, secret, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		created, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	}
	return created, wrap(err, "write the request for job %s", r.Name)
}

// forget removes the request; a Job whose pod could never start is removed
// too, since it would start whenever the obstacle is gone, and so is one that
// went silent with its node, since it may go on with its node. When the wait was
// only cut short the Job goes on, and so it keeps its request.
func (r Runner) forget(ctx context.Context, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, secretTimeout)
	defer cancel()
	var start *StartError
	var lost *LostError
	if errors.As(err, &start) || errors.As(err, &lost) && r.LostAfter > 0 {
		// Best effort: its deadline ends it otherwise.
		r.remove(ctx)
	}
	// Best effort: the Job owns the Secret and takes it with it.
	_ = r.Kube.CoreV1().Secrets(namespace).Delete(ctx, r.Name, metav1.DeleteOptions{})
}

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
