package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// TestTakesAllEndings: what has ended meanwhile is written at once, and not each by a write of its own.
func TestTakesAllEndings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 100
		r := newRun(Config{}, operations.New(dynamicfake.NewSimpleDynamicClient(runtime.NewScheme())))
		for i := range many {
			go func() { r.ended <- ending{attempt: int32(i)} }()
		}
		synctest.Wait()
		if err := r.sleep(t.Context(), nil, nil, &v1alpha1.Operation{}); err != nil || len(r.unwritten) != many {
			t.Errorf("%d of %d were taken: %v", len(r.unwritten), many, err)
			for range many - len(r.unwritten) {
				<-r.ended
			}
		}
	})
}

// TestLinesByTheTick: a step that ends has only its own change written. The lines of those that run come with
// the tick.
func TestLinesByTheTick(t *testing.T) {
	op := &v1alpha1.Operation{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.OperationKind}, ObjectMeta: metav1.ObjectMeta{Name: "op"},
		Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationJoin}, Status: v1alpha1.OperationStatus{Coordinator: "me", Phase: v1alpha1.OperationRunning, Steps: []v1alpha1.StepStatus{
			{ID: "a", State: v1alpha1.StepRunning, Attempt: 1}, {ID: "b", State: v1alpha1.StepRunning, Attempt: 1}}}}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(op)
	if err != nil {
		t.Fatal(err)
	}
	ops := operations.New(dynamicfake.NewSimpleDynamicClient(runtime.NewScheme(), &unstructured.Unstructured{Object: content}))
	r := newRun(Config{Clients: &client.Clients{Kube: fake.NewClientset()}, Operation: "op", Identity: "me", Sink: report.Discard()}, ops)
	r.running["b"] = func() {}
	r.tell(op.Status.Steps[1], "half of it")
	r.unwritten = []ending{{id: "a", attempt: 1}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if op, _, err = r.advance(ctx); err != nil || op.Status.Steps[0].State != v1alpha1.StepSucceeded || op.Status.Steps[1].Message != "" {
		t.Fatalf("%v, %+v", err, op)
	}
	tick := make(chan time.Time, 1)
	tick <- time.Time{}
	if err := r.sleep(ctx, nil, tick, op); err != nil {
		t.Fatal(err)
	}
	if op, _, err = r.advance(ctx); err != nil || op.Status.Steps[1].Message != "half of it" || r.tells {
		t.Fatalf("by the tick: %v, %+v, %t", err, op, r.tells)
	}
}
