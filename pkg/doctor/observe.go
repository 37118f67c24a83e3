package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/adopt"
	made "github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups/schedule"
	renewal "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/lent"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/policy"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
)

// Part is a part of what is read.
type Part string

// The parts, as people are told of them.
const (
	partNodes       Part = "nodes"
	partProxy       Part = "kube-proxy"
	partClusterInfo Part = "cluster-info"
	partKubeadm     Part = "kubeadm's configuration"
	partProxyImage  Part = "kube-proxy's version"
	partStatic      Part = "the static pods"
	partBudgets     Part = "disruption budgets"
	partNamespace   Part = "the namespace"
	partOperations  Part = "operations"
	partBalancer    Part = "the load balancer"
	partAddons      Part = "the addons' certificates"
	partRenewal     Part = "the scheduled renewal of certificates"
	partBackups     Part = "the scheduled backup"
	partRights      Part = "what coordinators may"
	partPolicy      Part = "the policy on coordinators"
)

// Objects are what the API tells beyond the status.
type Objects struct {
	Nodes []corev1.Node
	// Kubeadm tells that there is a configuration of kubeadm's; Endpoint is its
	// controlPlaneEndpoint.
	Kubeadm  bool
	Endpoint string
	// Balancer is the load balancer that kubectl-ha has set up; nil where there is none.
	Balancer *loadbalancer.Status
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
	// Rights are the bindings that make a coordinator an administrator and that no unfinished
	// Operation has any use for.
	Rights []string
	// Policy says what is wrong with the policy on the coordinator, empty for nothing; PolicyInForce,
	// that there is one all the same.
	Policy        string
	PolicyInForce bool
	// AddonCertificates are those that were made for addons.
	AddonCertificates []AddonCertificate
	// Renewal is the scheduled renewal of certificates; nil where there is none.
	Renewal *schedule.State
	// Backups is the scheduled backup; nil where there is none.
	Backups *made.State
	// Unread says of the parts that could not be read why.
	Unread map[Part]string
}

// Missed lists what could not be read, for people.
func (o Objects) Missed() []string {
	var out []string
	for part, why := range ordered(o.Unread) {
		out = append(out, fmt.Sprintf("%s: %s", part, why))
	}
	return out
}

// Observe reads them, and changes nothing. cluster may be nil, when it is not known.
func Observe(ctx context.Context, c *client.Clients, cluster *v1alpha1.Cluster) (Objects, error) {
	o := Objects{EtcdServers: map[string][]string{}, Heard: map[string]float64{}, Unread: map[Part]string{}}
	var mu sync.Mutex
	var all sync.WaitGroup
	for part, read := range map[Part]func() error{
		partNodes:   func() error { return o.readNodes(ctx, c.Kube) },
		partKubeadm: func() error { return o.readKubeadm(ctx, c.Kube) },
		partProxy: func() (err error) {
			o.KubeProxy, err = server(ctx, c.Kube, metav1.NamespaceSystem, "kube-proxy", "kubeconfig.conf")
			return err
		},
		partClusterInfo: func() (err error) {
			o.ClusterInfo, err = server(ctx, c.Kube, metav1.NamespacePublic, "cluster-info", "kubeconfig")
			return err
		},
		partProxyImage: func() error { return o.readKubeProxy(ctx, c.Kube) },
		partStatic:     func() error { return o.readStatic(ctx, c.Kube) },
		partBudgets:    func() error { return o.readBudgets(ctx, c.Kube) },
		partNamespace:  func() error { return o.readNamespace(ctx, c.Kube) },
		partOperations: func() error { return o.readOperations(ctx, c) },
		partBalancer:   func() error { return o.readBalancer(ctx, c, cluster) },
		partAddons:     func() error { return o.readAddons(ctx, c.Kube) },
		partRenewal: func() (err error) {
			o.Renewal, err = renewal.Renewal().Look(ctx, c.Kube)
			return err
		},
		partBackups: func() (err error) {
			o.Backups, err = made.Look(ctx, c, time.Now())
			return err
		},
		partRights: func() error { return o.readRights(ctx, c) },
		partPolicy: func() (err error) {
			o.Policy, o.PolicyInForce, err = policy.Look(ctx, c.Kube)
			return err
		},
	} {
		all.Go(func() {
			if err := read(); err != nil && !apierrors.IsNotFound(err) {
				mu.Lock()
				defer mu.Unlock()
				o.Unread[part] = err.Error()
			}
		})
	}
	all.Wait()
	return o, context.Cause(ctx)
}

func (o *Objects) readNodes(ctx context.Context, kube kubernetes.Interface) error {
	list, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err == nil {
		o.Nodes = list.Items
	}
	return err
}

// readKubeadm reads the endpoint that kubeadm goes by.
func (o *Objects) readKubeadm(ctx context.Context, kube kubernetes.Interface) error {
	seen, err := adopt.ReadKubeadm(ctx, kube)
	if err == nil {
		o.Kubeadm, o.Endpoint = true, seen.ControlPlaneEndpoint
	}
	return err
}

// readBalancer looks at the load balancer, where it is known what it would be for.
func (o *Objects) readBalancer(ctx context.Context, c *client.Clients, cluster *v1alpha1.Cluster) error {
	if cluster == nil {
		return nil
	}
	seen, err := loadbalancer.Look(ctx, c, cluster)
	if err == nil && (seen.Installed || len(seen.Problems) > 0) {
		o.Balancer = seen
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
		if age, known := ready.LeaseAge(&l, time.Now()); known {
			o.Heard[l.Name] = age.Seconds()
		}
	}
	return nil
}

// readRights reads the bindings first: an Operation is there before its binding.
func (o *Objects) readRights(ctx context.Context, c *client.Clients) error {
	bindings, err := lent.Bindings(ctx, c.Kube)
	if err != nil || len(bindings) == 0 {
		return err
	}
	ops, err := operations.New(c.Dynamic).List(ctx)
	if err == nil {
		o.Rights = lent.Stale(bindings, ops)
	}
	return err
}

func (o *Objects) readAddons(ctx context.Context, kube kubernetes.Interface) error {
	all, err := install.IssuedCertificates(ctx, kube)
	if err != nil {
		return err
	}
	ours, err := addon.BuiltIn()
	if err != nil {
		return err
	}
	for _, c := range all {
		o.AddonCertificates = append(o.AddonCertificates, AddonCertificate{Issued: c, BuiltIn: ours[c.Addon] != nil})
	}
	return nil
}

func tag(ds *appsv1.DaemonSet) string {
	for _, c := range ds.Spec.Template.Spec.Containers {
		return imageTag(c.Image)
	}
	return ""
}
