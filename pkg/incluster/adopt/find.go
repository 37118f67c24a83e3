package adopt

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/kubeadmconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/survey"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
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
	// ClusterInfo is host:port of the server by which nodes join; empty where that is not known.
	ClusterInfo string
	// Servers are host:port of each control plane's own apiserver, and Flags its command.
	Servers map[string]string
	Flags   map[string][]string
	// Static are the static pods by node, without kubeadm's own. Survey reads them, and what
	// is below.
	Static map[string][]StaticPod
	// Leases are the names of those in kube-system.
	Leases []string
	// Admission is what may keep kubectl-ha's pods from starting.
	Admission Admission
	// Hosts are what the hosts themselves tell, where they were asked; Unasked says why others
	// were not.
	Hosts   map[string]survey.Facts
	Unasked map[string]string
}

// StaticPod is one that is not kubeadm's.
type StaticPod struct{ Name, Image string }

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
			// ImageTag is empty where the choice is kubeadm's.
			ImageTag string `json:"imageTag"`
		} `json:"local"`
		External *struct {
			Endpoints []string `json:"endpoints"`
		} `json:"external"`
	} `json:"etcd"`
}

// ReadKubeadm reads kubeadm's ClusterConfiguration. The error of a cluster that kubeadm
// has not made is the API's NotFound.
func ReadKubeadm(ctx context.Context, kube kubernetes.Interface) (Kubeadm, error) {
	var k Kubeadm
	err := kubeadmconfig.Read(ctx, kube, &k)
	return k, err
}

// Cluster is the document of what was seen, with its defaults, and what there is to say of the
// endpoint in it. virtualIP, when not empty, is the address that the control planes pass on to
// each other. It is pure.
func Cluster(o Observation, virtualIP string) (*v1alpha1.Cluster, []report.Finding, error) {
	k := o.Kubeadm
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: nameOf(k.ClusterName)}, Spec: v1alpha1.ClusterSpec{
		KubernetesVersion: k.KubernetesVersion,
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
		return nil, nil, fmt.Errorf("no node has the label %s", controlPlaneLabel)
	}
	if err := addEtcd(c, k); err != nil {
		return nil, nil, err
	}
	found, err := addEndpoint(c, o, virtualIP)
	if err != nil {
		return nil, nil, err
	}
	c.SetDefaults()
	return c, found, nil
}

// Check refuses a document that does not pass its own check: Operations could not go by it. It
// is pure.
func Check(c *v1alpha1.Cluster) error {
	if errs, _ := c.Validate(); len(errs) > 0 {
		return fmt.Errorf("this cluster has what kubectl ha can't run, and nothing was changed:\n%w", errs)
	}
	return nil
}

// CheckLabels refuses a cluster in which a node has an apiserver and not the label of control planes:
// it would be taken for a worker. It is pure.
func CheckLabels(o Observation) error {
	for _, n := range o.Nodes {
		_, serves := o.Flags[n.Name]
		if _, labelled := n.Labels[controlPlaneLabel]; serves && !labelled {
			return fmt.Errorf("node %s runs an apiserver, and lacks the label of control planes; nothing was changed\nnext: kubectl label node %s %s=, and run the command again", n.Name, n.Name, controlPlaneLabel)
		}
	}
	return nil
}

// splitEndpoint takes host and port of kubeadm's endpoint apart; the port may be missing.
func splitEndpoint(text string) (host string, port int32, err error) {
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
		if isWindows(n) {
			continue // Nothing of kubectl-ha runs there; Findings says so.
		}
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

// isWindows goes by the label that each kubelet gives its node.
// https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-os
func isWindows(n corev1.Node) bool { return n.Labels[corev1.LabelOSStable] == "windows" }

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
			// A tag of somebody's own says nothing of the version.
			tag, _, _ := strings.Cut(k.Etcd.Local.ImageTag, "-")
			if v, err := etcd.ParseVersion(tag); err == nil {
				c.Spec.Etcd.Version = "v" + v.String()
			}
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
