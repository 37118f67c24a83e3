//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

const tolerantName = "tolerates-all"

// comesBack is a Deployment that tolerates every taint, a cordon's too, and prefers one
// node, as operators of network plugins do: whoever evicts its pod gets the next one on
// the same node.
type comesBack struct {
	node string
	stop func()

	mu sync.Mutex
	// on are the names of its pods that have been on the node.
	on []string
}

// deployComesBack makes it, and waits until its pod runs on the node. Every pod that is
// made there is noted.
func (c *cluster) deployComesBack(t *testing.T, node string) *comesBack {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b := &comesBack{node: node, stop: cancel}
	labels := map[string]string{"app": tolerantName}
	factory := informers.NewSharedInformerFactoryWithOptions(c.client, 0, informers.WithNamespace("default"),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = "app=" + tolerantName }))
	seen := func(o any) {
		if p, ok := o.(*corev1.Pod); ok && p.Spec.NodeName == node {
			b.note(p.Name)
		}
	}
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: seen, UpdateFunc: func(_, o any) { seen(o) }})
	if err != nil {
		t.Fatal(err)
	}
	factory.Start(ctx.Done())
	t.Cleanup(func() { cancel(); factory.Shutdown() })
	if !cache.WaitForCacheSync(ctx.Done(), factory.Core().V1().Pods().Informer().HasSynced) {
		t.Fatal("the pods can't be watched")
	}
	_, err = c.client.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: tolerantName}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{
				Weight: 100, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}}},
			}}}},
			Containers: []corev1.Container{{Name: "pause", Image: c.pauseImage(t, node), ImagePullPolicy: corev1.PullIfNotPresent}},
		}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.client.AppsV1().Deployments("default").Delete(context.Background(), tolerantName, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	eventually(t, 2*time.Minute, "the pod that tolerates everything runs on "+node, func() (bool, string) {
		pods, err := c.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=" + tolerantName})
		if err != nil || len(pods.Items) != 1 {
			return false, fmt.Sprintf("%d pods, %v", len(pods.Items), err)
		}
		p := pods.Items[0]
		return p.Spec.NodeName == node && p.Status.Phase == corev1.PodRunning, fmt.Sprintf("%s on %q", p.Status.Phase, p.Spec.NodeName)
	})
	return b
}

func (b *comesBack) note(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.on, name) {
		b.on = append(b.on, name)
	}
}

// checkEvictedOnce: the pod was evicted once, came back, and was named as one that stays,
// once; then it is elsewhere, since the node is gone.
func (c *cluster) checkEvictedOnce(t *testing.T, b *comesBack, told string) {
	t.Helper()
	b.mu.Lock()
	on := slices.Clone(b.on)
	b.mu.Unlock()
	if len(on) != 2 {
		t.Errorf("%d pods of %s were on %s, which is %d evictions: %v", len(on), tolerantName, b.node, len(on)-1, on)
	}
	if n := strings.Count(told, "would only come again, so it stays: default/"+tolerantName+"-"); n != 1 {
		t.Errorf("that it stays was told %d times:\n%s", n, tail(told, 4000))
	}
	eventually(t, 3*time.Minute, "the pod is elsewhere", func() (bool, string) {
		d, err := c.client.AppsV1().Deployments("default").Get(context.Background(), tolerantName, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		pods, err := c.client.CoreV1().Pods("default").List(context.Background(), metav1.ListOptions{LabelSelector: "app=" + tolerantName})
		if err != nil {
			return false, err.Error()
		}
		var where []string
		for _, p := range pods.Items {
			where = append(where, p.Spec.NodeName)
		}
		return d.Status.ReadyReplicas == 1 && !slices.Contains(where, b.node), fmt.Sprintf("%d ready, on %v", d.Status.ReadyReplicas, where)
	})
}

// pauseImage is an image that a node has and that only waits.
func (c *cluster) pauseImage(t *testing.T, node string) string {
	t.Helper()
	for _, ref := range strings.Fields(c.exec(t, node, "ctr", "-n", "k8s.io", "images", "ls", "-q")) {
		if strings.Contains(ref, "/pause:") {
			return ref
		}
	}
	t.Fatalf("%s has no pause image", node)
	return ""
}
