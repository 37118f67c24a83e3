package drain

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// pods are what a fake of the API is asked about.
var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// world is one node with pods at an API's transport: what is evicted goes after its
// grace, and what a controller makes again comes back to the same node at once. It fails
// on every request that nobody expected.
type world struct {
	*testing.T
	kube *fake.Clientset
	// budget is what an eviction of a pod, by its name, is answered with, instead.
	budget map[string]error
	// returns are pods whose controller makes them again on the same node.
	returns map[string]bool
	// grace is how long a pod takes to end.
	grace time.Duration
	// away is what every request is answered with, and how often.
	away      error
	awayTimes int
	// evicted and deleted are the names that were, in order; tried those of dry runs.
	evicted, deleted, tried []string
	made                    int
}

func newWorld(t *testing.T, objects ...runtime.Object) *world {
	w := &world{T: t, kube: fake.NewClientset(objects...), budget: map[string]error{}, returns: map[string]bool{}}
	w.kube.PrependReactor("*", "*", w.react)
	return w
}

// react plays the API server. It is called with the fake's lock held.
func (w *world) react(action kubetesting.Action) (bool, runtime.Object, error) {
	if w.awayTimes > 0 {
		w.awayTimes--
		return true, nil, w.away
	}
	switch a := action.(type) {
	case kubetesting.ListAction:
		if action.GetResource() == pods && a.GetListRestrictions().Fields.String() == "spec.nodeName=w1" {
			return false, nil, nil
		}
	case kubetesting.CreateAction:
		if action.Matches("create", "pods/eviction") {
			return true, nil, w.evict(a.GetObject().(*policyv1.Eviction))
		}
	case kubetesting.DeleteActionImpl:
		if action.GetResource() == pods && w.is(a.Namespace, a.Name, a.DeleteOptions.Preconditions) {
			w.deleted = append(w.deleted, a.Name)
			w.end(a.Namespace, a.Name)
			return true, nil, nil
		}
	case kubetesting.GetAction:
		if action.GetResource().Resource == "daemonsets" {
			return false, nil, nil
		}
	}
	w.Errorf("nobody expected %s of %s", action.GetVerb(), action.GetResource())
	return true, nil, apierrors.NewBadRequest("nobody expected it")
}

// is tells whether there is the very pod that is meant.
func (w *world) is(namespace, name string, only *metav1.Preconditions) bool {
	p := w.pod(namespace, name)
	return p != nil && only != nil && only.UID != nil && *only.UID == p.UID
}

func (w *world) pod(namespace, name string) *corev1.Pod {
	o, err := w.kube.Tracker().Get(pods, namespace, name)
	if err != nil {
		return nil
	}
	return o.(*corev1.Pod)
}

func (w *world) evict(e *policyv1.Eviction) error {
	if w.pod(e.Namespace, e.Name) == nil {
		return apierrors.NewNotFound(pods.GroupResource(), e.Name)
	}
	if !w.is(e.Namespace, e.Name, e.DeleteOptions.Preconditions) {
		return apierrors.NewConflict(pods.GroupResource(), e.Name, fmt.Errorf("it is another one"))
	}
	dry := len(e.DeleteOptions.DryRun) > 0
	if dry {
		w.tried = append(w.tried, e.Name)
	}
	if err := w.budget[e.Name]; err != nil || dry {
		return err
	}
	w.evicted = append(w.evicted, e.Name)
	w.end(e.Namespace, e.Name)
	return nil
}

// end ends a pod, and has it made again where its controller does that.
func (w *world) end(namespace, name string) {
	p := w.pod(namespace, name).DeepCopy()
	if w.returns[p.GenerateName] {
		w.made++
		again := p.DeepCopy()
		again.Name, again.UID = fmt.Sprintf("%s%d", p.GenerateName, w.made), types.UID(fmt.Sprintf("again-%d", w.made))
		again.CreationTimestamp = metav1.NewTime(time.Now().Truncate(time.Second))
		w.must(w.kube.Tracker().Create(pods, again, namespace))
	}
	if w.grace == 0 {
		w.must(w.kube.Tracker().Delete(pods, namespace, name))
		return
	}
	now := metav1.Now()
	p.DeletionTimestamp = &now
	w.must(w.kube.Tracker().Update(pods, p, namespace))
	time.AfterFunc(w.grace, func() {
		if w.pod(namespace, name) != nil {
			w.must(w.kube.Tracker().Delete(pods, namespace, name))
		}
	})
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Error(err)
	}
}

// drain drains the node, as a coordinator does whose step began at a time.
func (w *world) drain(ctx context.Context, d Drain, began time.Time) (engine.Outcome, []string, error) {
	var told []string
	d.Node = "w1"
	started := metav1.NewTime(began)
	out, err := Step{Of: func(engine.Turn) Drain { return d }}.Run(ctx, engine.Turn{
		Env:  engine.Env{Clients: &client.Clients{Kube: w.kube}},
		Step: v1alpha1.StepStatus{ID: "drain/w1", StartedAt: &started},
		Progress: func(format string, args ...any) {
			if line := fmt.Sprintf(format, args...); !slices.Contains(told, line) {
				told = append(told, line)
			}
		},
	})
	return out, told, err
}

// podOf is a pod of a controller on w1; of nobody without a kind.
func podOf(name, kind string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, GenerateName: name + "-", UID: types.UID(name), CreationTimestamp: metav1.NewTime(time.Unix(0, 0))}}
	p.Spec.NodeName, p.Status.Phase = "w1", corev1.PodRunning
	if kind != "" {
		yes := true
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: kind, Name: "of-" + name, UID: types.UID("of-" + name), Controller: &yes}}
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func tolerant(p *corev1.Pod) {
	p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
}

func withData(p *corev1.Pod) {
	p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
}

// cameAt has the pod scheduled at a time.
func cameAt(at time.Time) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.CreationTimestamp = metav1.NewTime(at)
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at)}}
	}
}

// overBudget is the API server's answer to an eviction that a budget forbids.
func overBudget(name string) error {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: "The disruption budget " + name + " needs 1 healthy pods and has 1 currently."})
	return err
}
