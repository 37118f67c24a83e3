package drain

import (
	"errors"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// TestPods: which pods a drain is about, and for want of which flag it is refused.
func TestPods(t *testing.T) {
	gone := metav1.Now()
	ended := func(phase corev1.PodPhase) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Status.Phase = phase }
	}
	leaving := func(p *corev1.Pod) { p.DeletionTimestamp = &gone }
	for name, c := range map[string]struct {
		p *corev1.Pod
		// want is empty for a pod that stays, else "evict", with what it is refused for.
		want string
		// lists are the lists that it is in, by their names.
		lists string
	}{
		"of a replica set":            {podOf("a", "ReplicaSet"), "evict", ""},
		"of a stateful set":           {podOf("a", "StatefulSet"), "evict", ""},
		"of a replica set, with data": {podOf("a", "ReplicaSet", withData), "evict local", "local"},
		"of nobody":                   {podOf("a", ""), "evict unmanaged", "unmanaged"},
		"of nobody, with data":        {podOf("a", "", withData), "evict local unmanaged", "local unmanaged"},
		"of nobody, going":            {podOf("a", "", withData, leaving), "evict local unmanaged", ""},
		"of nobody, ended":            {podOf("a", "", withData, ended(corev1.PodSucceeded)), "evict", ""},
		"failed":                      {podOf("a", "Job", ended(corev1.PodFailed)), "evict", ""},
		"a running job's":             {podOf("a", "Job"), "evict", ""},
		"of a daemon set":             {podOf("a", "DaemonSet", withData), "", ""},
		"of one that is gone":         {podOf("b", "DaemonSet"), "evict unmanaged", "unmanaged"},
		"of another DaemonSet": {podOf("a", "DaemonSet", func(p *corev1.Pod) {
			p.OwnerReferences[0].APIVersion = "apps.kruise.io/v1alpha1"
		}), "evict", ""},
		"a static pod": {podOf("a", "Node", withData, func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }), "", ""},
		"a coordinator": {podOf("a", "Job", withData, func(p *corev1.Pod) {
			p.Namespace, p.Labels = "ha-system", map[string]string{"app.kubernetes.io/name": "kubectl-ha"}
		}), "", ""},
		"one that says it is": {podOf("a", "Job", func(p *corev1.Pod) { p.Labels = map[string]string{"app.kubernetes.io/name": "kubectl-ha"} }), "evict", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.p, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "of-a"}})
			got, err := Pods(t.Context(), w.kube, "w1")
			if err != nil {
				t.Fatal(err)
			}
			var fates []string
			for _, p := range got {
				fates = append(fates, "evict")
				if p.Local {
					fates = append(fates, "local")
				}
				if p.Unmanaged {
					fates = append(fates, "unmanaged")
				}
			}
			if s := strings.Join(fates, " "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
			var lists []string
			if len(Local(got)) > 0 {
				lists = append(lists, "local")
			}
			if len(Unmanaged(got)) > 0 {
				lists = append(lists, "unmanaged")
			}
			if s := strings.Join(lists, " "); s != c.lists {
				t.Errorf("listed as %q, want %q", s, c.lists)
			}
			// One list, and each daemon set once, however often kubectl is asked.
			if asked := len(w.kube.Actions()); asked > 2 {
				t.Errorf("%d requests: %v", asked, w.kube.Actions())
			}
		})
	}
}

// TestPodsUnseen: what could not be found out is an error of which whoever tries again
// can tell that it may pass.
func TestPodsUnseen(t *testing.T) {
	for name, objects := range map[string]*corev1.Pod{"no list": podOf("a", "ReplicaSet"), "no daemon set": podOf("a", "DaemonSet")} {
		w := newWorld(t, objects)
		w.away, w.awayTimes = apierrors.NewServiceUnavailable("the API moves"), 1
		if name == "no daemon set" {
			w.awayTimes = 0
			w.kube.PrependReactor("get", "daemonsets", failing(w.away))
		}
		if got, err := Pods(t.Context(), w.kube, "w1"); err == nil || !operations.Unreachable(err) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestTry(t *testing.T) {
	gone := metav1.Now()
	w := newWorld(t, podOf("free", "ReplicaSet"), podOf("held", "ReplicaSet"), podOf("lone", ""), podOf("gone", "ReplicaSet", func(p *corev1.Pod) { p.DeletionTimestamp = &gone }))
	w.budget["held"] = overBudget("web")
	all, err := Pods(t.Context(), w.kube, "w1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Try(t.Context(), w.kube, all)
	want := []Blocked{
		{Pod: "default/held", Reason: "The disruption budget web needs 1 healthy pods and has 1 currently"},
		{Pod: "default/lone", Reason: "nothing would make it again elsewhere", Unmanaged: true},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if len(w.evicted) > 0 || !slices.Equal(w.tried, []string{"free", "held"}) {
		t.Errorf("evicted were %v, tried %v", w.evicted, w.tried)
	}
}

// TestEvictTheSameOne: a stateful set makes a pod of the same name on another node.
func TestEvictTheSameOne(t *testing.T) {
	w := newWorld(t, podOf("db-0", "StatefulSet"))
	all, err := Pods(t.Context(), w.kube, "w1")
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	all[0].UID = "the one before"
	for _, dryRun := range []bool{false, true} {
		if err := evict(t.Context(), w.kube, all[0], strategy(dryRun)); err != nil || len(w.evicted)+len(w.tried) > 0 {
			t.Errorf("evicted %v, tried %v, %v", w.evicted, w.tried, err)
		}
	}
	all[0].Name = "another"
	if err := evict(t.Context(), w.kube, all[0], strategy(false)); err != nil {
		t.Errorf("one that has gone: %v", err)
	}
}

func TestHeld(t *testing.T) {
	if got := held(overBudget("web")); got != "The disruption budget web needs 1 healthy pods and has 1 currently" {
		t.Errorf("got %q", got)
	}
	if got := held(errors.New("no route to host")); got != "no route to host" {
		t.Errorf("got %q", got)
	}
}

func TestSome(t *testing.T) {
	if got := LosesData([]string{"b/c", "a/b"}); got != "2 pods lose the data in emptyDir volumes: a/b, b/c" {
		t.Error(got)
	}
	if got := LosesData(strings.Split("k j i h g f e d c b a", " ")); got != "11 pods lose the data in emptyDir volumes: a, b, c, d, e, f, g, h, i, j and 1 more" {
		t.Error(got)
	}
	if got := LosesData([]string{"a/b"}); got != "1 pod loses the data in emptyDir volumes: a/b" {
		t.Error(got)
	}
}
