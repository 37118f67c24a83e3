package job_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/job"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

const (
	namespace = "ha-system"
	deadline  = time.Minute
)

// cluster is a real apiserver and controller manager; the test is the kubelet.
type cluster struct {
	*testing.T
	kube   kubernetes.Interface
	server *kubetest.Server
}

func TestRunner(t *testing.T) {
	s := kubetest.Start(t)
	s.StartControllerManager(t)
	kube, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{T: t, kube: kube, server: s}
	c.create()
	for name, test := range map[string]func(*cluster){
		"result": testResult, "once": testOnce, "adopts": testAdopts, "no image": testNoImage, "pod deleted": testPodDeleted,
		"container unknown": testContainerUnknown, "architectures": testArchitectures, "job deleted": testJobDeleted, "deadline": testDeadline, "canceled": testCanceled, "silent": testSilent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(&cluster{T: t, kube: kube, server: s})
		})
	}
}

// TestRunnerSurvivesTheAPI kills the apiserver in the middle of a task.
func TestRunnerSurvivesTheAPI(t *testing.T) {
	s := kubetest.Start(t)
	s.StartControllerManager(t)
	kube, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{T: t, kube: kube, server: s}
	c.create()
	end := c.run("failover", node.Request{Task: "x"})
	p := c.pod("failover")
	c.status(p, running())
	s.StopAPIServer()
	s.StartAPIServer(t)
	c.status(p, terminated(node.Result{Changes: make([]host.Change, 1)}))
	if got := c.await(end); got.err != nil || len(got.result.Changes) != 1 {
		t.Errorf("got %+v", got)
	}
}

func (c *cluster) create() {
	c.Helper()
	_, err := c.kube.CoreV1().Namespaces().Create(c.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if err != nil {
		c.Fatal(err)
	}
	_, err = c.kube.CoreV1().Nodes().Create(c.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{})
	if err != nil {
		c.Fatal(err)
	}
}

type end struct {
	result node.Result
	err    error
}

func (c *cluster) run(name string, req node.Request) <-chan end {
	return c.runIn(c.Context(), name, req)
}

func (c *cluster) runIn(ctx context.Context, name string, req node.Request) <-chan end {
	out := make(chan end, 1)
	r := job.Runner{Kube: c.kube, Name: name, Agents: v1alpha1.Agents{{Image: "agent:1"}}}
	go func() {
		result, err := r.Run(ctx, "n1", req, report.SinkFunc(func(report.Event) {}))
		out <- end{result, err}
	}()
	return out
}

func (c *cluster) await(e <-chan end) end {
	c.Helper()
	select {
	case got := <-e:
		return got
	case <-time.After(deadline):
		c.Fatal("the runner did not end")
		return end{}
	}
}

// pod waits for the Job's pod.
func (c *cluster) pod(name string) *corev1.Pod {
	c.Helper()
	var list *corev1.PodList
	if !poll.Until(deadline, func() (ok bool) {
		var err error
		list, err = c.kube.CoreV1().Pods(namespace).List(c.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + name})
		return err == nil && len(list.Items) == 1
	}) {
		c.Fatalf("job %s has no pod", name)
	}
	return &list.Items[0]
}

// status is what a kubelet would say.
func (c *cluster) status(p *corev1.Pod, s corev1.PodStatus) {
	c.Helper()
	current, err := c.kube.CoreV1().Pods(namespace).Get(c.Context(), p.Name, metav1.GetOptions{})
	if err != nil {
		c.Fatal(err)
	}
	current.Status = s
	if _, err := c.kube.CoreV1().Pods(namespace).UpdateStatus(c.Context(), current, metav1.UpdateOptions{}); err != nil {
		c.Fatal(err)
	}
}

func state(phase corev1.PodPhase, s corev1.ContainerState) corev1.PodStatus {
	return corev1.PodStatus{Phase: phase, ContainerStatuses: []corev1.ContainerStatus{{Name: "agent", State: s}}}
}

func running() corev1.PodStatus {
	return state(corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})
}

func terminated(r node.Result) corev1.PodStatus {
	return state(corev1.PodSucceeded, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: "Completed", Message: string(node.Compact(r, node.MaxTerminationMessage)),
	}})
}

// testResult checks the pod that a kubelet would get, and that the request is
// gone afterwards.
func testResult(c *cluster) {
	end := c.run("result", node.Request{Task: "x", Spec: json.RawMessage(`{"token":"s3cret"}`)})
	p := c.pod("result")
	c.checkPod(p)
	secret, err := c.kube.CoreV1().Secrets(namespace).Get(c.Context(), "result", metav1.GetOptions{})
	if err != nil || !strings.Contains(string(secret.Data["request.json"]), "s3cret") {
		c.Fatalf("the request's secret: %v, %v", secret, err)
	}
	j, err := c.kube.BatchV1().Jobs(namespace).Get(c.Context(), "result", metav1.GetOptions{})
	if err != nil {
		c.Fatal(err)
	}
	if text, err := json.Marshal([]any{p, j}); err != nil || strings.Contains(string(text), "s3cret") {
		c.Errorf("the secret is in the pod or the job: %s, %v", text, err)
	}
	c.status(p, terminated(node.Result{Failure: &node.Failure{Message: "it broke"}}))
	got := c.await(end)
	if got.err != nil || got.result.Failure == nil || got.result.Failure.Message != "it broke" {
		c.Errorf("got %+v", got)
	}
	if _, err := c.kube.CoreV1().Secrets(namespace).Get(c.Context(), "result", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		c.Errorf("the request is still there: %v", err)
	}
}

// testOnce checks that nothing is left of a task that nobody comes back to, although it failed.
func testOnce(c *cluster) {
	ended := make(chan end, 1)
	r := job.Runner{Kube: c.kube, Name: "once", Agents: v1alpha1.Agents{{Image: "agent:1"}}}
	go func() {
		result, err := r.Once(c.Context(), "n1", node.Request{Task: "x"}, report.Discard())
		ended <- end{result, err}
	}()
	c.status(c.pod("once"), terminated(node.Result{Failure: &node.Failure{Message: "it broke"}}))
	if got := c.await(ended); got.err != nil || got.result.Failure == nil {
		c.Errorf("got %+v", got)
	}
	if j, err := c.kube.BatchV1().Jobs(namespace).Get(c.Context(), "once", metav1.GetOptions{}); !apierrors.IsNotFound(err) && (err != nil || j.DeletionTimestamp == nil) {
		c.Errorf("the job is still there: %v", err)
	}
}

func (c *cluster) checkPod(p *corev1.Pod) {
	c.Helper()
	if p.Spec.NodeName != "n1" || !p.Spec.HostPID || !p.Spec.HostNetwork || p.Spec.PriorityClassName != "system-node-critical" {
		c.Errorf("the pod is %+v", p.Spec)
	}
	if a := p.Spec.AutomountServiceAccountToken; a == nil || *a {
		c.Error("the pod has a service account's token")
	}
	for _, v := range p.Spec.Volumes {
		if v.Projected != nil {
			c.Errorf("the pod has a projected volume %s", v.Name)
		}
	}
	if p.Spec.Containers[0].ImagePullPolicy != corev1.PullNever || p.Spec.Containers[0].Image != "agent:1" {
		c.Errorf("the container is %+v", p.Spec.Containers[0])
	}
}

// testAdopts runs the same name twice at once: one pod, one result for both.
func testAdopts(c *cluster) {
	one := c.run("adopts", node.Request{Task: "x"})
	p := c.pod("adopts")
	two := c.run("adopts", node.Request{Task: "x"})
	c.status(p, running())
	c.status(p, terminated(node.Result{Changes: make([]host.Change, 2)}))
	for _, e := range []<-chan end{one, two} {
		if got := c.await(e); got.err != nil || len(got.result.Changes) != 2 {
			c.Errorf("got %+v", got)
		}
	}
	// A third one, long after, gets the same.
	if got := c.await(c.run("adopts", node.Request{Task: "x"})); got.err != nil || len(got.result.Changes) != 2 {
		c.Errorf("got %+v", got)
	}
	if again := c.pod("adopts"); again.UID != p.UID {
		c.Error("there was a second pod")
	}
}

// testArchitectures: which image runs is the node's matter, and the request tells it which
// program it must be.
func testArchitectures(c *cluster) {
	agents := v1alpha1.Agents{{Arch: "amd64", Image: "agent@sha256:amd", SHA256: "aa"}, {Arch: "arm64", Image: "agent@sha256:arm", SHA256: "bb"}}
	for arch, want := range map[string]v1alpha1.Agent{"amd64": agents[0], "arm64": agents[1], "s390x": {}} {
		n, err := c.kube.CoreV1().Nodes().Create(c.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: arch}}, metav1.CreateOptions{})
		if err != nil {
			c.Fatal(err)
		}
		n.Status.NodeInfo.Architecture = arch
		if _, err := c.kube.CoreV1().Nodes().UpdateStatus(c.Context(), n, metav1.UpdateOptions{}); err != nil {
			c.Fatal(err)
		}
		out := make(chan end, 1)
		name := "arch-" + arch
		go func() {
			result, err := job.Runner{Kube: c.kube, Name: name, Agents: agents}.Run(c.Context(), arch, node.Request{Task: "x"}, report.Discard())
			out <- end{result, err}
		}()
		if want.Image == "" {
			if got := c.await(out); got.err == nil || !strings.Contains(got.err.Error(), "s390x") {
				c.Errorf("got %v", got.err)
			}
			continue
		}
		p := c.pod(name)
		if got := p.Spec.Containers[0].Image; got != want.Image {
			c.Errorf("on %s runs %s", arch, got)
		}
		secret, err := c.kube.CoreV1().Secrets(namespace).Get(c.Context(), name, metav1.GetOptions{})
		var req node.Request
		if err != nil || json.Unmarshal(secret.Data["request.json"], &req) != nil || req.AgentSHA256 != want.SHA256 {
			c.Errorf("the request is %+v, %v", req, err)
		}
		c.status(p, terminated(node.Result{}))
		if got := c.await(out); got.err != nil {
			c.Error(got.err)
		}
	}
}

func testNoImage(c *cluster) {
	end := c.run("no-image", node.Request{Task: "x"})
	c.status(c.pod("no-image"), state(corev1.PodPending, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImageNeverPull", Message: "not present"}}))
	var start *job.StartError
	got := c.await(end)
	if !errors.As(got.err, &start) || start.Node != "n1" || !strings.Contains(got.err.Error(), "agent:1") || !strings.Contains(got.err.Error(), "ErrImageNeverPull") || !strings.Contains(start.Hint, "kubectl ha adopt --ssh") {
		c.Errorf("got %v", got.err)
	}
	// It must not start later, when somebody brings the image.
	if _, err := c.kube.BatchV1().Jobs(namespace).Get(c.Context(), "no-image", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		c.Errorf("the job is still there: %v", err)
	}
}

// lost tells that a runner says that nobody knows how the task ended.
func (c *cluster) lost(e <-chan end) {
	c.Helper()
	var l *job.LostError
	if got := c.await(e); !errors.As(got.err, &l) || !l.Lost() || !strings.Contains(got.err.Error(), "n1") {
		c.Errorf("got %+v", got)
	}
}

// testPodDeleted deletes the pod of a node that is gone: the garbage collector
// says in the end that it failed. Until then its container may run.
func testPodDeleted(c *cluster) {
	end := c.run("pod-deleted", node.Request{Task: "x"})
	p := c.pod("pod-deleted")
	c.status(p, running())
	zero := int64(0)
	if err := c.kube.CoreV1().Pods(namespace).Delete(c.Context(), p.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		c.Fatal(err)
	}
	c.status(p, corev1.PodStatus{Phase: corev1.PodFailed})
	c.lost(end)
}

// testContainerUnknown is what a kubelet says after its node was restarted.
func testContainerUnknown(c *cluster) {
	end := c.run("unknown", node.Request{Task: "x"})
	c.status(c.pod("unknown"), state(corev1.PodFailed, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 137, Reason: "ContainerStatusUnknown", Message: "",
	}}))
	c.lost(end)
}

func testJobDeleted(c *cluster) {
	end := c.run("job-deleted", node.Request{Task: "x"})
	c.pod("job-deleted")
	background := metav1.DeletePropagationBackground
	if err := c.kube.BatchV1().Jobs(namespace).Delete(c.Context(), "job-deleted", metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		c.Fatal(err)
	}
	c.lost(end)
}

// testDeadline takes up a Job that was made too long ago.
func testDeadline(c *cluster) {
	ctx, cancel := context.WithTimeout(c.Context(), 8*time.Second)
	defer cancel()
	end := c.runIn(ctx, "deadline", node.Request{Task: "x"})
	c.status(c.pod("deadline"), running())
	var d *job.DeadlineError
	got := c.await(end)
	if !errors.As(got.err, &d) || d.Node != "n1" || !strings.Contains(got.err.Error(), "its container runs") {
		c.Errorf("got %v", got.err)
	}
}

// testCanceled stops waiting: the Job and its request stay for the next one.
func testCanceled(c *cluster) {
	ctx, cancel := context.WithCancel(c.Context())
	end := c.runIn(ctx, "canceled", node.Request{Task: "x"})
	p := c.pod("canceled")
	cancel()
	if got := c.await(end); !errors.Is(got.err, context.Canceled) {
		c.Errorf("got %v", got.err)
	}
	if _, err := c.kube.CoreV1().Secrets(namespace).Get(c.Context(), "canceled", metav1.GetOptions{}); err != nil {
		c.Errorf("the request is gone: %v", err)
	}
	next := c.run("canceled", node.Request{Task: "x"})
	c.status(p, terminated(node.Result{}))
	if got := c.await(next); got.err != nil {
		c.Errorf("got %+v", got)
	}
}

// testSilent runs on a node that goes away in the middle and is not waited for
// until the task's deadline.
func testSilent(c *cluster) {
	c.node("n2", corev1.ConditionTrue)
	out := make(chan end, 1)
	r := job.Runner{Kube: c.kube, Name: "silent", Agents: v1alpha1.Agents{{Image: "agent:1"}}, LostAfter: time.Second}
	go func() {
		result, err := r.Run(c.Context(), "n2", node.Request{Task: "x", Timeout: time.Hour}, report.SinkFunc(func(report.Event) {}))
		out <- end{result, err}
	}()
	c.status(c.pod("silent"), running())
	c.node("n2", corev1.ConditionUnknown)
	c.lostBecause(out, "n2", "not been heard of")
	if _, err := c.kube.BatchV1().Jobs(namespace).Get(c.Context(), "silent", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		c.Errorf("the job is still there: %v", err)
	}
}

// lostBecause tells that the runner says so, of which node, and why.
func (c *cluster) lostBecause(e <-chan end, node, why string) {
	c.Helper()
	var l *job.LostError
	if got := c.await(e); !errors.As(got.err, &l) || l.Node != node || !strings.Contains(got.err.Error(), why) {
		c.Errorf("got %+v", got)
	}
}

// node makes a node with that Ready condition.
func (c *cluster) node(name string, ready corev1.ConditionStatus) {
	c.Helper()
	nodes := c.kube.CoreV1().Nodes()
	n, err := nodes.Get(c.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		n, err = nodes.Create(c.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	}
	if err != nil {
		c.Fatal(err)
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
	if _, err := nodes.UpdateStatus(c.Context(), n, metav1.UpdateOptions{}); err != nil {
		c.Fatal(err)
	}
}
