package engine

import (
	"context"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// workers watches which workers of the Cluster document are not ready, as long as a plan has turns of
// nodes: a list of 5,000 nodes has 50 MB, and is of use for a moment. Other nodes come and go by others'
// hands, and hold up nobody.
type workers struct {
	// ours are the workers.
	ours map[string]bool
	// changed has a value when something has.
	changed chan struct{}

	mu      sync.Mutex
	known   bool
	unready map[string]string
}

// watchWorkers begins to watch, until the context ends. Failures are told and tried again: as long as
// it is not known who is ready no turn begins.
func watchWorkers(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster, sink report.Sink) *workers {
	w := &workers{ours: map[string]bool{}, changed: make(chan struct{}, 1), unready: map[string]string{}}
	for _, h := range c.Workers() {
		w.ours[h.Name] = true
	}
	told := func(err error) {
		if ctx.Err() == nil {
			sink.Emit(report.Event{Time: time.Now(), Kind: report.Warning, Message: "which nodes are ready can't be told: " + err.Error()})
		}
	}
	nodes := kube.CoreV1().Nodes()
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: &cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				list, err := nodes.List(ctx, o)
				if err != nil {
					told(err)
				}
				return list, err
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return nodes.Watch(ctx, o)
			},
		},
		ObjectType: &corev1.Node{},
		Transform:  slim,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { w.saw(o) },
			UpdateFunc: func(_, o any) { w.saw(o) },
			DeleteFunc: w.gone,
		},
	})
	go informer.RunWithContext(ctx)
	go func() {
		if cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			w.mu.Lock()
			w.known = true
			w.mu.Unlock()
			w.tell()
		}
	}()
	return w
}

// slim keeps of a node what is asked of it.
func slim(o any) (any, error) {
	n, ok := o.(*corev1.Node)
	if !ok {
		return o, nil
	}
	out := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion}}
	if c := ready.NodeCondition(n); c != nil {
		out.Status.Conditions = []corev1.NodeCondition{*c}
	}
	return out, nil
}

func (w *workers) saw(o any) {
	n, ok := o.(*corev1.Node)
	if !ok || !w.ours[n.Name] {
		return
	}
	why := ""
	switch c := ready.NodeCondition(n); {
	case c == nil:
		why = "it has no Ready condition"
	case c.Status != corev1.ConditionTrue:
		why = c.Reason + ", " + c.Message
	}
	w.set(n.Name, why)
}

// gone forgets a node that is no longer one.
func (w *workers) gone(o any) {
	if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(o); err == nil {
		w.set(key, "")
	}
}

func (w *workers) set(node, why string) {
	w.mu.Lock()
	before := w.unready[node]
	if why == "" {
		delete(w.unready, node)
	} else {
		w.unready[node] = why
	}
	w.mu.Unlock()
	if (before == "") != (why == "") {
		w.tell()
	}
}

func (w *workers) tell() {
	select {
	case w.changed <- struct{}{}:
	default: // There is news already that nobody has taken.
	}
}

// Unready are those that are not ready, with the reason; nil as long as it is not known.
func (w *workers) Unready() map[string]string {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.known {
		return nil
	}
	return maps.Clone(w.unready)
}
