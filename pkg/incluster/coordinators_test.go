package incluster_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// jobs is a cluster with a real Job controller, where the test is the scheduler
// and the kubelets.
type jobs struct {
	*testing.T
	kube kubernetes.Interface
	ops  *incluster.Operations
	all  *operations.Client
}

// operation creates an Operation, of which there is one at a time, and returns
// the name of its Job.
func (j *jobs) operation() (name, job string) {
	j.Helper()
	op, err := j.ops.Create(j.Context(), v1alpha1.OperationSpec{Type: v1alpha1.OperationJoin, Join: &v1alpha1.JoinSpec{Source: "cp1", ControlPlanes: []string{"cp2"}}})
	if err != nil {
		j.Fatal(err)
	}
	return op.Name, op.Name + "-coordinator"
}

// end makes way for the next Operation.
func (j *jobs) end(name string) {
	j.Helper()
	if err := j.all.Delete(j.Context(), name); err != nil {
		j.Fatal(err)
	}
	j.until("operation "+name+" is gone", func() (bool, any) {
		op, err := j.all.Get(j.Context(), name)
		return apierrors.IsNotFound(err), op
	})
}

func (j *jobs) until(what string, ok func() (bool, any)) {
	j.Helper()
	ctx, cancel := context.WithTimeout(j.Context(), deadline)
	defer cancel()
	for {
		done, seen := ok()
		if done {
			return
		}
		select {
		case <-ctx.Done():
			j.Fatalf("waiting until %s; last seen: %+v", what, seen)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// pods waits until a Job has so many pods that are not being deleted, and
// returns them in the order of their index.
func (j *jobs) pods(job string, n int) []corev1.Pod {
	j.Helper()
	var out []corev1.Pod
	j.until("job "+job+" has its pods", func() (bool, any) {
		list, err := j.kube.CoreV1().Pods("ha-system").List(j.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
		if err != nil {
			return false, err
		}
		out = slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
		slices.SortFunc(out, func(a, b corev1.Pod) int { return strings.Compare(index(a), index(b)) })
		return len(out) == n, out
	})
	return out
}

func index(p corev1.Pod) string { return p.Annotations[batchv1.JobCompletionIndexAnnotation] }

func (j *jobs) job(name string) *batchv1.Job {
	j.Helper()
	job, err := j.kube.BatchV1().Jobs("ha-system").Get(j.Context(), name, metav1.GetOptions{})
	if err != nil {
		j.Fatal(err)
	}
	return job
}

func (j *jobs) untilCondition(job string, kind batchv1.JobConditionType) {
	j.Helper()
	j.until("job "+job+" is "+string(kind), func() (bool, any) {
		status := j.job(job).Status
		return slices.ContainsFunc(status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == kind && c.Status == corev1.ConditionTrue }), status
	})
}

func (j *jobs) bind(p corev1.Pod, node string) {
	j.Helper()
	err := j.kube.CoreV1().Pods(p.Namespace).Bind(j.Context(), &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: node},
	}, metav1.CreateOptions{})
	if err != nil {
		j.Fatal(err)
	}
	j.phase(p, corev1.PodRunning)
}

func (j *jobs) phase(p corev1.Pod, phase corev1.PodPhase) {
	j.Helper()
	now, err := j.kube.CoreV1().Pods(p.Namespace).Get(j.Context(), p.Name, metav1.GetOptions{})
	if err != nil {
		j.Fatal(err)
	}
	now.Status.Phase = phase
	if _, err := j.kube.CoreV1().Pods(p.Namespace).UpdateStatus(j.Context(), now, metav1.UpdateOptions{}); err != nil {
		j.Fatal(err)
	}
}

// TestCoordinators asks the real Job controller what a coordinator and its
// standby come to.
func TestCoordinators(t *testing.T) {
	s, f := start(t)
	s.StartControllerManager(t)
	if _, err := incluster.Install(t.Context(), s.Config, f.c); err != nil {
		t.Fatal(err)
	}
	ops, err := incluster.NewOperations(s.Config, v1alpha1.Agents{{Image: "agent:1"}})
	if err != nil {
		t.Fatal(err)
	}
	clients, err := client.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		run  func(*jobs)
	}{{"one node", testOneNode}, {"dead node", testDeadNode}, {"failed operation", testFailedOperation}, {"another agent", testAnotherAgent}, {"many finished", testManyFinished}} {
		t.Run(test.name, func(t *testing.T) {
			test.run(&jobs{T: t, kube: f.kube, ops: ops, all: operations.New(clients.Dynamic)})
		})
	}
}

// testOneNode has room for one: the other has waited when the first is done.
func testOneNode(j *jobs) {
	name, job := j.operation()
	pods := j.pods(job, 2)
	if index(pods[0]) != "0" || index(pods[1]) != "1" {
		j.Errorf("the pods' indices are %s and %s", index(pods[0]), index(pods[1]))
	}
	term := pods[0].Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0]
	if term.TopologyKey != corev1.LabelHostname || !strings.Contains(metav1.FormatLabelSelector(term.LabelSelector), job) {
		j.Errorf("they stay away from %+v", term)
	}
	// A real API server takes it; what it says is TestCoordinatorJob's.
	if nodes := pods[1].Spec.Affinity.NodeAffinity; nodes.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		j.Errorf("they may be on %+v", nodes)
	}
	j.bind(pods[0], "w1")
	j.phase(pods[0], corev1.PodSucceeded)
	j.untilCondition(job, batchv1.JobComplete)
	if left := j.pods(job, 1); left[0].Name != pods[0].Name {
		j.Errorf("%s is left", left[0].Name)
	}
	j.end(name)
}

// testDeadNode loses a coordinator for good: it gets a replacement at once, its
// standby ends the Job, and that the lost one's pod is there for ever is in
// nobody's way.
func testDeadNode(j *jobs) {
	name, job := j.operation()
	pods := j.pods(job, 2)
	j.bind(pods[0], "w1")
	j.bind(pods[1], "cp1")
	if err := j.kube.CoreV1().Pods("ha-system").Delete(j.Context(), pods[0].Name, metav1.DeleteOptions{}); err != nil {
		j.Fatal(err)
	}
	j.until("there is a replacement", func() (bool, any) {
		now := j.pods(job, 2)
		return index(now[0]) == "0" && now[0].Name != pods[0].Name, now
	})
	j.phase(pods[1], corev1.PodSucceeded)
	j.untilCondition(job, batchv1.JobSuccessCriteriaMet)
	before := j.job(job)
	if len(before.Status.Conditions) != 1 {
		j.Errorf("the job has ended with a pod of it still there: %+v", before.Status.Conditions)
	}
	// Whoever goes on with the Operation gets coordinators of his own.
	if err := j.ops.Abort(j.Context(), name); err != nil {
		j.Fatal(err)
	}
	if after := j.job(job); after.UID == before.UID {
		j.Error("no new job was made")
	}
	j.end(name)
}

// testFailedOperation resumes a failed Operation before its coordinator has
// exited: it gets a new one.
func testFailedOperation(j *jobs) {
	name, job := j.operation()
	j.bind(j.pods(job, 2)[0], "w1")
	before := j.job(job)
	if _, err := j.all.ModifyStatus(j.Context(), name, func(op *v1alpha1.Operation) error {
		op.Status.Phase = v1alpha1.OperationFailed
		return nil
	}); err != nil {
		j.Fatal(err)
	}
	if err := j.ops.Resume(j.Context(), name); err != nil {
		j.Fatal(err)
	}
	if after := j.job(job); after.UID == before.UID {
		j.Error("the job of the ended coordinator was taken for one at work")
	}
	j.end(name)
}

// testAnotherAgent goes on with an Operation by programs that have other agents: one
// that is paused keeps its own, whoever goes on with it; one that has failed takes the
// agent of whoever resumes it, which may be the mended one; an abort changes none.
func testAnotherAgent(j *jobs) {
	name, job := j.operation()
	image := func(what, want string) {
		j.Helper()
		if got := j.job(job).Spec.Template.Spec.Containers[0].Image; got != want {
			j.Errorf("%s: it is carried on by %s, want %s", what, got, want)
		}
	}
	remove := func() {
		j.Helper()
		background := metav1.DeletePropagationBackground
		if err := j.kube.BatchV1().Jobs("ha-system").Delete(j.Context(), job, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
			j.Fatal(err)
		}
		j.until("the job is gone", func() (bool, any) {
			_, err := j.kube.BatchV1().Jobs("ha-system").Get(j.Context(), job, metav1.GetOptions{})
			return apierrors.IsNotFound(err), err
		})
	}
	must := func(err error) {
		j.Helper()
		if err != nil {
			j.Fatal(err)
		}
	}
	fail := func() {
		j.Helper()
		_, err := j.all.ModifyStatus(j.Context(), name, func(op *v1alpha1.Operation) error {
			op.Status.Phase = v1alpha1.OperationFailed
			return nil
		})
		must(err)
	}
	must(j.ops.Pause(j.Context(), name))
	remove()
	must(j.ops.WithAgents(v1alpha1.Agents{{Image: "agent:2"}}).Resume(j.Context(), name))
	image("resumed after a pause", "agent:1")
	fail()
	must(j.ops.WithAgents(v1alpha1.Agents{{Image: "agent:2"}}).Resume(j.Context(), name))
	image("resumed after a failure", "agent:2")
	fail()
	must(j.ops.Abort(j.Context(), name))
	image("aborted", "agent:2")
	j.end(name)
}

// testManyFinished creates an Operation where there are more finished ones than
// are kept: the oldest go. Of those of one second the name decides.
func testManyFinished(j *jobs) {
	for i := range 22 {
		name := fmt.Sprintf("a-%02d", i)
		_, err := j.all.Create(j.Context(), &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationJoin, Join: &v1alpha1.JoinSpec{Source: "cp1"}}})
		if err == nil {
			_, err = j.all.ModifyStatus(j.Context(), name, func(op *v1alpha1.Operation) error {
				op.Status.Phase = v1alpha1.OperationSucceeded
				return nil
			})
		}
		if err != nil {
			j.Fatal(err)
		}
	}
	name, _ := j.operation()
	all, err := j.all.List(j.Context())
	if err != nil || len(all) != 21 || all[0].Name != "a-02" || all[20].Name != name {
		j.Errorf("there are %d, the oldest %s, the newest %s: %v", len(all), all[0].Name, all[len(all)-1].Name, err)
	}
}
