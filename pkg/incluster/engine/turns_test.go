package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// shift is a real apiserver with workers that have turns: cordon, task, uncordon.
type shift struct {
	*world
	steps []v1alpha1.StepStatus
	mu    sync.Mutex
	// out are the nodes that are cordoned or not ready, most how many there were at once.
	out  map[string]bool
	most int
}

// shiftPlan is a plan of such turns.
func shiftPlan(atOnce, failures int32, nodes int) []v1alpha1.StepStatus {
	const p = v1alpha1.StepPending
	steps := []v1alpha1.StepStatus{{ID: "workers", State: p, UndoneBy: "clean-up", Turns: &v1alpha1.TurnBounds{AtOnce: atOnce, MaxFailures: failures}}}
	for i := range nodes {
		n := fmt.Sprintf("w%d", i+1)
		steps = append(steps,
			v1alpha1.StepStatus{ID: "cordon/" + n, After: []string{"workers"}, State: p, UndoneBy: "clean-up"},
			v1alpha1.StepStatus{ID: "b/" + n, Node: n, After: []string{"cordon/" + n}, State: p},
			v1alpha1.StepStatus{ID: "uncordon/" + n, After: []string{"b/" + n}, State: p})
	}
	return append(steps, v1alpha1.StepStatus{ID: "own", After: []string{v1alpha1.AfterTurns}, State: p}, v1alpha1.StepStatus{ID: "clean-up", Cleanup: true, State: p})
}

func newShift(t *testing.T, atOnce, failures int32, nodes int) *shift {
	t.Helper()
	s := kubetest.Start(t)
	clients := installed(t, s)
	w := &world{T: t, clients: clients, ops: operations.New(clients.Dynamic), name: "shift", nodes: newFakeNodes(map[string]func(int) (node.Result, error){}),
		own: map[string]func(context.Context, engine.Turn) (engine.Outcome, error){}}
	sh := &shift{world: w, steps: shiftPlan(atOnce, failures, nodes), out: map[string]bool{}}
	for i := range nodes {
		name := fmt.Sprintf("w%d", i+1)
		n, err := clients.Kube.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		sh.ready(n.Name, corev1.ConditionTrue)
		w.nodes.tasks["b/"+name] = well
	}
	if _, err := w.ops.Create(t.Context(), &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: w.name},
		Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationJoin, Join: &v1alpha1.JoinSpec{Source: "n1"}}}); err != nil {
		t.Fatal(err)
	}
	return sh
}

// ready is what the node lifecycle controller says of a node.
func (s *shift) ready(node string, is corev1.ConditionStatus) {
	s.Helper()
	patch := fmt.Sprintf(`{"status":{"conditions":[{"type":"Ready","status":%q,"reason":"Test","message":"as the test says"}]}}`, is)
	if _, err := s.clients.Kube.CoreV1().Nodes().Patch(s.Context(), node, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status"); err != nil {
		s.Fatal(err)
	}
}

// cordon notes in the cluster and here whether a node takes pods.
func (s *shift) cordon(unschedulable bool) func(context.Context, engine.Turn) (engine.Outcome, error) {
	return func(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
		patch := fmt.Sprintf(`{"spec":{"unschedulable":%t}}`, unschedulable)
		_, err := t.Clients.Kube.CoreV1().Nodes().Patch(ctx, t.About(), types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.out[t.About()] = unschedulable; !unschedulable {
			delete(s.out, t.About())
		}
		s.most = max(s.most, len(s.out))
		return engine.Outcome{}, err
	}
}

func (s *shift) config(identity string) engine.Config {
	c := s.world.config(identity)
	def := c.Definitions[v1alpha1.OperationJoin]
	def.Plan = func(context.Context, engine.Env) ([]v1alpha1.StepStatus, error) { return slices.Clone(s.steps), nil }
	def.Opens, def.End = "workers", nil
	c.Cluster = &v1alpha1.Cluster{}
	for _, name := range []string{"w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "w9", "other"} {
		c.Cluster.Spec.Hosts = append(c.Cluster.Spec.Hosts, v1alpha1.Host{Name: name, Roles: []v1alpha1.Role{v1alpha1.RoleWorker}})
	}
	def.Steps["cordon"], def.Steps["uncordon"] = engine.Func{Do: s.cordon(true)}, engine.Func{Do: s.cordon(false)}
	def.Steps["workers"] = engine.Func{Do: func(context.Context, engine.Turn) (engine.Outcome, error) { return engine.Outcome{}, nil }, Gate: true}
	c.Definitions = map[v1alpha1.OperationType]engine.Definition{v1alpha1.OperationJoin: def}
	return c
}

// TestTurnsOverCoordinators: coordinators are killed while turns are under way, one worker is slow and
// one fails; the others go on one after the other as there is room, never more than three are out, and
// each task ran once. It ends as failed, and what failed is done when it is resumed.
func TestTurnsOverCoordinators(t *testing.T) {
	s := newShift(t, 3, 1, 9)
	slow := make(chan struct{})
	s.nodes.tasks["b/w1"] = func(n int) (node.Result, error) { <-slow; return well(n) }
	s.nodes.tasks["b/w2"] = func(n int) (node.Result, error) {
		if n == 1 {
			return badly(n)
		}
		return well(n)
	}
	held := map[string]chan struct{}{}
	for _, n := range []string{"w4", "w6", "w8"} {
		held[n] = make(chan struct{})
		s.nodes.tasks["b/"+n] = func(i int) (node.Result, error) { <-held[n]; return well(i) }
	}
	for i, n := range []string{"w4", "w6", "w8"} {
		c := s.start(s.config(fmt.Sprintf("coordinator-%d", i)))
		s.untilRun("b/" + n)
		c.kill()
		close(held[n])
	}
	c := s.start(s.config("last"))
	s.until("all but the slow one", func(op *v1alpha1.Operation) bool {
		return op.Status.Progress == fmt.Sprintf("%d/%d", 1+7*3+2, len(s.steps)) // cordon/w1 and cordon/w2 are done.
	})
	close(slow)
	op := s.phase(v1alpha1.OperationFailed)
	s.finished(c)
	if s.most != 3 {
		t.Errorf("%d were out at once", s.most)
	}
	want := map[string]int{"own": 1, "clean-up": 1}
	for i := range 9 {
		want[fmt.Sprintf("b/w%d", i+1)] = 1
	}
	s.ran(want)
	if !strings.HasPrefix(op.Status.Message, "1 node has failed, of 9: w2; b/w2: w2: kubeadm failed") {
		t.Errorf("message is %q", op.Status.Message)
	}
	s.condition(op, v1alpha1.ConditionFailed, v1alpha1.ReasonStepFailed)
	if !slices.ContainsFunc(s.events(), func(e eventsv1.Event) bool {
		return e.Reason == "StepFailed" && e.Related != nil && e.Related.Name == "w2"
	}) {
		t.Error("no Event names the node that has failed")
	}

	if _, err := s.ops.ModifyStatus(context.Background(), s.name, func(op *v1alpha1.Operation) error {
		op.Status = operations.Retry(op.Status)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.start(s.config("resumed"))
	s.phase(v1alpha1.OperationSucceeded)
	want["b/w2"], want["own"], want["clean-up"] = 2, 2, 2
	s.ran(want)
}

// TestTooManyFail: the Operation pauses, and resume begins with those that have failed.
func TestTooManyFail(t *testing.T) {
	s := newShift(t, 3, 1, 6)
	for _, n := range []string{"b/w1", "b/w3"} {
		s.nodes.tasks[n] = func(i int) (node.Result, error) {
			if i == 1 {
				return badly(i)
			}
			return well(i)
		}
	}
	end := make(chan struct{})
	s.nodes.tasks["b/w2"] = func(i int) (node.Result, error) { <-end; return well(i) }
	first := s.start(s.config("one"))
	s.until("both failures", func(op *v1alpha1.Operation) bool { return len(operations.Failures(op.Status)) == 2 })
	first.kill()
	close(end)
	s.start(s.config("two"))
	op := s.phase(v1alpha1.OperationPaused)
	if want := "paused; kubectl ha operation resume shift goes on, with what failed first: 2 nodes have failed, and no more than 1 may: w1, w3"; op.Status.Message != want || !op.Spec.Paused {
		t.Errorf("message is %q, paused %t", op.Status.Message, op.Spec.Paused)
	}
	s.condition(op, v1alpha1.ConditionPaused, v1alpha1.ReasonStepFailed)
	s.ran(map[string]int{"b/w1": 1, "b/w2": 1, "b/w3": 1})
	if s.most != 3 || len(s.out) != 2 {
		t.Errorf("out are %v, %d were", s.out, s.most)
	}
	s.modify(func(spec *v1alpha1.OperationSpec) { spec.Paused = false })
	op = s.phase(v1alpha1.OperationSucceeded)
	if s.most != 3 || len(s.out) > 0 {
		t.Errorf("out are %v, %d were", s.out, s.most)
	}
	s.ran(map[string]int{"b/w1": 2, "b/w2": 1, "b/w3": 2, "b/w4": 1, "b/w5": 1, "b/w6": 1, "own": 1, "clean-up": 1})
	if i := slices.IndexFunc(op.Status.Steps, func(s v1alpha1.StepStatus) bool { return s.ID == "b/w3" }); op.Status.Steps[i].Job != engine.JobName("shift", "b/w3", 2) {
		t.Errorf("the second attempt is %+v", op.Status.Steps[i])
	}
}

// TestOthersNotReady: a node that is not ready for another reason takes the room of one; when that
// lasts a person is asked, and nothing else was done.
func TestOthersNotReady(t *testing.T) {
	s := newShift(t, 1, 0, 2)
	for _, name := range []string{"other", "stranger", "cp1"} {
		if _, err := s.clients.Kube.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		s.ready(name, corev1.ConditionUnknown)
	}
	first := s.start(s.config("one"))
	s.until("what it waits for", func(op *v1alpha1.Operation) bool {
		return op.Status.Phase == v1alpha1.OperationRunning && op.Status.Message == "waits: no more than 1 nodes may be out, and not ready are other"
	})
	first.kill()
	// Whoever takes over waits as well.
	config := s.config("two")
	config.Patience = time.Second
	s.start(config)
	op := s.phase(v1alpha1.OperationPaused)
	if !strings.HasSuffix(op.Status.Message, "goes on: no more than 1 nodes may be out, and not ready are other") {
		t.Errorf("message is %q", op.Status.Message)
	}
	s.ran(map[string]int{})
	s.ready("other", corev1.ConditionTrue)
	s.modify(func(spec *v1alpha1.OperationSpec) { spec.Paused = false })
	s.phase(v1alpha1.OperationSucceeded)
	if s.most != 1 {
		t.Errorf("%d were out", s.most)
	}
}

// TestJobsGo: the Job of a step goes when its end is written, but that of one that has failed, and that
// of one that may be asked again.
func TestJobsGo(t *testing.T) {
	s := newShift(t, 2, 1, 4)
	s.nodes.tasks["b/w2"] = badly
	jobs := s.clients.Kube.BatchV1().Jobs(v1alpha1.SystemNamespace)
	config := s.config("one")
	config.Runner = func(j engine.Job) transport.Runner {
		return &fakeRunner{nodes: s.nodes, job: j, before: func(ctx context.Context) error {
			job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: j.Name}}
			pod := &job.Spec.Template.Spec
			pod.RestartPolicy, pod.Containers = corev1.RestartPolicyNever, []corev1.Container{{Name: "c", Image: "i"}}
			_, err := jobs.Create(ctx, job, metav1.CreateOptions{})
			return err
		}}
	}
	// What is asked again is of another kind.
	def := config.Definitions[v1alpha1.OperationJoin]
	kept := def.Steps["b"].(engine.NodeTask)
	kept.KeepJob = true
	def.Steps["a"] = kept
	s.steps = slices.Insert(s.steps, 0, v1alpha1.StepStatus{ID: "a/w1", Node: "w1", State: v1alpha1.StepPending})
	s.nodes.tasks["a/w1"] = well
	s.finished(s.start(config))
	var left []string
	if !poll.Until(deadline, func() bool {
		list, err := jobs.List(t.Context(), metav1.ListOptions{})
		left = nil
		for _, j := range list.Items {
			left = append(left, j.Name)
		}
		return err == nil && len(left) <= 2
	}) {
		t.Errorf("left are %v", left)
	}
	if want := []string{engine.JobName("shift", "a/w1", 1), engine.JobName("shift", "b/w2", 1)}; !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
}

// TestLostAnew: attempts that were lost before a person resumed do not count after it, with the same
// coordinator.
func TestLostAnew(t *testing.T) {
	s := newShift(t, 3, 1, 3)
	for _, n := range []string{"b/w1", "b/w2"} {
		s.nodes.tasks[n] = func(i int) (node.Result, error) {
			if i <= 3+2 { // Twice lost is what may be.
				return node.Result{}, lost{}
			}
			return well(i)
		}
	}
	c := s.start(s.config("one"))
	s.phase(v1alpha1.OperationPaused)
	s.modify(func(spec *v1alpha1.OperationSpec) { spec.Paused = false })
	s.phase(v1alpha1.OperationSucceeded)
	s.finished(c)
	s.ran(map[string]int{"b/w1": 6, "b/w2": 6, "b/w3": 1, "own": 1, "clean-up": 1})
}
