package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

const deadline = time.Minute

// world is a real apiserver with one Operation.
type world struct {
	*testing.T
	clients *client.Clients
	ops     *operations.Client
	name    string
	nodes   *fakeNodes
	// mayAbort is the node tasks'.
	mayAbort bool
	// ends counts how often what was lent for the Operation was given back.
	ends atomic.Int32
	own  map[string]func(context.Context, engine.Turn) (engine.Outcome, error)
}

// plan is a → b/1, b/2 side by side → own, and a clean-up.
func plan(context.Context, engine.Env) ([]v1alpha1.StepStatus, error) {
	p := v1alpha1.StepPending
	return []v1alpha1.StepStatus{
		{ID: "a/n1", Node: "n1", State: p, UndoneBy: "clean-up"},
		{ID: "b/n2", Node: "n2", After: []string{"a/n1"}, State: p},
		{ID: "b/n3", Node: "n3", After: []string{"a/n1"}, State: p},
		{ID: "skipped", State: v1alpha1.StepSkipped, Message: "already up to date"},
		{ID: "own", After: []string{"b/n2", "b/n3", "skipped"}, State: p},
		{ID: "clean-up", Cleanup: true, State: p},
	}, nil
}

func (w *world) definitions() map[v1alpha1.OperationType]engine.Definition {
	task := engine.NodeTask{LostRetries: 2, MayAbort: w.mayAbort, Request: func(context.Context, engine.Turn) (node.Request, error) {
		return node.Request{Task: "test"}, nil
	}}
	do := func(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
		w.nodes.mu.Lock()
		w.nodes.runs[t.Step.ID]++
		f := w.own[t.Step.ID]
		w.nodes.mu.Unlock()
		if f == nil {
			return engine.Outcome{Message: "done"}, nil
		}
		return f(ctx, t)
	}
	return map[v1alpha1.OperationType]engine.Definition{v1alpha1.OperationJoin: {
		Plan: plan,
		Steps: map[string]engine.Step{
			"a": task, "b": task, "own": engine.Func{Do: do, Gate: true}, "skipped": engine.Func{Do: do}, "clean-up": engine.Func{Do: do},
		},
		End: func(ctx context.Context, _ engine.Env) error {
			// The Operation is held until everything is given back.
			op, err := w.ops.Get(ctx, w.name)
			if err == nil && len(op.Finalizers) == 0 && w.ends.Load() == 0 {
				w.Error("the end came after the Operation's")
			}
			w.ends.Add(1)
			return nil
		},
	}}
}

func (w *world) config(identity string) engine.Config {
	return engine.Config{
		Clients: w.clients, Operation: w.name, Identity: identity,
		Cluster: &v1alpha1.Cluster{}, Definitions: w.definitions(), Runner: w.nodes.runner,
		Sink: report.SinkFunc(func(report.Event) {}),
		// Each step in a part of its own: those of few nodes are in the Operation in all tests with
		// real types.
		Limits: operations.Limits{Whole: 1, Part: 1},
		Lease:  engine.LeaseTimes{Duration: 3 * time.Second, Renew: 2 * time.Second, Retry: 200 * time.Millisecond},
	}
}

// coordinator is one that runs.
type coordinator struct {
	kill func()
	end  chan error
}

func (w *world) start(c engine.Config) *coordinator {
	ctx, cancel := context.WithCancel(context.Background())
	co := &coordinator{end: make(chan error, 1)}
	gone := make(chan struct{})
	co.kill = func() { cancel(); <-gone }
	go func() {
		defer close(gone)
		co.end <- engine.Coordinate(ctx, c)
	}()
	w.Cleanup(co.kill)
	return co
}

// until waits for a state of the Operation.
func (w *world) until(what string, ok func(*v1alpha1.Operation) bool) *v1alpha1.Operation {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	var last *v1alpha1.Operation
	for look := range w.ops.Follow(ctx, w.name) {
		if look.Operation != nil {
			if last = look.Operation; ok(last) {
				return last
			}
		}
	}
	w.Fatalf("waiting for %s; the last status was %+v", what, last)
	return nil
}

// untilRun waits until a task was begun once. No event of the Operation's tells that:
// it is written that the step runs before the task is begun.
func (w *world) untilRun(id string) *v1alpha1.Operation {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	for w.nodes.count()[id] != 1 {
		select {
		case <-ctx.Done():
			w.Fatalf("waiting for %s to run; so often were tasks begun: %v", id, w.nodes.count())
		case <-time.After(10 * time.Millisecond):
		}
	}
	op, err := w.ops.Get(ctx, w.name)
	if err != nil {
		w.Fatal(err)
	}
	return op
}

func (w *world) phase(p v1alpha1.OperationPhase) *v1alpha1.Operation {
	w.Helper()
	return w.until("phase "+string(p), func(op *v1alpha1.Operation) bool { return op.Status.Phase == p })
}

func (w *world) modify(change func(*v1alpha1.OperationSpec)) {
	w.Helper()
	_, err := w.ops.Modify(context.Background(), w.name, func(op *v1alpha1.Operation) error {
		change(&op.Spec)
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) ran(want map[string]int) {
	w.Helper()
	if got := w.nodes.count(); !maps.Equal(got, want) {
		w.Errorf("tasks were run %v, want %v", got, want)
	}
}

// gaveBack wants that what was lent was given back once in each of n ends.
func (w *world) gaveBack(n int32) {
	w.Helper()
	if got := w.ends.Load(); got != n {
		w.Errorf("what was lent was given back %d times, want %d", got, n)
	}
}

func (w *world) states(op *v1alpha1.Operation, want string) {
	w.Helper()
	var got []string
	for _, s := range op.Status.Steps {
		got = append(got, string(s.State))
	}
	if s := strings.Join(got, " "); s != want {
		w.Errorf("states are %s, want %s", s, want)
	}
}

func allWell() map[string]func(int) (node.Result, error) {
	return map[string]func(int) (node.Result, error){"a/n1": well, "b/n2": well, "b/n3": well}
}

// once is what runs when nothing goes wrong.
func once() map[string]int {
	return map[string]int{"a/n1": 1, "b/n2": 1, "b/n3": 1, "own": 1, "clean-up": 1}
}

// installed is the administrator's client of an API server that knows Operations.
func installed(t testing.TB, s *kubetest.Server) *client.Clients {
	t.Helper()
	clients, err := client.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{manifests.OperationCRD, manifests.System} {
		objects, err := apply.Load(manifests.FS, file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := apply.Apply(t.Context(), clients, objects, apply.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	return clients
}

func TestEngine(t *testing.T) {
	s := kubetest.Start(t)
	clients := installed(t, s)
	for name, test := range map[string]func(*world){
		"success": testSuccess, "pause": testPause, "abort": testAbort, "abort-task": testAbortTask, "failure": testFailure, "lost": testLost,
		"killed-before-acting": testKilledBeforeActing, "killed-before-recording": testKilledBeforeRecording,
		"two-coordinators": testTwoCoordinators, "lease-lost": testLeaseLost, "deleted": testDeleted, "no-plan": testNoPlan,
		"turn": testTurn, "no-turn": testNoTurn, "plan-fails": testPlanFails, "plan-again": testPlanAgain, "aborted-before-plan": testAbortedBeforePlan,
		"removed": testRemoved, "removed-with-lease": testRemovedWithLease,
		"told": testTold, "told-later": testToldLater, "told-in-part": testToldInPart, "may-not-tell": testMayNotTell,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{T: t, clients: clients, ops: operations.New(clients.Dynamic), name: name,
				nodes: newFakeNodes(allWell()), own: map[string]func(context.Context, engine.Turn) (engine.Outcome, error){}}
			_, err := w.ops.Create(t.Context(), &v1alpha1.Operation{
				ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec:       v1alpha1.OperationSpec{Type: v1alpha1.OperationJoin, Join: &v1alpha1.JoinSpec{Source: "n1"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			test(w)
		})
	}
}

func testSuccess(w *world) {
	c := w.start(w.config("one"))
	op := w.phase(v1alpha1.OperationSucceeded)
	w.states(op, "Succeeded Succeeded Succeeded Skipped Succeeded Succeeded")
	w.ran(once())
	if err := <-c.end; err != nil {
		w.Errorf("the coordinator ended with %v", err)
	}
	if op.Status.Parts != 6 || op.Status.Progress != "6/6" || op.Status.StartedAt == nil || op.Status.FinishedAt == nil || op.Status.Coordinator != "one" {
		w.Errorf("status is %+v", op.Status)
	}
	if job := op.Status.Steps[1].Job; job != engine.JobName(w.name, "b/n2", 1) {
		w.Errorf("the job of b/n2 is %q", job)
	}
	op, err := w.ops.Get(context.Background(), w.name)
	if err != nil || len(op.Finalizers) > 0 {
		w.Errorf("finalizers left: %v, %v", op, err)
	}
	w.gaveBack(1)
}

// testPause pauses while a/n1 runs: it finishes, nothing else starts.
func testPause(w *world) {
	release := make(chan struct{})
	w.nodes.tasks["a/n1"] = func(n int) (node.Result, error) { <-release; return well(n) }
	w.start(w.config("one"))
	w.untilRun("a/n1")
	w.modify(func(s *v1alpha1.OperationSpec) { s.Paused = true })
	w.until("the message", func(op *v1alpha1.Operation) bool { return strings.HasPrefix(op.Status.Message, "pausing") })
	close(release)
	op := w.phase(v1alpha1.OperationPaused)
	w.states(op, "Succeeded Pending Pending Skipped Pending Pending")
	w.ran(map[string]int{"a/n1": 1})
	w.modify(func(s *v1alpha1.OperationSpec) { s.Paused = false })
	w.phase(v1alpha1.OperationSucceeded)
	w.ran(once())
}

// testAbort aborts while b/n2 and the rest run: they finish, the clean-up runs.
func testAbort(w *world) {
	release := make(chan struct{})
	w.nodes.tasks["b/n2"] = func(n int) (node.Result, error) { <-release; return well(n) }
	w.start(w.config("one"))
	w.untilRun("b/n2")
	w.modify(func(s *v1alpha1.OperationSpec) { s.Aborted = true })
	w.until("the message", func(op *v1alpha1.Operation) bool { return strings.HasPrefix(op.Status.Message, "aborting") })
	close(release)
	op := w.phase(v1alpha1.OperationAborted)
	w.states(op, "Succeeded Succeeded Succeeded Skipped Pending Succeeded")
	w.ran(map[string]int{"a/n1": 1, "b/n2": 1, "b/n3": 1, "clean-up": 1})
}

// testAbortTask aborts while a task that may be ended in its middle would run for
// ever: it is not waited for, and its Job is removed.
func testAbortTask(w *world) {
	w.mayAbort = true
	release := make(chan struct{})
	w.Cleanup(func() { close(release) })
	w.nodes.tasks["b/n2"] = func(n int) (node.Result, error) { <-release; return well(n) }
	w.start(w.config("one"))
	op := w.untilRun("b/n2")
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: op.Status.Steps[1].Job}}
	pod := &job.Spec.Template.Spec
	pod.RestartPolicy, pod.Containers = corev1.RestartPolicyNever, []corev1.Container{{Name: "c", Image: "i"}}
	jobs := w.clients.Kube.BatchV1().Jobs(v1alpha1.SystemNamespace)
	if _, err := jobs.Create(w.Context(), job, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	w.modify(func(s *v1alpha1.OperationSpec) { s.Aborted = true })
	op = w.phase(v1alpha1.OperationAborted)
	w.states(op, "Succeeded Skipped Succeeded Skipped Pending Succeeded")
	if _, err := jobs.Get(w.Context(), job.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		w.Errorf("the job is still there: %v", err)
	}
}

// testFailure fails b/n2 once, and is retried by a person: what the clean-up
// undid is done again, what is done and not undone is not.
func testFailure(w *world) {
	w.nodes.tasks["b/n2"] = func(n int) (node.Result, error) {
		if n == 1 {
			return badly(n)
		}
		return well(n)
	}
	c := w.start(w.config("one"))
	op := w.phase(v1alpha1.OperationFailed)
	w.states(op, "Succeeded Failed Succeeded Skipped Pending Succeeded")
	if want := "b/n2: n2: kubeadm failed"; op.Status.Message != want {
		w.Errorf("message is %q, want %q", op.Status.Message, want)
	}
	if want := "n2: kubeadm failed\nnext: look at the disk\nno space left"; op.Status.Steps[1].Message != want {
		w.Errorf("the step's message is %q, want %q", op.Status.Steps[1].Message, want)
	}
	if err := <-c.end; err != nil {
		w.Errorf("the coordinator ended with %v", err)
	}
	if _, err := w.ops.ModifyStatus(context.Background(), w.name, func(op *v1alpha1.Operation) error {
		op.Status = operations.Retry(op.Status)
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	w.start(w.config("two"))
	op = w.phase(v1alpha1.OperationSucceeded)
	w.ran(map[string]int{"a/n1": 2, "b/n2": 2, "b/n3": 1, "own": 1, "clean-up": 2})
	if op.Status.Steps[1].Attempt != 2 || op.Status.Steps[1].Job != engine.JobName(w.name, "b/n2", 2) {
		w.Errorf("the second attempt is %+v", op.Status.Steps[1])
	}
}

// testLost loses two attempts of b/n2 with their node, which is retried by
// itself, and all of b/n3, which is a failure in the end.
func testLost(w *world) {
	w.nodes.tasks["b/n2"] = func(n int) (node.Result, error) {
		if n <= 2 {
			return node.Result{}, lost{}
		}
		return well(n)
	}
	w.nodes.tasks["b/n3"] = func(int) (node.Result, error) { return node.Result{}, lost{} }
	w.start(w.config("one"))
	op := w.phase(v1alpha1.OperationFailed)
	w.states(op, "Succeeded Succeeded Failed Skipped Pending Succeeded")
	w.ran(map[string]int{"a/n1": 1, "b/n2": 3, "b/n3": 3, "clean-up": 1})
}

// testKilledBeforeActing kills a coordinator that has written its intent and
// not acted yet.
func testKilledBeforeActing(w *world) {
	reached := make(chan struct{})
	var one sync.Once
	config := w.config("one")
	config.Runner = func(j engine.Job) transport.Runner {
		return &fakeRunner{nodes: w.nodes, job: j, before: func(ctx context.Context) error {
			one.Do(func() { close(reached) })
			<-ctx.Done()
			return ctx.Err()
		}}
	}
	c := w.start(config)
	<-reached
	c.kill()
	op, err := w.ops.Get(context.Background(), w.name)
	if err != nil || op.Status.Steps[0].State != v1alpha1.StepRunning || op.Status.Steps[0].Attempt != 1 {
		w.Fatalf("the intent is not in the status: %+v, %v", op, err)
	}
	w.ran(map[string]int{})
	w.start(w.config("two"))
	op = w.phase(v1alpha1.OperationSucceeded)
	w.ran(once())
	if op.Status.Coordinator != "two" || op.Status.Steps[0].Attempt != 1 {
		w.Errorf("status is %+v", op.Status)
	}
}

// testKilledBeforeRecording kills a coordinator whose task is done and not
// recorded: the next one finds the Job and does not run it again.
func testKilledBeforeRecording(w *world) {
	reached := make(chan struct{})
	config := w.config("one")
	config.Runner = func(j engine.Job) transport.Runner {
		return &fakeRunner{nodes: w.nodes, job: j, after: func(ctx context.Context) error {
			if j.Name != engine.JobName(w.name, "a/n1", 1) {
				return nil
			}
			close(reached)
			<-ctx.Done()
			return ctx.Err()
		}}
	}
	c := w.start(config)
	<-reached
	c.kill()
	w.ran(map[string]int{"a/n1": 1})
	w.start(w.config("two"))
	w.phase(v1alpha1.OperationSucceeded)
	w.ran(once())
}

// testTwoCoordinators starts two at once: one works, the other waits, and ends
// when all is done.
func testTwoCoordinators(w *world) {
	release := make(chan struct{})
	w.nodes.tasks["a/n1"] = func(n int) (node.Result, error) { <-release; return well(n) }
	one, two := w.start(w.config("one")), w.start(w.config("two"))
	op := w.untilRun("a/n1")
	first := op.Status.Coordinator
	close(release)
	op = w.phase(v1alpha1.OperationSucceeded)
	if op.Status.Coordinator != first {
		w.Errorf("%s took over from %s", op.Status.Coordinator, first)
	}
	w.ran(once())
	for _, c := range []*coordinator{one, two} {
		select {
		case err := <-c.end:
			if err != nil {
				w.Errorf("a coordinator ended with %v", err)
			}
		case <-time.After(deadline):
			w.Fatal("a coordinator did not end")
		}
	}
}

// testLeaseLost cuts a coordinator from the API where its lease is concerned:
// it stops by itself, another takes over, and no task runs twice.
func testLeaseLost(w *world) {
	release := make(chan struct{})
	w.nodes.tasks["a/n1"] = func(n int) (node.Result, error) { <-release; return well(n) }
	config := w.config("one")
	cut := &cutter{}
	cutConfig := rest.CopyConfig(w.clients.Config)
	cutConfig.Wrap(func(next http.RoundTripper) http.RoundTripper { cut.next = next; return cut })
	kube, err := kubernetes.NewForConfig(cutConfig)
	if err != nil {
		w.Fatal(err)
	}
	config.LeaseClient = kube
	w.start(config)
	w.untilRun("a/n1")
	w.start(w.config("two"))
	cut.set()
	w.until("the second coordinator", func(op *v1alpha1.Operation) bool { return op.Status.Coordinator == "two" })
	close(release)
	op := w.phase(v1alpha1.OperationSucceeded)
	if op.Status.Coordinator != "two" {
		w.Errorf("%s ended it", op.Status.Coordinator)
	}
	w.ran(once())
}

// cutter loses all requests once it is set.
type cutter struct {
	mu   sync.Mutex
	cut  bool
	next http.RoundTripper
}

func (c *cutter) set() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
}

func (c *cutter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, errors.New("the network is cut")
	}
	return c.next.RoundTrip(r)
}

// testDeleted deletes the Operation in the middle: what runs finishes, the
// clean-up runs, and then it is gone.
func testDeleted(w *world) {
	release := make(chan struct{})
	w.nodes.tasks["a/n1"] = func(n int) (node.Result, error) { <-release; return well(n) }
	c := w.start(w.config("one"))
	w.untilRun("a/n1")
	if err := w.ops.Delete(context.Background(), w.name); err != nil {
		w.Fatal(err)
	}
	w.until("the message", func(op *v1alpha1.Operation) bool { return strings.HasPrefix(op.Status.Message, "aborting") })
	close(release)
	select {
	case err := <-c.end:
		if err != nil {
			w.Errorf("the coordinator ended with %v", err)
		}
	case <-time.After(deadline):
		w.Fatal("the coordinator did not end")
	}
	if _, err := w.ops.Get(context.Background(), w.name); !apierrors.IsNotFound(err) {
		w.Errorf("the operation is still there: %v", err)
	}
	w.ran(map[string]int{"a/n1": 1, "clean-up": 1})
	w.gaveBack(1)
}

// testRemoved removes the Operation by force, finalizer and all: the
// coordinator ends and starts nothing more.
func testRemoved(w *world) {
	release := make(chan struct{})
	defer close(release)
	w.nodes.tasks["a/n1"] = func(n int) (node.Result, error) { <-release; return well(n) }
	c := w.start(w.config("one"))
	w.untilRun("a/n1")
	if _, err := w.ops.Modify(context.Background(), w.name, func(op *v1alpha1.Operation) error {
		op.Finalizers = nil
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	if err := w.ops.Delete(context.Background(), w.name); err != nil {
		w.Fatal(err)
	}
	select {
	case err := <-c.end:
		if err != nil {
			w.Errorf("the coordinator ended with %v", err)
		}
	case <-time.After(deadline):
		w.Fatal("the coordinator did not end")
	}
	w.ran(map[string]int{"a/n1": 1})
}

// testRemovedWithLease removes the Operation and, as garbage collection does,
// its lease, while a standby waits for that: it ends, and leaves no lease behind.
func testRemovedWithLease(w *world) {
	release := make(chan struct{})
	defer close(release)
	w.nodes.tasks["a/n1"] = func(n int) (node.Result, error) { <-release; return well(n) }
	one := w.start(w.config("one"))
	w.untilRun("a/n1")
	two := w.config("two")
	waiting := make(chan struct{})
	two.Sink = report.SinkFunc(func(e report.Event) {
		if strings.Contains(e.Message, "one coordinates") {
			close(waiting)
		}
	})
	standby := w.start(two)
	<-waiting
	if _, err := w.ops.Modify(context.Background(), w.name, func(op *v1alpha1.Operation) error {
		op.Finalizers = nil
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	leases := w.clients.Kube.CoordinationV1().Leases(v1alpha1.SystemNamespace)
	err := errors.Join(w.ops.Delete(context.Background(), w.name), leases.Delete(context.Background(), engine.LeaseName(w.name), metav1.DeleteOptions{}))
	if err != nil {
		w.Fatal(err)
	}
	for _, c := range []*coordinator{one, standby} {
		select {
		case err := <-c.end:
			if err != nil {
				w.Errorf("a coordinator ended with %v", err)
			}
		case <-time.After(deadline):
			w.Fatal("a coordinator did not end")
		}
	}
	if lease, err := leases.Get(context.Background(), engine.LeaseName(w.name), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		w.Errorf("a lease is left: %v, %v", lease, err)
	}
}

// testPlanFails: there are no steps, so that none of them gives anything back.
func testPlanFails(w *world) {
	config := w.config("one")
	def := config.Definitions[v1alpha1.OperationJoin]
	def.Plan = func(context.Context, engine.Env) ([]v1alpha1.StepStatus, error) {
		return nil, errors.New("no host is like that")
	}
	config.Definitions = map[v1alpha1.OperationType]engine.Definition{v1alpha1.OperationJoin: def}
	c := w.start(config)
	op := w.phase(v1alpha1.OperationFailed)
	if op.Status.Message != "no plan could be made: no host is like that" {
		w.Errorf("message is %q", op.Status.Message)
	}
	if err := <-c.end; err != nil {
		w.Errorf("the coordinator ended with %v", err)
	}
	w.gaveBack(1)
}

// testPlanAgain: an API server that restarts while the plan is made is no reason to fail.
func testPlanAgain(w *world) {
	config := w.config("one")
	def := config.Definitions[v1alpha1.OperationJoin]
	var tries atomic.Int32
	def.Plan = func(ctx context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
		if tries.Add(1) == 1 {
			return nil, fmt.Errorf("list the nodes: %w", apierrors.NewServiceUnavailable("the API server is shutting down"))
		}
		return plan(ctx, env)
	}
	config.Definitions = map[v1alpha1.OperationType]engine.Definition{v1alpha1.OperationJoin: def}
	w.start(config)
	w.phase(v1alpha1.OperationSucceeded)
	w.ran(once())
}

// testAbortedBeforePlan: it ends without a step.
func testAbortedBeforePlan(w *world) {
	w.modify(func(s *v1alpha1.OperationSpec) { s.Aborted = true })
	c := w.start(w.config("one"))
	w.phase(v1alpha1.OperationAborted)
	if err := <-c.end; err != nil {
		w.Errorf("the coordinator ended with %v", err)
	}
	w.ran(map[string]int{})
	w.gaveBack(1)
}

// testTurn: while another one is in progress there is no plan, and what is waited for is told.
func testTurn(w *world) {
	config := w.config("one")
	var free atomic.Bool
	config.Claim = func(_ context.Context, operation string) error {
		if operation != w.name || !free.Load() {
			return &operations.BusyError{Name: "other", Type: v1alpha1.OperationUpgrade}
		}
		return nil
	}
	w.start(config)
	op := w.until("what it waits for", func(op *v1alpha1.Operation) bool { return op.Status.Message != "" })
	if !strings.HasPrefix(op.Status.Message, "waits for its turn: operation other (Upgrade) is not finished") || op.Status.Phase != v1alpha1.OperationPending || len(op.Status.Steps) > 0 {
		w.Errorf("%+v", op.Status)
	}
	free.Store(true)
	w.phase(v1alpha1.OperationSucceeded)
	w.ran(once())
}

// testNoTurn: one that has done nothing need not wait in order to be aborted.
func testNoTurn(w *world) {
	config := w.config("one")
	config.Claim = func(context.Context, string) error {
		return &operations.BusyError{Name: "other", Type: v1alpha1.OperationUpgrade}
	}
	c := w.start(config)
	w.until("what it waits for", func(op *v1alpha1.Operation) bool { return op.Status.Message != "" })
	w.modify(func(s *v1alpha1.OperationSpec) { s.Aborted = true })
	w.phase(v1alpha1.OperationAborted)
	if err := <-c.end; err != nil {
		w.Errorf("the coordinator ended with %v", err)
	}
	w.ran(map[string]int{})
	w.gaveBack(1)
}

// testNoPlan has a type that the coordinator doesn't know.
func testNoPlan(w *world) {
	config := w.config("one")
	config.Definitions = nil
	c := w.start(config)
	op := w.phase(v1alpha1.OperationFailed)
	if !strings.Contains(op.Status.Message, "does not know operations of type Join") {
		w.Errorf("message is %q", op.Status.Message)
	}
	if err := <-c.end; err != nil {
		w.Errorf("the coordinator ended with %v", err)
	}
	w.ran(map[string]int{})
}
