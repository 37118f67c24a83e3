package upgrade

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/drain"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// TestUncordonAll: a worker that failed where some may stays cordoned, until the Operation is given up; and
// nodes come to rest first.
func TestUncordonAll(t *testing.T) {
	for name, c := range map[string]struct {
		failures, failing string
		aborted, deleted  bool
		want              string
	}{
		"none may fail":          {failing: "kubelet/w1"},
		"one may":                {failures: "1", failing: "kubelet/w1", want: "w1"},
		"its first step":         {failures: "1", failing: "cordon/w1", want: "w1"},
		"aborted":                {failures: "1", failing: "kubelet/w1", aborted: true},
		"deleted":                {failures: "1", failing: "kubelet/w1", deleted: true},
		"a control plane":        {failures: "1", failing: "kubelet/cp1"},
		"what is of no worker":   {failures: "1", failing: "report"},
		"only a look beforehand": {failures: "1", failing: "content/w1"},
	} {
		t.Run(name, func(t *testing.T) {
			steps := planOf(t, storedDocument(), v1alpha1.UpgradeSpec{MaxUnavailable: "2", MaxFailures: c.failures}, well("v1.35.4"))
			failing := slices.IndexFunc(steps, func(s v1alpha1.StepStatus) bool { return s.ID == c.failing })
			last := slices.IndexFunc(steps, func(s v1alpha1.StepStatus) bool { return s.ID == stepUncordoned })
			if !slices.Equal(steps[last].After, []string{stepSettle}) {
				t.Errorf("%s comes after %v", stepUncordoned, steps[last].After)
			}
			steps[failing].State = v1alpha1.StepFailed
			op := &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "up"}, Spec: v1alpha1.OperationSpec{Aborted: c.aborted}, Status: v1alpha1.OperationStatus{Steps: steps}}
			if c.deleted {
				op.DeletionTimestamp = &metav1.Time{}
			}
			kube := fake.NewClientset()
			for _, n := range []string{"cp1", "w1", "w2"} {
				_, err := kube.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n, Annotations: map[string]string{drain.AnnotationCordonedBy: "up"}},
					Spec: corev1.NodeSpec{Unschedulable: true}}, metav1.CreateOptions{})
				if err != nil {
					t.Fatal(err)
				}
			}
			out, err := uncordonAll(t.Context(), engine.Turn{Env: engine.Env{Clients: &client.Clients{Kube: kube}, Operation: op}})
			if err != nil || strings.Contains(out.Message, "since they failed: w1") != (c.want != "") {
				t.Errorf("it says %q, %v", out.Message, err)
			}
			list, err := kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var left []string
			for _, n := range list.Items {
				if n.Spec.Unschedulable {
					left = append(left, n.Name)
				}
			}
			if got := strings.Join(left, " "); got != c.want {
				t.Errorf("%q stay cordoned, want %q", got, c.want)
			}
		})
	}
}

// meeting is a way to nodes of which each answers once so many were asked.
type meeting struct {
	asked sync.WaitGroup
}

func (m *meeting) Run(ctx context.Context, host string, _ node.Request, _ report.Sink) (node.Result, error) {
	m.asked.Done()
	all := make(chan struct{})
	go func() { m.asked.Wait(); close(all) }()
	select {
	case <-all:
	case <-ctx.Done():
		return node.Result{}, ctx.Err()
	}
	if host == "w2" {
		return node.Result{}, errors.New("no answer")
	}
	return node.Result{}, nil
}

// TestSettleSideBySide: nodes that do not answer hold up none of the others.
func TestSettleSideBySide(t *testing.T) {
	op := &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "up"}}
	kube := fake.NewClientset()
	m := &meeting{}
	for _, n := range []string{"w1", "w2", "w3"} {
		op.Status.Steps = append(op.Status.Steps, onNode(stepKubelet, n, ""))
		op.Status.Steps[len(op.Status.Steps)-1].Attempt = 1
		heard, seconds := metav1.NowMicro(), int32(40)
		_, err := kube.CoordinationV1().Leases("kube-node-lease").Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: n},
			Spec: coordinationv1.LeaseSpec{RenewTime: &heard, LeaseDurationSeconds: &seconds}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		m.asked.Add(1)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out, err := settle{}.Run(ctx, engine.Turn{Env: engine.Env{Clients: &client.Clients{Kube: kube}, Cluster: storedDocument(), Operation: op,
		Runner: func(engine.Job) transport.Runner { return m }}, Step: v1alpha1.StepStatus{ID: stepSettle, Attempt: 1}, Sink: report.Discard(), Progress: func(string, ...any) {}})
	if err == nil || err.Error() != "w2: no answer" || !strings.HasPrefix(out.Message, "w1: ") || !strings.Contains(out.Message, "; w3: ") {
		t.Errorf("%+v, %v", out, err)
	}
}
