package incluster_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// operationsAPI are the Operations as any program sees them, which knows nothing of their type.
func operationsAPI(t *testing.T, s *kubetest.Server) dynamic.ResourceInterface {
	t.Helper()
	d, err := dynamic.NewForConfig(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	return d.Resource(schema.GroupVersionResource{Group: v1alpha1.Group, Version: v1alpha1.Version, Resource: v1alpha1.OperationResource})
}

// isTrue tells whether a condition is, by nothing but what kubectl wait goes by: type and status.
func isTrue(u *unstructured.Unstructured, kind string) bool {
	all, _, err := unstructured.NestedSlice(u.Object, "status", "conditions")
	return err == nil && slices.ContainsFunc(all, func(one any) bool {
		c, ok := one.(map[string]any)
		return ok && c["type"] == kind && c["status"] == "True"
	})
}

// awaitCondition watches until an Operation, which is still to come, has the condition Complete.
// Its error says what was seen last.
func awaitCondition(ctx context.Context, t *testing.T, s *kubetest.Server) <-chan error {
	t.Helper()
	api := operationsAPI(t, s)
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			var last *unstructured.Unstructured
			for ctx.Err() == nil {
				w, err := api.Watch(ctx, metav1.ListOptions{})
				// The resource is still to come as well.
				if apierrors.IsNotFound(err) {
					if !poll.Until(deadline, func() bool {
						_, err := api.List(ctx, metav1.ListOptions{})
						return !apierrors.IsNotFound(err)
					}) {
						return err
					}
					continue
				}
				if err != nil {
					return err
				}
				for e := range w.ResultChan() {
					u, ok := e.Object.(*unstructured.Unstructured)
					if !ok || u.GetKind() != v1alpha1.OperationKind {
						continue
					}
					if last = u; isTrue(u, "Complete") {
						w.Stop()
						return nil
					}
				}
				w.Stop()
			}
			return fmt.Errorf("the condition Complete did not come; last seen: %v", last)
		}()
	}()
	return done
}

// checkTold looks at what a Join that the coordinator carried out, with its own rights, has left for
// who looks with kubectl.
func checkTold(t *testing.T, s *kubetest.Server) {
	t.Helper()
	list, err := operationsAPI(t, s).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("operations: %v, %v", list, err)
	}
	op := list.Items[0]
	if seen, _, err := unstructured.NestedInt64(op.Object, "status", "observedGeneration"); seen != op.GetGeneration() || err != nil {
		t.Errorf("observed was generation %d of %d, %v", seen, op.GetGeneration(), err)
	}
	kube, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	// As kubectl describe asks for them, of an object without a namespace.
	about := fields.Set{"involvedObject.name": op.GetName(), "involvedObject.namespace": "", "involvedObject.kind": "Operation", "involvedObject.uid": string(op.GetUID())}
	var events *corev1.EventList
	if !poll.Until(deadline, func() bool {
		events, err = kube.CoreV1().Events("").List(t.Context(), metav1.ListOptions{FieldSelector: about.String()})
		return err == nil && len(events.Items) == 2
	}) {
		t.Fatalf("events are %+v, %v", events, err)
	}
	reasons := []string{events.Items[0].Reason, events.Items[1].Reason}
	if slices.Sort(reasons); !slices.Equal(reasons, []string{"Completed", "Started"}) {
		t.Errorf("told was %v", reasons)
	}
	kubectl := os.Getenv("KUBECTL")
	if kubectl == "" {
		t.Log("KUBECTL doesn't name a kubectl, what it makes of conditions and Events is not tested")
		return
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), kubectl, append([]string{"--kubeconfig", s.Kubeconfig}, args...)...).CombinedOutput()
		if err != nil {
			t.Errorf("kubectl %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	if out := run("wait", "--for=condition=Complete", "--timeout=1m", "operation/"+op.GetName()); !strings.Contains(out, "condition met") {
		t.Errorf("kubectl wait said %s", out)
	}
	// As the guide has it, for who wants to know of a failure at once.
	run("wait", "--for=jsonpath={.status.finishedAt}", "--timeout=1m", "operation/"+op.GetName())
	run("wait", "--for=condition=Complete", "--timeout=0", "operation/"+op.GetName())
	run("wait", "--for=condition=Failed=false", "--timeout=1m", "operation/"+op.GetName())
	out := run("describe", "operation", op.GetName())
	_, told, _ := strings.Cut(out, "\nEvents:")
	for _, want := range []string{"Started", "Completed", "kubectl-ha.dev/coordinator", "all 11 steps done"} {
		if !strings.Contains(told, want) {
			t.Errorf("kubectl describe does not tell %s:\n%s", want, out)
		}
	}
}

// TestNewOperationIsInProgress: one that no coordinator has seen is not done, for who goes by
// generations.
func TestNewOperationIsInProgress(t *testing.T) {
	s, f := start(t)
	_, err := incluster.Install(t.Context(), s.Config, f.c)
	f.must(err)
	ops, err := incluster.NewOperations(s.Config, v1alpha1.Agents{{Image: "agent:1"}})
	f.must(err)
	op, err := ops.Create(t.Context(), prune())
	f.must(err)
	u, err := operationsAPI(t, s).Get(t.Context(), op.Name, metav1.GetOptions{})
	f.must(err)
	if seen, there, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration"); !there || seen == u.GetGeneration() || err != nil {
		t.Errorf("observed is generation %d (%v) of %d, %v", seen, there, u.GetGeneration(), err)
	}
}

func prune() v1alpha1.OperationSpec {
	return v1alpha1.OperationSpec{Type: v1alpha1.OperationPruneImages, PruneImages: &v1alpha1.PruneImagesSpec{
		Nodes: []v1alpha1.NodeImages{{Name: "w1", Refs: []string{"example.com/old:v1"}}}}}
}

// TestConditionsAndVersions: a coordinator of this version does its work where the resource, and
// the coordinator's rights, are of a version without conditions and Events; and what one of such
// a version writes leaves no condition that is true no more.
func TestConditionsAndVersions(t *testing.T) {
	s, f := start(t)
	f.create()
	_, err := incluster.Install(t.Context(), s.Config, f.c)
	f.must(err)
	f.must(f.kube.RbacV1().RoleBindings("default").Delete(t.Context(), "ha-coordinator", metav1.DeleteOptions{}))
	d, err := dynamic.NewForConfig(s.Config)
	f.must(err)
	crds := d.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	const status = "/spec/versions/0/schema/openAPIV3Schema/properties/status/"
	_, err = crds.Patch(t.Context(), "operations.kubectl-ha.dev", types.JSONPatchType, []byte(`[{"op":"remove","path":"`+status+`default"},
		{"op":"remove","path":"`+status+`properties/conditions"},{"op":"remove","path":"`+status+`properties/observedGeneration"}]`), metav1.PatchOptions{})
	f.must(err)
	ops, err := incluster.NewOperations(s.Config, v1alpha1.Agents{{Image: "agent:1"}})
	f.must(err)
	api := operationsAPI(t, s)
	// An API server takes a moment to go by a changed resource.
	if !poll.Until(deadline, func() bool {
		u, err := api.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{"apiVersion": v1alpha1.APIVersion, "kind": v1alpha1.OperationKind,
			"metadata": map[string]any{"generateName": "x-"}, "spec": map[string]any{"type": "RemoveLoadBalancer"}}}, metav1.CreateOptions{})
		if err != nil {
			return false
		}
		f.must(api.Delete(t.Context(), u.GetName(), metav1.DeleteOptions{}))
		_, has := u.Object["status"]
		return !has
	}) {
		t.Fatal("the earlier resource is not served")
	}
	coordinate(t, s.Config, f)
	op, err := ops.Create(t.Context(), v1alpha1.OperationSpec{Type: v1alpha1.OperationJoin, Join: &v1alpha1.JoinSpec{Source: "cp9"}})
	f.must(err)
	f.must(ops.Abort(t.Context(), op.Name))
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if err := ops.Watch(ctx, op.Name, report.SinkFunc(func(report.Event) {})); err == nil || !strings.Contains(err.Error(), "Aborted") {
		t.Errorf("with an earlier resource it ended with %v", err)
	}
	if op, err = ops.Get(t.Context(), op.Name); err != nil || op.Status.Phase != v1alpha1.OperationAborted || len(op.Status.Conditions) > 0 {
		t.Fatalf("%+v, %v", op, err)
	}
	// The resource as it is now; the rights come with it.
	_, err = incluster.Install(t.Context(), s.Config, f.c)
	f.must(err)
	writes := operations.New(d)
	// The next write of a status, by this version, has them; the retry is until the API server goes by it.
	if !poll.Until(deadline, func() bool {
		op, err = writes.ModifyStatus(t.Context(), op.Name, func(*v1alpha1.Operation) error { return nil })
		return err == nil && meta.IsStatusConditionTrue(op.Status.Conditions, v1alpha1.ConditionFailed)
	}) {
		t.Fatalf("%+v, %v", op, err)
	}
	// An earlier version knows these fields not, and writes the status without.
	u, err := api.Get(t.Context(), op.Name, metav1.GetOptions{})
	f.must(err)
	unstructured.RemoveNestedField(u.Object, "status", "conditions")
	unstructured.RemoveNestedField(u.Object, "status", "observedGeneration")
	f.must(unstructured.SetNestedField(u.Object, string(v1alpha1.OperationRunning), "status", "phase"))
	u, err = api.UpdateStatus(t.Context(), u, metav1.UpdateOptions{})
	f.must(err)
	written, _, err := unstructured.NestedMap(u.Object, "status")
	if _, stale := written["conditions"]; stale || written["observedGeneration"] != nil || err != nil {
		t.Errorf("an earlier version left %v, %v", written, err)
	}
}
