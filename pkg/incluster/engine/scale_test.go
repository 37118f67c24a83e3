package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// traffic counts what a client writes of Operations and their parts, by what the API server has stored.
type traffic struct {
	http.RoundTripper
	mu              sync.Mutex
	writes          int
	written, widest int64
	requests        map[string]int
}

func (tr *traffic) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := tr.RoundTripper.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.requests[req.Method]++
	if req.Method != http.MethodPut && req.Method != http.MethodPost || !strings.Contains(req.URL.Path, "/operation") {
		return resp, nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	tr.writes++
	tr.written += int64(len(body))
	tr.widest = max(tr.widest, int64(len(body)))
	return resp, nil
}

// turnsOf are the steps of so many workers, of which ten may be out at once.
func turnsOf(workers int) []v1alpha1.StepStatus {
	out := []v1alpha1.StepStatus{{ID: "workers", State: v1alpha1.StepPending, Turns: &v1alpha1.TurnBounds{AtOnce: 10}}}
	for i := range workers {
		name := fmt.Sprintf("worker-%04d.rack-%02d.example.com", i, i%40)
		after := "workers"
		for _, kind := range []string{"cordon", "drain", "binaries", "kubelet", "gate", "uncordon"} {
			id := kind + "/" + name
			out = append(out, v1alpha1.StepStatus{ID: id, Title: kind + " " + name, Node: name, After: []string{after}, State: v1alpha1.StepPending})
			after = id
		}
	}
	return out
}

// large is a cluster with an Operation of many turns, whose tasks are played.
type large struct {
	testing.TB
	ops     *operations.Client
	config  engine.Config
	traffic *traffic
	mu      sync.Mutex
	jobs    map[string]bool
	// fails is the step that does, the first time.
	fails string
}

func newLarge(t testing.TB, workers int) *large {
	t.Helper()
	s := kubetest.Start(t)
	tr := &traffic{requests: map[string]int{}}
	admin := installed(t, s)
	// With the coordinator's own rights, and as many requests as it likes.
	config := kubetest.AsServiceAccount(s.Config, v1alpha1.SystemNamespace, "ha-coordinator")
	config.QPS = -1
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { tr.RoundTripper = rt; return tr })
	clients, err := client.New(config)
	if err != nil {
		t.Fatal(err)
	}
	l := &large{TB: t, ops: operations.New(admin.Dynamic), traffic: tr, jobs: map[string]bool{}}
	task := engine.NodeTask{Request: func(context.Context, engine.Turn) (node.Request, error) { return node.Request{Task: "test"}, nil }}
	steps := map[string]engine.Step{"workers": engine.Func{Do: func(context.Context, engine.Turn) (engine.Outcome, error) { return engine.Outcome{}, nil }}}
	for _, kind := range []string{"cordon", "drain", "binaries", "kubelet", "gate", "uncordon"} {
		steps[kind] = task
	}
	l.config = engine.Config{Clients: clients, Operation: "large", Identity: "one", Cluster: &v1alpha1.Cluster{},
		Definitions: map[v1alpha1.OperationType]engine.Definition{v1alpha1.OperationJoin: {
			Plan:  func(context.Context, engine.Env) ([]v1alpha1.StepStatus, error) { return turnsOf(workers), nil },
			Steps: steps,
			Opens: "workers",
		}},
		Runner: func(j engine.Job) transport.Runner { return played{l, j} },
		Sink:   report.Discard(),
	}
	_, err = l.ops.Create(t.Context(), &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "large"},
		Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationJoin, Join: &v1alpha1.JoinSpec{Source: "n1"}}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// played is a node that has done its task at once, and fails where the test wants it.
type played struct {
	*large
	job engine.Job
}

func (p played) Run(_ context.Context, _ string, req node.Request, _ report.Sink) (node.Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jobs[p.job.Name] {
		return node.Result{}, fmt.Errorf("the Job %s ran twice", p.job.Name)
	}
	p.jobs[p.job.Name] = true
	if req.Step == p.fails {
		p.fails = ""
		return node.Result{Failure: &node.Failure{Message: strings.Repeat("it does not start; ", 20)}}, nil
	}
	return well(1)
}

func (l *large) coordinate(ctx context.Context) {
	l.Helper()
	if err := engine.Coordinate(ctx, l.config); err != nil && ctx.Err() == nil {
		l.Fatal(err)
	}
}

// TestLargePlan: a plan that is too large for one object is carried out, fails in its middle, is gone
// on with by another coordinator, and is seen whole by whoever asks; each step's change writes
// little.
func TestLargePlan(t *testing.T) {
	t.Parallel()
	const workers = 40
	l := newLarge(t, workers)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	steps := turnsOf(workers)
	l.fails = steps[len(steps)/2].ID
	l.coordinate(ctx)
	op, err := l.ops.Get(ctx, "large")
	if err != nil {
		t.Fatal(err)
	}
	if op.Status.Phase != v1alpha1.OperationFailed || !strings.Contains(op.Status.Message, "it does not start") || len(op.Status.Steps) != len(steps) || op.Status.Parts < workers {
		t.Fatalf("%s (%s), %d steps in %d parts", op.Status.Phase, op.Status.Message, len(op.Status.Steps), op.Status.Parts)
	}
	for i, s := range op.Status.Steps {
		if s.ID != steps[i].ID || s.Title != steps[i].Title || s.Node != steps[i].Node {
			t.Fatalf("step %d is %s, was planned as %s", i, s.ID, steps[i].ID)
		}
	}
	heads, err := l.ops.Heads(ctx)
	if err != nil || len(heads) != 1 || len(heads[0].Status.Steps) != 0 || heads[0].Status.Progress != op.Status.Progress {
		t.Errorf("its head: %+v, %v", heads, err)
	}
	all, err := l.ops.List(ctx)
	if err != nil || len(all) != 1 || len(all[0].Status.Steps) != len(steps) {
		t.Errorf("in a list it has not all of its steps: %v", err)
	}
	l.traffic.mu.Lock()
	if l.traffic.widest > 4<<10 {
		t.Errorf("one write stores %d bytes", l.traffic.widest)
	}
	l.traffic.mu.Unlock()

	// As kubectl ha operation resume, and another coordinator, which is killed once on its way.
	if _, err := l.ops.ModifyStatus(ctx, "large", func(op *v1alpha1.Operation) error {
		op.Status = operations.Retry(op.Status)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	l.config.Identity = "two"
	first, kill := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); l.coordinate(first) }()
	for look := range l.ops.FollowHead(ctx, "large") {
		if look.Operation != nil && look.Operation.Status.Coordinator == "two" && look.Operation.Status.Phase == v1alpha1.OperationRunning {
			break
		}
	}
	kill()
	<-ended
	l.mu.Lock()
	l.jobs = map[string]bool{} // A Job that a coordinator finds is one that it follows.
	l.mu.Unlock()
	l.config.Identity = "three"
	l.coordinate(ctx)
	if op, err = l.ops.Get(ctx, "large"); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%d/%d", len(steps), len(steps)); op.Status.Phase != v1alpha1.OperationSucceeded || op.Status.Progress != want {
		t.Errorf("in the end it is %s, %s: %s", op.Status.Phase, op.Status.Progress, op.Status.Message)
	}
	for _, s := range op.Status.Steps {
		if s.State != v1alpha1.StepSucceeded || s.Attempt < 1 {
			t.Errorf("%s is %s, after %d attempts", s.ID, s.State, s.Attempt)
		}
	}
}

// BenchmarkCoordinate carries out an Operation of 50, 500 and 5,000 workers, six steps each, whose tasks
// take no time: what is left is the coordinator's own part. `make bench-scale`.
func BenchmarkCoordinate(b *testing.B) {
	for _, workers := range []int{50, 500, 5000} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			for range b.N {
				l := newLarge(b, workers)
				peak := make(chan uint64)
				ctx, stop := context.WithCancel(b.Context())
				go func() { peak <- peakHeap(ctx) }()
				b.ResetTimer()
				l.coordinate(b.Context())
				b.StopTimer()
				stop()
				op, err := l.ops.Get(b.Context(), "large")
				if err != nil || op.Status.Phase != v1alpha1.OperationSucceeded {
					b.Fatalf("it has not succeeded: %v", err)
				}
				steps := float64(6 * workers)
				b.ReportMetric(float64(l.traffic.written)/steps/2, "B/change")
				b.ReportMetric(float64(l.traffic.widest), "B/largest-write")
				b.ReportMetric(float64(l.traffic.requests[http.MethodPut]+l.traffic.requests[http.MethodPost])/steps, "writes/step")
				b.ReportMetric(float64(l.traffic.requests[http.MethodGet])/steps, "reads/step")
				b.ReportMetric(float64(b.Elapsed().Milliseconds())/steps, "ms/step")
				b.ReportMetric(float64(<-peak)/(1<<20), "MB-heap")
			}
		})
	}
}

// peakHeap is the most that was in use until the context ends, with the played nodes' share.
func peakHeap(ctx context.Context) (most uint64) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapInuse)
		select {
		case <-ctx.Done():
			return most
		case <-tick.C:
		}
	}
}
