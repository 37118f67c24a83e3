package drain

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubetesting "k8s.io/client-go/testing"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
)

func failing(err error) kubetesting.ReactionFunc {
	return func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, err }
}

func strategy(dryRun bool) cmdutil.DryRunStrategy {
	if dryRun {
		return cmdutil.DryRunServer
	}
	return cmdutil.DryRunNone
}

func TestDeadline(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration) *metav1.Time { m := metav1.NewTime(now.Add(-d)); return &m }
	for name, c := range map[string]struct {
		started *metav1.Time
		allowed time.Duration
		want    time.Duration
	}{
		"begun now":            {ago(time.Second), 10 * time.Minute, 10 * time.Minute},
		"short":                {ago(time.Second), 2 * time.Second, 2 * time.Second},
		"taken over":           {ago(4 * time.Minute), 10 * time.Minute, 6 * time.Minute},
		"taken over too late":  {ago(time.Hour), 10 * time.Minute, least},
		"nobody knows so late": {nil, time.Minute, time.Minute},
	} {
		if got := deadline(c.started, now, c.allowed).Sub(now); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// drainCase is a node, a drain of it, and what comes of both.
type drainCase struct {
	pods []*corev1.Pod
	// budget, returns, grace are the world's.
	budget  map[string]error
	returns []string
	grace   time.Duration
	drain   Drain
	// ago is how long the step has begun before.
	ago time.Duration

	evicted, deleted string
	// message is the outcome's, fails and told are parts of the error and of what was
	// shown meanwhile.
	message, fails, told string
	// within bounds the drain.
	within time.Duration
}

func drainCases(now time.Time) map[string]drainCase {
	minute := Drain{Time: time.Minute, DeleteEmptyDirData: true}
	force := Drain{Time: time.Minute, Force: true, DeleteEmptyDirData: true}
	again := func(name string, change ...func(*corev1.Pod)) *corev1.Pod {
		return podOf(name, "ReplicaSet", change...)
	}
	const stays = "; came after the cordon and would only come again, so it stays: "
	return map[string]drainCase{
		"nothing":     {drain: minute, message: "no pod had to leave"},
		"two":         {pods: []*corev1.Pod{again("a"), again("b")}, drain: minute, evicted: "a b", message: "2 pods have left"},
		"with grace":  {pods: []*corev1.Pod{again("a")}, grace: 30 * time.Second, drain: minute, evicted: "a", message: "1 pod has left", told: "waiting for 1 pod to leave (for 1m0s more)", within: 35 * time.Second},
		"daemon sets": {pods: []*corev1.Pod{podOf("ds", "DaemonSet")}, drain: minute, message: "no pod had to leave"},
		// The issue's: evicted 58 times a minute, and then the drain failed.
		"comes again": {pods: []*corev1.Pod{again("a", tolerant)}, returns: []string{"a-"}, drain: minute,
			evicted: "a", message: "1 pod has left" + stays + "default/a-1", within: 5 * time.Second},
		"comes again beside one that takes its time": {pods: []*corev1.Pod{again("a", tolerant), again("b")}, returns: []string{"a-"}, grace: 30 * time.Second, drain: minute,
			evicted: "a b", message: "2 pods have left" + stays + "default/a-1", within: 35 * time.Second},
		"comes again, by force": {pods: []*corev1.Pod{again("a", tolerant)}, returns: []string{"a-"}, drain: force,
			evicted: "a", message: "1 pod has left" + stays + "default/a-1", within: 5 * time.Second},
		"comes again with data that must not be lost": {pods: []*corev1.Pod{again("a", tolerant, func(p *corev1.Pod) { p.GenerateName = "a-" })}, returns: []string{"a-"},
			drain: Drain{Time: time.Minute}, evicted: "a", message: "1 pod has left" + stays + "default/a-1", within: 5 * time.Second},
		// Whoever names the node in a pod's template needs no toleration.
		"placed by name": {pods: []*corev1.Pod{again("a")}, returns: []string{"a-"}, drain: minute,
			evicted: "a a-1 a-2 a-3", message: "4 pods have left" + stays + "default/a-4", within: 10 * time.Second},
		"placed by name, late and by force": {pods: []*corev1.Pod{again("a")}, returns: []string{"a-"}, budget: map[string]error{"a": overBudget("web")}, drain: force,
			deleted: "a a-1 a-2 a-3", message: "4 pods have left" + stays + "default/a-4", within: 70 * time.Second},
		// Another coordinator has evicted its predecessor.
		"taken over": {pods: []*corev1.Pod{again("a", tolerant, cameAt(now.Add(-50*time.Second))), again("b", cameAt(now.Add(-time.Hour))), again("c", cameAt(now.Add(-50*time.Second)))},
			drain: Drain{Time: 10 * time.Minute}, ago: time.Minute, evicted: "b c", message: "2 pods have left" + stays + "default/a", within: 5 * time.Second},
		"tolerates other things": {pods: []*corev1.Pod{again("a", cameAt(now.Add(-50*time.Second)), func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: corev1.TolerationOpExists}, {Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}}
		})}, drain: minute, ago: time.Minute, evicted: "a", message: "1 pod has left"},
		"debugs the node": {pods: []*corev1.Pod{podOf("debugger", "", tolerant, cameAt(now.Add(-50*time.Second)))}, drain: Drain{Time: 10 * time.Minute}, ago: time.Minute,
			message: "no pod had to leave" + stays + "default/debugger"},

		"of nobody":            {pods: []*corev1.Pod{podOf("lone", ""), again("a")}, drain: minute, fails: "on w1 are pods that nothing would make again elsewhere: default/lone"},
		"of nobody, by force":  {pods: []*corev1.Pod{podOf("lone", "")}, drain: force, evicted: "lone", message: "1 pod has left"},
		"data":                 {pods: []*corev1.Pod{again("a", withData)}, drain: Drain{Time: time.Minute}, fails: "on w1 are pods with data in emptyDir volumes, which goes with them: default/a\nnext: move what matters and delete them, then resume; or abort, and begin anew with --delete-emptydir-data"},
		"data, though forced":  {pods: []*corev1.Pod{again("a", withData)}, drain: Drain{Time: time.Minute, Force: true}, fails: "default/a"},
		"data that may go":     {pods: []*corev1.Pod{again("a", withData)}, drain: minute, evicted: "a", message: "1 pod has left"},
		"a budget":             {pods: []*corev1.Pod{again("a")}, budget: map[string]error{"a": overBudget("web")}, drain: minute, fails: "pods have not left w1 in time: default/a: The disruption budget web needs", told: "default/a stays: The disruption budget web", within: 62 * time.Second},
		"a budget, by force":   {pods: []*corev1.Pod{again("a")}, budget: map[string]error{"a": overBudget("web")}, drain: force, deleted: "a", message: "1 pod has left", told: "deleting default/a", within: 63 * time.Second},
		"does not end":         {pods: []*corev1.Pod{again("a")}, grace: time.Hour, drain: minute, evicted: "a", fails: "default/a: it was asked to and has not ended", within: 62 * time.Second},
		"never may":            {pods: []*corev1.Pod{again("a")}, budget: map[string]error{"a": apierrors.NewForbidden(pods.GroupResource(), "a", errors.New("no role"))}, drain: minute, fails: "evict pod default/a"},
		"in an ending space":   {pods: []*corev1.Pod{again("a")}, budget: map[string]error{"a": ending()}, drain: minute, fails: "pods have not left w1 in time", within: 62 * time.Second},
		"no answer for itself": {pods: []*corev1.Pod{again("a")}, budget: map[string]error{"a": apierrors.NewInternalError(errors.New("no answer"))}, drain: minute, fails: "no answer", within: 62 * time.Second},
	}
}

func ending() error {
	err := apierrors.NewForbidden(pods.GroupResource(), "a", errors.New("the namespace ends"))
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	return err
}

func TestDrain(t *testing.T) {
	for name := range drainCases(time.Time{}) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { drainCases(time.Now())[name].check(t) })
		})
	}
}

func (c drainCase) check(t *testing.T) {
	objects := []runtime.Object{&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "of-ds"}}}
	for _, p := range c.pods {
		objects = append(objects, p)
	}
	w := newWorld(t, objects...)
	w.grace = c.grace
	for name, err := range c.budget {
		w.budget[name] = err
	}
	for _, name := range c.returns {
		w.returns[name] = true
	}
	began := time.Now()
	out, told, err := w.drain(t.Context(), c.drain, began.Add(-c.ago))
	if (c.fails == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.fails) {
		t.Errorf("it ended with %v, want %q", err, c.fails)
	}
	if out.Message != c.message {
		t.Errorf("it says %q, want %q", out.Message, c.message)
	}
	if got := strings.Join(w.evicted, " "); got != c.evicted {
		t.Errorf("evicted were %q, want %q", got, c.evicted)
	}
	if got := strings.Join(w.deleted, " "); got != c.deleted {
		t.Errorf("deleted were %q, want %q", got, c.deleted)
	}
	if all := strings.Join(told, "\n"); !strings.Contains(all, c.told) {
		t.Errorf("%q was not told:\n%s", c.told, all)
	}
	if took := time.Since(began); c.within > 0 && took > c.within {
		t.Errorf("it took %s", took)
	}
}

// TestDrainWhileTheAPIMoves: an API that is away for a moment ends nothing, and what
// came again before stays what it was.
func TestDrainWhileTheAPIMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, podOf("a", "ReplicaSet", tolerant), podOf("b", "ReplicaSet"))
		w.returns["a-"], w.grace = true, 10*time.Second
		time.AfterFunc(2500*time.Millisecond, func() { w.away, w.awayTimes = apierrors.NewServiceUnavailable("the API moves"), 3 })
		out, _, err := w.drain(t.Context(), Drain{Time: time.Minute}, time.Now())
		if err != nil || !strings.Contains(out.Message, "2 pods have left") || !slices.Equal(w.evicted, []string{"a", "b"}) || w.awayTimes > 0 {
			t.Errorf("evicted were %v, it says %q, %v", w.evicted, out.Message, err)
		}
	})
}

// TestDrainIsEnded: whoever ends it need not wait.
func TestDrainIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, podOf("a", "ReplicaSet"))
		w.budget["a"] = overBudget("web")
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		time.AfterFunc(5*time.Second, func() { cancel(enough) })
		if _, _, err := w.drain(ctx, Drain{Time: time.Hour}, time.Now()); !errors.Is(err, enough) {
			t.Errorf("it ended with %v", err)
		}
		if !(Step{}).Interruptible() {
			t.Error("it can't be interrupted")
		}
	})
}
