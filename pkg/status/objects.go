package status

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/adopt"
	backups "github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups/schedule"
	renewal "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
)

// readTimeout bounds one read from the API.
const readTimeout = 6 * time.Second

// The static pods of a control plane.
const (
	apiserver         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
	scheduler         = "kube-scheduler"
)

// objects are what the API tells, each part as far as it could be read.
type objects struct {
	nodes      []corev1.Node
	leases     map[string]*coordinationv1.Lease
	pods       []corev1.Pod
	leaders    map[string]*coordinationv1.Lease
	dns        *appsv1.Deployment
	operations []v1alpha1.Operation
	configured string
	renewal    *schedule.State
	backups    *backups.State

	mu     sync.Mutex
	unseen []string
	// failed is the first error of a read that is always possible on a cluster that serves.
	failed error
}

// miss notes what could not be read.
func (o *objects) miss(what string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unseen = append(o.unseen, what+": "+short(err))
	// What is not there was looked for in what is stored.
	if o.failed == nil && !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) && !apierrors.IsNotFound(err) {
		o.failed = err
	}
}

// readObjects reads all parts at once.
func readObjects(ctx context.Context, c *client.Clients) *objects {
	o := &objects{leases: map[string]*coordinationv1.Lease{}, leaders: map[string]*coordinationv1.Lease{}}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, part := range []struct {
		what string
		read func(context.Context, *client.Clients) error
	}{
		{"nodes", o.readNodes}, {"the nodes' leases", o.readLeases}, {"the pods of kube-system", o.readPods}, {"the leader of " + controllerManager, o.leader(controllerManager)}, {"the leader of " + scheduler, o.leader(scheduler)},
		{"CoreDNS", o.readDNS}, {"operations", o.readOperations}, {"kubeadm's configuration", o.readConfigured},
		{"the scheduled renewal of certificates", o.readRenewal}, {"the scheduled backup", o.readBackups},
	} {
		all.Go(func() {
			if err := part.read(ctx, c); err != nil {
				o.miss(part.what, err)
			}
		})
	}
	all.Wait()
	slices.Sort(o.unseen)
	return o
}

func (o *objects) readNodes(ctx context.Context, c *client.Clients) error {
	list, err := c.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err == nil {
		o.nodes = list.Items
	}
	return err
}

func (o *objects) readLeases(ctx context.Context, c *client.Clients) error {
	list, err := c.Kube.CoordinationV1().Leases(corev1.NamespaceNodeLease).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items {
		o.leases[list.Items[i].Name] = &list.Items[i]
	}
	return nil
}

func (o *objects) readPods(ctx context.Context, c *client.Clients) error {
	list, err := c.Kube.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{})
	if err == nil {
		o.pods = list.Items
	}
	return err
}

// leader reads who leads of a component.
func (o *objects) leader(name string) func(context.Context, *client.Clients) error {
	return func(ctx context.Context, c *client.Clients) error {
		lease, err := c.Kube.CoordinationV1().Leases(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.leaders[name] = lease
		return nil
	}
}

func (o *objects) readDNS(ctx context.Context, c *client.Clients) error {
	d, err := c.Kube.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil // It is not everybody's DNS.
	}
	o.dns = d
	return err
}

func (o *objects) readOperations(ctx context.Context, c *client.Clients) (err error) {
	o.operations, err = operations.New(c.Dynamic).List(ctx)
	return err
}

func (o *objects) readBackups(ctx context.Context, c *client.Clients) (err error) {
	o.backups, err = backups.Look(ctx, c, time.Now())
	return err
}

func (o *objects) readRenewal(ctx context.Context, c *client.Clients) (err error) {
	o.renewal, err = renewal.Renewal().Look(ctx, c.Kube)
	return err
}

func (o *objects) readConfigured(ctx context.Context, c *client.Clients) error {
	doc, err := adopt.ReadKubeadm(ctx, c.Kube)
	o.configured = doc.KubernetesVersion
	return err
}

// document is the stored Cluster document, or what the cluster tells of itself.
func document(ctx context.Context, c *client.Clients) (*v1alpha1.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	cluster, err := incluster.StoredCluster(ctx, c.Kube)
	if err == nil || !apierrors.IsNotFound(err) {
		return cluster, err
	}
	seen, err := adopt.Observe(ctx, c.Kube)
	if err != nil {
		return nil, err
	}
	found, _, err := adopt.Cluster(seen, "")
	return found, err
}

// leaderOf is the node of a lease's holder, which is "node_uuid"; empty when the
// lease has run out.
func leaderOf(lease *coordinationv1.Lease, now time.Time) string {
	age, known := ready.LeaseAge(lease, now)
	if !known || lease.Spec.HolderIdentity == nil || lease.Spec.LeaseDurationSeconds == nil {
		return ""
	}
	// The clocks of two machines are never quite the same: twice the duration.
	if age > 2*time.Duration(*lease.Spec.LeaseDurationSeconds)*time.Second {
		return ""
	}
	name, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
	return name
}

// nodeReports are the nodes as the API tells of them.
func (o *objects) nodeReports(now time.Time) []Node {
	var out []Node
	for _, n := range o.nodes {
		one := Node{
			Name: n.Name, Version: n.Status.NodeInfo.KubeletVersion, OS: n.Status.NodeInfo.OSImage,
			Runtime: n.Status.NodeInfo.ContainerRuntimeVersion, Cordoned: n.Spec.Unschedulable,
			NotReady: ready.Node(&n, o.leases[n.Name], now),
		}
		_, one.ControlPlane = n.Labels["node-role.kubernetes.io/control-plane"]
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP && one.Address == "" {
				one.Address = a.Address
			}
		}
		for _, c := range ready.Pressures(&n) {
			one.Pressure = append(one.Pressure, string(c.Type))
		}
		out = append(out, one)
	}
	slices.SortStableFunc(out, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// static is a component's pod on a node, nil when there is none.
func (o *objects) static(component, node string) *corev1.Pod {
	for i, p := range o.pods {
		if p.Labels["component"] == component && p.Spec.NodeName == node && p.DeletionTimestamp == nil {
			return &o.pods[i]
		}
	}
	return nil
}

// doorway is a running pod in a node's own network, through which its loopback is
// reached: static pods first, since they are there as long as the node is.
func (o *objects) doorway(node string) string {
	best, name := 0, ""
	for _, p := range o.pods {
		if p.Spec.NodeName != node || !p.Spec.HostNetwork || p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil {
			continue
		}
		rank := 1
		switch p.Labels["component"] {
		case scheduler:
			rank = 4
		case controllerManager:
			rank = 3
		case apiserver:
			rank = 2
		}
		if rank > best {
			best, name = rank, p.Name
		}
	}
	return name
}

// version is the tag of a pod's first container.
func version(p *corev1.Pod) string {
	if p == nil || len(p.Spec.Containers) == 0 {
		return ""
	}
	ref, _, _ := strings.Cut(p.Spec.Containers[0].Image, "@")
	return ref[strings.LastIndex(ref, ":")+1:]
}

func (o *objects) dnsReport() *DNS {
	if o.dns == nil {
		return nil
	}
	out := &DNS{Wanted: 1, Ready: int(o.dns.Status.ReadyReplicas), Nodes: map[string]int{}}
	if o.dns.Spec.Replicas != nil {
		out.Wanted = int(*o.dns.Spec.Replicas)
	}
	for _, p := range o.pods {
		if p.Labels["k8s-app"] == "kube-dns" && ready.Pod(&p) {
			out.Nodes[p.Spec.NodeName]++
		}
	}
	return out
}
