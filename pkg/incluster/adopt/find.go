package adopt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/kubeadmconfig"
)

// controlPlaneLabel is on the nodes of kubeadm's control planes.
// https://kubernetes.io/docs/reference/labels-annotations-taints/#node-role-kubernetes-io-control-plane
const controlPlaneLabel = "node-role.kubernetes.io/control-plane"

// Observation is what a cluster tells of itself.
type Observation struct {
	// Kubeadm is its ClusterConfiguration.
	Kubeadm Kubeadm
	Nodes   []corev1.Node
	// Flannel tells whether its DaemonSet is there.
	Flannel bool
	// Addresses are what kubeadm's endpoint resolves to, when it is a name.
	Addresses []string
}

// Kubeadm is the part of kubeadm's ClusterConfiguration that is needed.
// https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/
type Kubeadm struct {
	ClusterName          string `json:"clusterName"`
	ControlPlaneEndpoint string `json:"controlPlaneEndpoint"`
	KubernetesVersion    string `json:"kubernetesVersion"`
	ImageRepository      string `json:"imageRepository"`
	Networking           struct {
		DNSDomain     string `json:"dnsDomain"`
		PodSubnet     string `json:"podSubnet"`
		ServiceSubnet string `json:"serviceSubnet"`
	} `json:"networking"`
	Etcd struct {
		Local *struct {
			DataDir string `json:"dataDir"`
		} `json:"local"`
		External *struct {
			Endpoints []string `json:"endpoints"`
		} `json:"external"`
	} `json:"etcd"`
}

// Observe reads what Cluster goes by. The error of a cluster that kubeadm has not
// made is the API's NotFound.
func Observe(ctx context.Context, kube kubernetes.Interface) (Observation, error) {
	var o Observation
	var err error
	if o.Kubeadm, err = ReadKubeadm(ctx, kube); err != nil {
		return o, err
	}
	nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return o, fmt.Errorf("list nodes: %w", err)
	}
	o.Nodes = nodes.Items
	_, err = kube.AppsV1().DaemonSets("kube-flannel").Get(ctx, "kube-flannel-ds", metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return o, fmt.Errorf("look for flannel: %w", err)
	}
	o.Flannel = err == nil
	host, _, err := endpoint(o.Kubeadm.ControlPlaneEndpoint)
	if err != nil || host == "" {
		return o, err
	}
	if _, err := netip.ParseAddr(host); err != nil {
		// Whoever runs this may not know the name; then the address has to be given.
		o.Addresses, _ = net.DefaultResolver.LookupHost(ctx, host)
	}
	return o, nil
}

// ReadKubeadm reads kubeadm's ClusterConfiguration. The error of a cluster that kubeadm
// has not made is the API's NotFound.
func ReadKubeadm(ctx context.Context, kube kubernetes.Interface) (Kubeadm, error) {
	var k Kubeadm
	err := kubeadmconfig.Read(ctx, kube, &k)
	return k, err
}

// Cluster is the document of what was seen, with its defaults. virtualIP, when not
// empty, replaces the address that the cluster's endpoint has. It is pure.
func Cluster(o Observation, virtualIP string) (*v1alpha1.Cluster, error) {
	host, port, err := endpoint(o.Kubeadm.ControlPlaneEndpoint)
	if err != nil {
		return nil, err
	}
	if virtualIP == "" {
		virtualIP = host
	}
	if _, err := netip.ParseAddr(virtualIP); err != nil {
		switch {
		case host == "":
			return nil, errors.New("the cluster has no stable endpoint (kubeadm's controlPlaneEndpoint is empty); name its address with --virtual-ip")
		case len(o.Addresses) != 1:
			return nil, fmt.Errorf("the endpoint %s stands for %d addresses from here; name the right one with --virtual-ip", host, len(o.Addresses))
		}
		virtualIP = o.Addresses[0]
	}
	k := o.Kubeadm
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: k.ClusterName}, Spec: v1alpha1.ClusterSpec{
		KubernetesVersion: k.KubernetesVersion, VirtualIP: virtualIP, APIServerPort: port,
		Network: v1alpha1.Network{Plugin: v1alpha1.NetworkPluginNone, PodSubnet: k.Networking.PodSubnet, ServiceSubnet: k.Networking.ServiceSubnet,
			DNSDomain: k.Networking.DNSDomain},
	}}
	if o.Flannel {
		c.Spec.Network.Plugin = v1alpha1.NetworkPluginFlannel
	}
	if k.ImageRepository != "registry.k8s.io" {
		c.Spec.Images.Registry = k.ImageRepository
	}
	c.Spec.Hosts = hosts(o.Nodes)
	if !slices.ContainsFunc(c.Spec.Hosts, func(h v1alpha1.Host) bool { return h.Has(v1alpha1.RoleControlPlane) }) {
		return nil, fmt.Errorf("no node has the label %s", controlPlaneLabel)
	}
	if err := addEtcd(c, k); err != nil {
		return nil, err
	}
	c.SetDefaults()
	return c, nil
}

// endpoint takes host and port of kubeadm's endpoint apart; the port may be missing.
func endpoint(text string) (host string, port int32, err error) {
	host, number, err := net.SplitHostPort(text)
	if err != nil {
		return strings.Trim(text, "[]"), v1alpha1.DefaultAPIServerPort, nil //nolint:nilerr // It is a host without a port.
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n < 1 || n > 65535 {
		return "", 0, fmt.Errorf("kubeadm's controlPlaneEndpoint %q has no port", text)
	}
	return host, int32(n), nil
}

func hosts(nodes []corev1.Node) []v1alpha1.Host {
	var out []v1alpha1.Host
	for _, n := range nodes {
		h := v1alpha1.Host{Name: n.Name, Roles: []v1alpha1.Role{v1alpha1.RoleWorker}}
		if _, ok := n.Labels[controlPlaneLabel]; ok {
			h.Roles = []v1alpha1.Role{v1alpha1.RoleControlPlane}
			if !tainted(n) {
				h.Roles = append(h.Roles, v1alpha1.RoleWorker)
			}
		}
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP && h.Address == "" {
				h.Address = a.Address
			}
		}
		out = append(out, h)
	}
	slices.SortStableFunc(out, func(a, b v1alpha1.Host) int {
		switch first, second := a.Has(v1alpha1.RoleControlPlane), b.Has(v1alpha1.RoleControlPlane); {
		case first && !second:
			return -1
		case second && !first:
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

func tainted(n corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == controlPlaneLabel && t.Effect == corev1.TaintEffectNoSchedule
	})
}

// addEtcd says where etcd's members are: with kubeadm's own etcd on the control
// planes, else at the endpoints, which may be hosts that are no nodes.
func addEtcd(c *v1alpha1.Cluster, k Kubeadm) error {
	if k.Etcd.External == nil {
		c.Spec.Etcd.Topology = v1alpha1.EtcdStacked
		if k.Etcd.Local != nil {
			c.Spec.Etcd.DataDir = k.Etcd.Local.DataDir
		}
		return nil
	}
	for i, e := range k.Etcd.External.Endpoints {
		u, err := url.Parse(e)
		if err != nil || u.Hostname() == "" {
			return fmt.Errorf("kubeadm's etcd endpoint %q is no URL", e)
		}
		at := slices.IndexFunc(c.Spec.Hosts, func(h v1alpha1.Host) bool { return h.Address == u.Hostname() || h.Name == u.Hostname() })
		if at < 0 {
			c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: fmt.Sprintf("etcd%d", i+1), Address: u.Hostname()})
			at = len(c.Spec.Hosts) - 1
		}
		c.Spec.Hosts[at].Roles = append(c.Spec.Hosts[at].Roles, v1alpha1.RoleEtcd)
	}
	return nil
}
