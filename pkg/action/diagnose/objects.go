package diagnose

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
)

const (
	// logTimeout bounds the read of one log.
	logTimeout = 15 * time.Second
	// objectsTimeout bounds all reads of objects and logs.
	objectsTimeout = 150 * time.Second
)

// addCluster adds what the API tells. Secrets and ConfigMaps but the Cluster document
// are not read.
func (c *collector) addCluster(ctx context.Context, config *rest.Config, kube kubernetes.Interface, lines int64) {
	if cluster, err := incluster.StoredCluster(ctx, kube); err == nil {
		c.addDocument(cluster)
	}
	ops, err := incluster.NewOperations(config, nil)
	c.miss("operations", err)
	if err == nil {
		all, err := ops.List(ctx)
		c.miss("operations", err)
		c.addJSON("operations.json", all)
	}
	ctx, cancel := context.WithTimeout(ctx, objectsTimeout)
	defer cancel()
	nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	c.miss("nodes", err)
	c.addJSON("nodes.json", nodes.Items)
	for _, namespace := range []string{metav1.NamespaceSystem, v1alpha1.SystemNamespace} {
		events, err := kube.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{})
		c.miss("events of "+namespace, err)
		c.add("events/"+namespace+".txt", []byte(eventLines(events.Items)))
		c.addPods(ctx, kube, namespace, lines)
	}
}

// addPods adds pods' states and the last lines of their logs, also of a container
// that ended before this one. Specs are left out: their environment may hold secrets.
func (c *collector) addPods(ctx context.Context, kube kubernetes.Interface, namespace string, lines int64) {
	pods, err := kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	c.miss("pods of "+namespace, err)
	states := map[string]any{}
	for _, p := range pods.Items {
		states[p.Name] = map[string]any{"node": p.Spec.NodeName, "status": p.Status}
		for _, one := range p.Status.ContainerStatuses {
			c.addLog(ctx, kube, p, one.Name, lines, false)
			if one.RestartCount > 0 {
				c.addLog(ctx, kube, p, one.Name, lines, true)
			}
		}
	}
	c.addJSON("pods/"+namespace+".json", states)
}

func (c *collector) addLog(ctx context.Context, kube kubernetes.Interface, p corev1.Pod, container string, lines int64, previous bool) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	text, err := kube.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{Container: container, TailLines: &lines, Previous: previous, Timestamps: true}).DoRaw(ctx)
	name := "logs/" + p.Namespace + "/" + p.Name + "/" + container
	if previous {
		name += ".previous"
	}
	c.miss(name, err)
	if err == nil {
		c.add(name+".log", text)
	}
}
