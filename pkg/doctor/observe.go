package doctor

import (
	"context"
	"fmt"
	"slices"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// Objects are what the API tells beyond the status.
type Objects struct {
	Nodes []corev1.Node
	// KubeProxy and ClusterInfo are the servers that these ConfigMaps point to; empty
	// where there is none.
	KubeProxy, ClusterInfo string
	// KubeProxyVersion is the image's tag.
	KubeProxyVersion string
	// EtcdServers are the endpoints that each control plane's apiserver has.
	EtcdServers map[string][]string
	Budgets     []policyv1.PodDisruptionBudget
	// Namespace is ha-system, nil where there is none.
	Namespace *corev1.Namespace
	// Operations are all of them; Heard is when each one's coordinator was last heard
	// of, in seconds ago.
	Operations []v1alpha1.Operation
	Heard      map[string]float64
	// Missed says what could not be read.
	Missed []string
}

// Observe reads them, and changes nothing.
func Observe(ctx context.Context, c *client.Clients) (Objects, error) {
	o := Objects{EtcdServers: map[string][]string{}, Heard: map[string]float64{}}
	var mu sync.Mutex
	var all sync.WaitGroup
	for what, read := range map[string]func() error{
		"nodes": func() error { return o.readNodes(ctx, c.Kube) },
		"kube-proxy": func() (err error) {
			o.KubeProxy, err = server(ctx, c.Kube, metav1.NamespaceSystem, "kube-proxy", "kubeconfig.conf")
			return err
		},
		"cluster-info": func() (err error) {
			o.ClusterInfo, err = server(ctx, c.Kube, metav1.NamespacePublic, "cluster-info", "kubeconfig")
			return err
		},
		"kube-proxy's version": func() error { return o.readKubeProxy(ctx, c.Kube) },
		"the static pods":      func() error { return o.readStatic(ctx, c.Kube) },
		"disruption budgets":   func() error { return o.readBudgets(ctx, c.Kube) },
		"the namespace":        func() error { return o.readNamespace(ctx, c.Kube) },
		"operations":           func() error { return o.readOperations(ctx, c) },
	} {
		all.Go(func() {
			if err := read(); err != nil && !apierrors.IsNotFound(err) {
				mu.Lock()
				defer mu.Unlock()
				o.Missed = append(o.Missed, fmt.Sprintf("%s: %v", what, err))
			}
		})
	}
	all.Wait()
	slices.Sort(o.Missed)
	return o, context.Cause(ctx)
}

func (o *Objects) readNodes(ctx context.Context, kube kubernetes.Interface) error {
	list, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err == nil {
		o.Nodes = list.Items
	}
	return err
}

// server is where the kubeconfig in a ConfigMap points to.
func server(ctx context.Context, kube kubernetes.Interface, namespace, name, key string) (string, error) {
	m, err := kube.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	config, err := clientcmd.Load([]byte(m.Data[key]))
	if err != nil {
		return "", err
	}
	for _, c := range config.Clusters {
		return c.Server, nil
	}
	return "", nil
}

func (o *Objects) readKubeProxy(ctx context.Context, kube kubernetes.Interface) error {
	ds, err := kube.AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, "kube-proxy", metav1.GetOptions{})
	if err == nil {
		o.KubeProxyVersion = tag(ds)
	}
	return err
}

func (o *Objects) readBudgets(ctx context.Context, kube kubernetes.Interface) error {
	list, err := kube.PolicyV1().PodDisruptionBudgets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err == nil {
		o.Budgets = list.Items
	}
	return err
}

func (o *Objects) readNamespace(ctx context.Context, kube kubernetes.Interface) error {
	ns, err := kube.CoreV1().Namespaces().Get(ctx, v1alpha1.SystemNamespace, metav1.GetOptions{})
	if err == nil {
		o.Namespace = ns
	}
	return err
}

func (o *Objects) readStatic(ctx context.Context, kube kubernetes.Interface) error {
	list, err := kube.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "component=kube-apiserver"})
	if err != nil {
		return err
	}
	for _, p := range list.Items {
		for _, c := range p.Spec.Containers {
			if servers := flag(c.Command, "--etcd-servers="); servers != "" {
				o.EtcdServers[p.Spec.NodeName] = commaList(servers)
			}
		}
	}
	return nil
}

func (o *Objects) readOperations(ctx context.Context, c *client.Clients) (err error) {
	if o.Operations, err = operations.New(c.Dynamic).List(ctx); err != nil {
		return err
	}
	leases, err := c.Kube.CoordinationV1().Leases(v1alpha1.SystemNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, l := range leases.Items {
		if l.Spec.RenewTime != nil {
			o.Heard[l.Name] = metav1.Now().Sub(l.Spec.RenewTime.Time).Seconds()
		}
	}
	return nil
}

func tag(ds *appsv1.DaemonSet) string {
	for _, c := range ds.Spec.Template.Spec.Containers {
		return imageTag(c.Image)
	}
	return ""
}
