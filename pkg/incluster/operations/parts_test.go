package operations

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

func stepsOf(n int) []v1alpha1.StepStatus {
	var out []v1alpha1.StepStatus
	for i := range n {
		out = append(out, v1alpha1.StepStatus{ID: fmt.Sprintf("drain/w%d", i), Node: fmt.Sprintf("w%d", i), State: pending})
	}
	return out
}

func TestSplit(t *testing.T) {
	steps := stepsOf(100)
	steps[50].Title = strings.Repeat("x", 5000)
	raw, err := json.Marshal(steps)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := (Limits{Whole: len(raw) + 100*grows, Part: 1000}).split(steps); err != nil || out != nil {
		t.Errorf("one that fits is in %d parts, %v", len(out), err)
	}
	if out, err := DefaultLimits().split(nil); err != nil || out != nil {
		t.Errorf("none is in %d parts, %v", len(out), err)
	}
	out, err := Limits{Whole: 1000, Part: 1000}.split(steps)
	if err != nil || len(out) < 10 {
		t.Fatalf("%d parts, %v", len(out), err)
	}
	n := 0
	for _, part := range out {
		size := 0
		for i := range part {
			if part[i].ID != steps[n].ID {
				t.Fatalf("%s comes as number %d", part[i].ID, n)
			}
			one, err := json.Marshal(part[i])
			if err != nil {
				t.Fatal(err)
			}
			size += len(one) + grows
			n++
		}
		if size > 1000 && len(part) > 1 || len(part) == 0 {
			t.Errorf("a part of %d steps has %d bytes", len(part), size)
		}
	}
	if n != len(steps) {
		t.Errorf("%d of %d steps are in parts", n, len(steps))
	}
}

// withParts is a Client of a cluster that is played, with one Operation, whose coordinator keeps each
// step in a part of its own.
func withParts(t *testing.T, change func(*v1alpha1.Operation)) (*Client, *dynamicfake.FakeDynamicClient) {
	t.Helper()
	op := &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "upgrade-a", UID: "1"}}
	change(op)
	u, err := toUnstructured(op)
	if err != nil {
		t.Fatal(err)
	}
	lists := map[schema.GroupVersionResource]string{v1alpha1.OperationsResource: "OperationList", v1alpha1.OperationPartsResource: "OperationPartList"}
	dyn := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, u)
	// The fake gives no versions, without which a part is taken for a new one.
	dyn.PrependReactor("create", "operationparts", func(a clienttesting.Action) (bool, runtime.Object, error) {
		a.(clienttesting.CreateAction).GetObject().(*unstructured.Unstructured).SetResourceVersion("1")
		return false, nil, nil
	})
	return New(dyn).Coordinators(Limits{Whole: 1, Part: 1}), dyn
}

func steps(c *Client, t *testing.T) string {
	t.Helper()
	op, err := c.Get(t.Context(), "upgrade-a")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range op.Status.Steps {
		out = append(out, s.ID+"="+string(s.State))
	}
	return strings.Join(out, " ")
}

// TestParts: a plan is written in parts, a change reaches the one that it is about, and what an earlier
// try has left of another plan is replaced.
func TestParts(t *testing.T) {
	c, dyn := withParts(t, func(*v1alpha1.Operation) {})
	ctx := t.Context()
	// A coordinator was killed after it had made parts, before it noted them.
	left := &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "upgrade-a", UID: "1"}}
	for i := range 3 {
		if _, err := c.writePart(ctx, left, i, []v1alpha1.StepStatus{{ID: fmt.Sprintf("old/%d", i), State: pending}}, ""); err != nil {
			t.Fatal(err)
		}
	}
	if got := steps(c, t); got != "" {
		t.Errorf("what was not noted counts: %s", got)
	}
	if _, err := c.ModifyStatus(ctx, "upgrade-a", func(op *v1alpha1.Operation) error {
		op.Status.Steps = stepsOf(2)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := steps(c, t); got != "drain/w0=Pending drain/w1=Pending" {
		t.Errorf("the plan is %s", got)
	}
	dyn.ClearActions()
	op, err := c.ModifyStatus(ctx, "upgrade-a", func(op *v1alpha1.Operation) error {
		op.Status.Steps[1].State = running
		return nil
	})
	if err != nil || len(op.Status.Steps) != 2 || op.Status.Steps[1].State != running {
		t.Fatalf("%+v, %v", op, err)
	}
	var did []string
	for _, a := range dyn.Actions() {
		did = append(did, a.GetVerb()+" "+a.GetResource().Resource+" "+a.GetSubresource())
	}
	if got := strings.Join(did, ", "); got != "get operations , update operationparts , update operations status" {
		t.Errorf("for one step: %s", got)
	}
	if op.Status.PartsWritten != 1 {
		t.Error("whoever watches the Operation does not learn of it")
	}
	others := New(dyn)
	if got := steps(others, t); got != "drain/w0=Pending drain/w1=Running" {
		t.Errorf("for others it is %s", got)
	}
	if _, err := c.ModifyStatus(ctx, "upgrade-a", func(op *v1alpha1.Operation) error {
		op.Status.Steps = op.Status.Steps[:1]
		return nil
	}); err == nil {
		t.Error("a plan has lost a step")
	}
}

// TestBegunWhole: a plan that was begun in the Operation stays there, whoever writes and however large
// it has become: its coordinator may be of a version that knows no parts.
func TestBegunWhole(t *testing.T) {
	c, dyn := withParts(t, func(op *v1alpha1.Operation) { op.Status.Steps = stepsOf(3) })
	op, err := c.ModifyStatus(t.Context(), "upgrade-a", func(op *v1alpha1.Operation) error {
		op.Status.Steps[0].Message = strings.Repeat("it waits; ", 100)
		return nil
	})
	if err != nil || op.Status.Parts != 0 || len(op.Status.Steps) != 3 {
		t.Errorf("%+v, %v", op, err)
	}
	for _, a := range dyn.Actions() {
		if a.GetResource().Resource != v1alpha1.OperationResource {
			t.Errorf("%s of %s", a.GetVerb(), a.GetResource().Resource)
		}
	}
}

// TestOlderCluster: where an earlier version has installed the resources a large plan is refused, and
// is no Operation that has gone.
func TestOlderCluster(t *testing.T) {
	plan := func(op *v1alpha1.Operation) error { op.Status.Steps = stepsOf(3); return nil }
	resource := v1alpha1.OperationPartsResource.GroupResource()
	for name, refusal := range map[string]error{"unknown": apierrors.NewNotFound(resource, ""), "forbidden": apierrors.NewForbidden(resource, "", errors.New("no right"))} {
		c, dyn := withParts(t, func(*v1alpha1.Operation) {})
		dyn.PrependReactor("list", "operationparts", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, refusal })
		if _, err := c.ModifyStatus(t.Context(), "upgrade-a", plan); !errors.Is(err, ErrNoParts) || apierrors.IsNotFound(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, dyn := withParts(t, func(*v1alpha1.Operation) {})
	dyn.PrependReactor("update", "operations", func(a clienttesting.Action) (bool, runtime.Object, error) {
		u := a.(clienttesting.UpdateAction).GetObject().(*unstructured.Unstructured).DeepCopy()
		unstructured.RemoveNestedField(u.Object, "status", "parts")
		return true, u, nil
	})
	if _, err := c.ModifyStatus(t.Context(), "upgrade-a", plan); !errors.Is(err, ErrNoParts) {
		t.Errorf("the field is left out: %v", err)
	}
	// A part that has gone meanwhile is not the Operation.
	c, dyn = withParts(t, func(*v1alpha1.Operation) {})
	if _, err := c.ModifyStatus(t.Context(), "upgrade-a", plan); err != nil {
		t.Fatal(err)
	}
	dyn.PrependReactor("update", "operationparts", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewNotFound(resource, "upgrade-a-00000")
	})
	_, err := c.ModifyStatus(t.Context(), "upgrade-a", func(op *v1alpha1.Operation) error { op.Status.Steps[0].State = running; return nil })
	if !errors.Is(err, errParts) || apierrors.IsNotFound(err) || Transient(err) {
		t.Errorf("a part is gone: %v", err)
	}
}

// TestPartIsMissing: what somebody has deleted ends the reading, with what to do; not that of an
// Operation which goes itself.
func TestPartIsMissing(t *testing.T) {
	c, _ := withParts(t, func(op *v1alpha1.Operation) { op.Status.Parts = 1 })
	_, err := c.Get(t.Context(), "upgrade-a")
	if !errors.Is(err, errParts) || Transient(err) || !strings.Contains(err.Error(), "kubectl delete operation upgrade-a") {
		t.Errorf("a part is missing: %v", err)
	}
	if all, err := c.List(t.Context()); err != nil || len(all) != 1 || len(all[0].Status.Steps) != 0 {
		t.Errorf("in a list: %+v, %v", all, err)
	}
	now := metav1.Now()
	c, _ = withParts(t, func(op *v1alpha1.Operation) { op.Status.Parts, op.DeletionTimestamp = 1, &now })
	if op, err := c.Get(t.Context(), "upgrade-a"); err != nil || len(op.Status.Steps) != 0 {
		t.Errorf("one that is deleted with all that it owns: %+v, %v", op, err)
	}
	// A part of an earlier Operation of the same name is none.
	c, _ = withParts(t, func(op *v1alpha1.Operation) { op.Status.Parts = 1 })
	if _, err := c.writePart(t.Context(), &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "upgrade-a", UID: types.UID("0")}}, 0, stepsOf(1), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "upgrade-a"); !errors.Is(err, errParts) {
		t.Errorf("an earlier one's part: %v", err)
	}
}
