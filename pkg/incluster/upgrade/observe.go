package upgrade

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/drain"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/join"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/kubeadmconfig"
)

// Observation is what was seen of a cluster.
type Observation struct {
	// Nodes by name, also those that the Cluster document does not know.
	Nodes map[string]Node
	// Configured is the version in kubeadm's own configuration: the one of the last
	// upgrade that kubeadm has brought to its end on the first control plane.
	Configured string
	// EtcdTag is the tag of its own etcd's image there; empty where the choice is kubeadm's.
	EtcdTag string
	// APIServers and Etcd are the control planes' and the members' own addresses.
	APIServers, Etcd []Endpoint
	// Ending are certificates in the files of control planes and members, of which less than half
	// of their life is left. They are not looked at from inside.
	Ending []Ending
	// Holder is the control plane that has the virtual IP; empty when that can't be told.
	Holder string
	// Inside says that it was seen from inside the cluster.
	Inside bool
	// Missing are images that nodes lack, by node.
	Missing map[string][]string
	// Blocked are pods that can't be evicted, by node, and Local those that lose what
	// they have in emptyDir volumes, namespace/name; of nodes that would be drained.
	Blocked map[string][]drain.Blocked
	Local   map[string][]string
	// Deprecated are APIs that were asked for and that some version will remove.
	Deprecated []Deprecated
	// Gates are the documents with feature gates, by the name of their ConfigMap.
	Gates map[string]string
}

// Node is what was seen of a node.
type Node struct {
	ControlPlane bool
	// Kubelet is its version.
	Kubelet string
	// Static are the versions of the static pods of a control plane, by component;
	// StaticReady are those that are Ready.
	Static      map[string]string
	StaticReady map[string]bool
	// Etcd is the version of kubeadm's own etcd, such as 3.6.8; empty where there is none.
	Etcd string
	// NotReady says why it is not Ready, empty when it is.
	NotReady string
	// Silent says since when nothing was heard of its kubelet; empty when it is heard of.
	Silent string
	// Address is the internal one that it reports.
	Address string
	// Pressure are its conditions that say it lacks something.
	Pressure []string
	// Cordoned tells whether it takes no new pods.
	Cordoned bool
	// Previous is the version that it was upgraded from.
	Previous string
	Labels   map[string]string
}

// The static pods of a control plane that have Kubernetes' version.
const (
	apiserver         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
	scheduler         = "kube-scheduler"
	// etcdPod is kubeadm's own etcd, which has a version of its own.
	etcdPod = "etcd"
)

func components() []string { return []string{apiserver, controllerManager, scheduler} }

// ServerAt tells whether all of a control plane's static pods are of a version.
func (n Node) ServerAt(v string) bool {
	return !slices.ContainsFunc(components(), func(c string) bool { return n.Static[c] != v })
}

// Versions are those that matter for the skew rules.
func (o Observation) Versions(c *v1alpha1.Cluster) Versions {
	v := Versions{APIServers: map[string]string{}, Kubelets: map[string]string{}}
	for name, n := range o.Nodes {
		if _, ours := c.Host(name); ours || n.ControlPlane {
			v.Kubelets[name] = n.Kubelet
		}
		if n.ControlPlane {
			v.APIServers[name] = n.Static[apiserver]
		}
	}
	return v
}

// Strangers are nodes that the Cluster document does not know.
func (o Observation) Strangers(c *v1alpha1.Cluster) []string {
	return slices.DeleteFunc(o.sorted(), func(n string) bool { _, ours := c.Host(n); return ours })
}

func (o Observation) sorted() []string { return slices.Sorted(maps.Keys(o.Nodes)) }

// Look says how much is looked at.
type Look struct {
	// Inside says that this is a pod of the cluster: every host's own ports can be
	// reached.
	Inside bool
	// Evictions tries to evict every pod of the nodes that the spec drains, as a dry run,
	// and finds those that lose data.
	Evictions *v1alpha1.UpgradeSpec
	// Metrics asks the apiservers which deprecated APIs are in use; the right to
	// read /metrics is needed.
	Metrics bool
	// Images are looked for on the nodes.
	Images []v1alpha1.PushedImage
}

// Observe looks at a cluster and changes nothing.
func Observe(ctx context.Context, clients *client.Clients, c *v1alpha1.Cluster, look Look) (Observation, error) {
	o := Observation{Inside: look.Inside}
	nodes, err := clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return o, fmt.Errorf("list nodes: %w", err)
	}
	if o.Nodes, err = nodesOf(ctx, clients.Kube, nodes.Items, time.Now()); err != nil {
		return o, err
	}
	if o.Configured, o.EtcdTag, err = configured(ctx, clients.Kube); err != nil {
		return o, err
	}
	if o.Gates, err = observeGates(ctx, clients.Kube); err != nil {
		return o, err
	}
	o.APIServers, o.Etcd, o.Holder = endpoints(ctx, clients.Config, c)
	o.Missing = missing(nodes.Items, look.Images)
	if look.Metrics {
		// Without the right to look there is nothing to be told; that alone stops nobody.
		o.Deprecated, err = deprecated(ctx, clients.Config, o)
		if err != nil && !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) {
			return o, err
		}
	}
	if look.Evictions != nil {
		err = o.tryDrains(ctx, clients.Kube, c, look.Evictions)
	}
	return o, err
}

// tryDrains looks at the pods of the nodes that an upgrade would drain.
func (o *Observation) tryDrains(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster, spec *v1alpha1.UpgradeSpec) error {
	o.Blocked, o.Local = map[string][]drain.Blocked{}, map[string][]string{}
	plan, err := Nodes(c, spec, *o)
	if err != nil {
		return err
	}
	for _, n := range plan {
		if _, there := o.Nodes[n.Node]; !there || !n.Drained || n.Turn == 0 {
			continue
		}
		pods, err := drain.Pods(ctx, kube, n.Node)
		if err != nil {
			return err
		}
		o.Local[n.Node] = drain.Local(pods)
		if o.Blocked[n.Node], err = drain.Try(ctx, kube, pods); err != nil {
			return err
		}
	}
	return nil
}

func nodesOf(ctx context.Context, kube kubernetes.Interface, nodes []corev1.Node, now time.Time) (map[string]Node, error) {
	leases, err := join.NodeLeases(ctx, kube)
	if err != nil {
		return nil, err
	}
	pods, err := kube.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "tier=control-plane"})
	if err != nil {
		return nil, fmt.Errorf("list the static pods: %w", err)
	}
	out := map[string]Node{}
	for _, n := range nodes {
		out[n.Name] = nodeOf(n, leases[n.Name], pods.Items, now)
	}
	return out, nil
}

// nodeOf is what a node's objects say. It is pure.
func nodeOf(n corev1.Node, lease *coordinationv1.Lease, pods []corev1.Pod, now time.Time) Node {
	_, controlPlane := n.Labels["node-role.kubernetes.io/control-plane"]
	out := Node{
		ControlPlane: controlPlane, Kubelet: n.Status.NodeInfo.KubeletVersion, Cordoned: n.Spec.Unschedulable,
		NotReady: ready.Node(&n, lease, now), Silent: ready.Silent(&n), Address: internal(n), Previous: n.Annotations[AnnotationPrevious], Labels: n.Labels,
		Static: map[string]string{}, StaticReady: map[string]bool{},
	}
	for _, c := range ready.Pressures(&n) {
		out.Pressure = append(out.Pressure, string(c.Type)+": "+c.Message)
	}
	for _, p := range pods {
		component := p.Labels["component"]
		if p.Spec.NodeName == n.Name && p.DeletionTimestamp == nil && slices.Contains(components(), component) && len(p.Spec.Containers) > 0 {
			out.Static[component] = tag(p.Spec.Containers[0].Image)
			out.StaticReady[component] = ready.Pod(&p)
		}
		if p.Spec.NodeName == n.Name && p.DeletionTimestamp == nil && component == etcdPod && len(p.Spec.Containers) > 0 {
			out.Etcd, _, _ = strings.Cut(tag(p.Spec.Containers[0].Image), "-")
			out.StaticReady[component] = ready.Pod(&p)
		}
	}
	return out
}

// internal is the first internal address that a node reports; empty for none.
func internal(n corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}

// tag is an image reference's tag.
func tag(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	return ref[strings.LastIndex(ref, ":")+1:]
}

// configured reads the version that kubeadm keeps, and the tag of its etcd's image.
func configured(ctx context.Context, kube kubernetes.Interface) (version, etcdTag string, err error) {
	var doc struct {
		KubernetesVersion string `json:"kubernetesVersion"`
		Etcd              struct {
			Local struct {
				ImageTag string `json:"imageTag"`
			} `json:"local"`
		} `json:"etcd"`
	}
	err = kubeadmconfig.Read(ctx, kube, &doc)
	return doc.KubernetesVersion, doc.Etcd.Local.ImageTag, err
}
