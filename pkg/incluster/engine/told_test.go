package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// events are those about the Operation, the oldest first.
func (w *world) events() []eventsv1.Event {
	w.Helper()
	all, err := w.clients.Kube.EventsV1().Events(metav1.NamespaceDefault).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		w.Fatal(err)
	}
	op, err := w.ops.Get(context.Background(), w.name)
	if err != nil {
		w.Fatal(err)
	}
	ours := slices.DeleteFunc(all.Items, func(e eventsv1.Event) bool {
		return e.Regarding.Name != w.name || e.Regarding.Kind != "Operation" || e.Regarding.UID != op.UID
	})
	// Their names end with their times.
	slices.SortFunc(ours, func(a, b eventsv1.Event) int { return strings.Compare(a.Name, b.Name) })
	return ours
}

func (w *world) told(want string) {
	w.Helper()
	var got []string
	for _, e := range w.events() {
		got = append(got, e.Reason)
	}
	if all := strings.Join(got, " "); all != want {
		w.Errorf("told was %q, want %q", all, want)
	}
}

// finished waits for a coordinator's end, after which all is told.
func (w *world) finished(c *coordinator) {
	w.Helper()
	if err := <-c.end; err != nil {
		w.Errorf("the coordinator ended with %v", err)
	}
}

// condition wants one to be True, and to be about the Operation as it is.
func (w *world) condition(op *v1alpha1.Operation, kind, reason string) {
	w.Helper()
	c := meta.FindStatusCondition(op.Status.Conditions, kind)
	if c == nil || c.Status != metav1.ConditionTrue || c.Reason != reason || c.ObservedGeneration != op.Generation || op.Status.ObservedGeneration != op.Generation {
		w.Errorf("%s is not there for %s: %+v of %d", kind, reason, op.Status, op.Generation)
	}
}

// testTold goes through all that Events and conditions tell: begin, pause, resume, the failure
// of a step, the end, and once more after that.
func testTold(w *world) {
	release := make(chan struct{})
	w.nodes.tasks["a/n1"] = func(n int) (node.Result, error) { <-release; return well(n) }
	w.nodes.tasks["b/n2"] = func(n int) (node.Result, error) {
		if n == 1 {
			return badly(n)
		}
		return well(n)
	}
	c := w.start(w.config("one"))
	w.condition(w.untilRun("a/n1"), v1alpha1.ConditionReconciling, v1alpha1.ReasonRunning)
	w.modify(func(s *v1alpha1.OperationSpec) { s.Paused = true })
	w.until("the reason", func(op *v1alpha1.Operation) bool {
		r := meta.FindStatusCondition(op.Status.Conditions, v1alpha1.ConditionReconciling)
		return r != nil && r.Reason == v1alpha1.ReasonPausing
	})
	close(release)
	w.condition(w.phase(v1alpha1.OperationPaused), v1alpha1.ConditionPaused, v1alpha1.ReasonPaused)
	w.modify(func(s *v1alpha1.OperationSpec) { s.Paused = false })
	op := w.phase(v1alpha1.OperationFailed)
	w.condition(op, v1alpha1.ConditionFailed, v1alpha1.ReasonStepFailed)
	w.condition(op, v1alpha1.ConditionStalled, v1alpha1.ReasonStepFailed)
	w.finished(c)
	w.told("Started Paused Resumed StepFailed Failed")
	for _, e := range w.events() {
		if e.Reason != "StepFailed" {
			continue
		}
		if e.Note != "b/n2: n2: kubeadm failed\nnext: look at the disk" || e.Related == nil || e.Related.Name != "n2" || e.Type != "Warning" {
			w.Errorf("the failed step is told as %+v", e)
		}
	}
	if _, err := w.ops.ModifyStatus(context.Background(), w.name, func(op *v1alpha1.Operation) error {
		op.Status = operations.Retry(op.Status)
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	c = w.start(w.config("two"))
	op = w.phase(v1alpha1.OperationSucceeded)
	w.condition(op, v1alpha1.ConditionComplete, v1alpha1.ReasonSucceeded)
	w.finished(c)
	w.told("Started Paused Resumed StepFailed Failed Resumed Completed")
}

// onEvents answers requests for Events itself, as long as answer gives an answer or an error.
type onEvents struct {
	next   http.RoundTripper
	answer func(r *http.Request) (*http.Response, error)
}

func (o onEvents) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, "/events.k8s.io/") {
		if response, err := o.answer(r); response != nil || err != nil {
			return response, err
		}
	}
	return o.next.RoundTrip(r)
}

// throughEvents is a coordinator whose requests for Events are answered so.
func (w *world) throughEvents(answer func(r *http.Request) (*http.Response, error)) engine.Config {
	w.Helper()
	c := rest.CopyConfig(w.clients.Config)
	c.Wrap(func(next http.RoundTripper) http.RoundTripper { return onEvents{next, answer} })
	clients, err := client.New(c)
	if err != nil {
		w.Fatal(err)
	}
	config := w.config("one")
	config.Clients = clients
	return config
}

// testToldLater: what got no answer is told with what comes next, and once where only the
// answer got lost.
func testToldLater(w *world) {
	var mu sync.Mutex
	tries, arrived := 0, false
	config := w.throughEvents(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		if tries++; tries > 2 {
			return nil, nil
		}
		if tries == 2 {
			// It got there.
			again := r.Clone(context.Background())
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			again.Body = body
			plain, err := rest.TransportFor(w.clients.Config)
			if err != nil {
				return nil, err
			}
			response, err := plain.RoundTrip(again)
			if err != nil {
				return nil, err
			}
			arrived = response.StatusCode == http.StatusCreated
			if err := response.Body.Close(); err != nil {
				return nil, err
			}
		}
		return nil, errors.New("the network is cut")
	})
	config.Sink = report.SinkFunc(func(e report.Event) {
		if e.Kind == report.Warning {
			w.Errorf("warned of: %s", e.Message)
		}
	})
	c := w.start(config)
	w.phase(v1alpha1.OperationSucceeded)
	w.finished(c)
	w.told("Started Completed")
	if !arrived {
		w.Error("no answer got lost")
	}
}

// testToldInPart: of thousands of failed steps some are told, and where the others are.
func testToldInPart(w *world) {
	const nodes = 50
	// With a client of its own, since it makes more requests than all others.
	config := w.throughEvents(func(*http.Request) (*http.Response, error) { return nil, nil })
	def := config.Definitions[v1alpha1.OperationJoin]
	def.Plan = func(context.Context, engine.Env) ([]v1alpha1.StepStatus, error) {
		var out []v1alpha1.StepStatus
		for i := range nodes {
			id := fmt.Sprintf("a/n%d", i)
			out = append(out, v1alpha1.StepStatus{ID: id, Node: fmt.Sprintf("n%d", i), State: v1alpha1.StepPending})
		}
		return out, nil
	}
	all := make(chan struct{})
	var begun sync.WaitGroup
	begun.Add(nodes)
	for i := range nodes {
		w.nodes.tasks[fmt.Sprintf("a/n%d", i)] = func(n int) (node.Result, error) { begun.Done(); <-all; return badly(n) }
	}
	go func() { begun.Wait(); close(all) }()
	config.Definitions = map[v1alpha1.OperationType]engine.Definition{v1alpha1.OperationJoin: def}
	c := w.start(config)
	op := w.phase(v1alpha1.OperationFailed)
	if failures := operations.Failures(op.Status); len(failures) != nodes {
		w.Errorf("%d steps have failed", len(failures))
	}
	w.finished(c)
	events := w.events()
	if len(events) != 22 {
		w.Fatalf("%d Events, want one for the begin, 20 for steps, and one for the end", len(events))
	}
	if last := events[20].Note; last != "more steps have failed; kubectl ha operation show told-in-part has them all" {
		w.Errorf("the last of the steps' Events is %q", last)
	}
}

// testMayNotTell: a coordinator whose rights an earlier version gave does its work.
func testMayNotTell(w *world) {
	config := w.throughEvents(func(r *http.Request) (*http.Response, error) {
		const body = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"events.events.k8s.io is forbidden"}`
		return &http.Response{StatusCode: http.StatusForbidden, Request: r, Header: http.Header{"Content-Type": {"application/json"}},
			Body: io.NopCloser(strings.NewReader(body))}, nil
	})
	var mu sync.Mutex
	var warned []string
	config.Sink = report.SinkFunc(func(e report.Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Kind == report.Warning {
			warned = append(warned, e.Message)
		}
	})
	c := w.start(config)
	w.phase(v1alpha1.OperationSucceeded)
	w.finished(c)
	w.ran(once())
	w.told("")
	mu.Lock()
	defer mu.Unlock()
	if len(warned) != 2 || !strings.HasPrefix(warned[0], "no Event Started: ") {
		w.Errorf("warnings were %q", warned)
	}
}
