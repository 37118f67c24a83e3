package kubeadm

import (
	"maps"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

const (
	// APIVersion is the version of kubeadm's documents that is written.
	APIVersion = "kubeadm.k8s.io/v1beta4"
	// EtcdCAFile is where every control plane has the etcd CA's certificate.
	EtcdCAFile = "/etc/kubernetes/pki/etcd/ca.crt"
	// EtcdClientCertFile and EtcdClientKeyFile are the apiserver's identity at etcd.
	EtcdClientCertFile = "/etc/kubernetes/pki/apiserver-etcd-client.crt"
	EtcdClientKeyFile  = "/etc/kubernetes/pki/apiserver-etcd-client.key"
	// CRISocket is containerd's socket.
	CRISocket = "unix:///run/containerd/containerd.sock"
)

// clusterConfiguration is the part that is the same for all control planes;
// kubeadm keeps it in the cluster's ConfigMap kubeadm-config.
func clusterConfiguration(c *v1alpha1.Cluster) (object, error) {
	fixed := object{
		"apiVersion":           APIVersion,
		"kind":                 "ClusterConfiguration",
		"clusterName":          c.Metadata.Name,
		"kubernetesVersion":    c.Spec.KubernetesVersion,
		"controlPlaneEndpoint": c.Endpoint(),
		"networking": object{
			"podSubnet":     c.Spec.Network.PodSubnet,
			"serviceSubnet": c.Spec.Network.ServiceSubnet,
			"dnsDomain":     c.Spec.Network.DNSDomain,
		},
		"apiServer": object{"certSANs": list(certSANs(c))},
		"etcd":      etcd(c),
	}
	if registry := c.Spec.Images.Registry; registry != "" {
		fixed["imageRepository"] = registry
	}
	return layers("spec.kubeadm.clusterConfiguration", defaultClusterConfiguration(), c.Spec.Kubeadm.ClusterConfiguration, fixed)
}

// etcd says where it is: the members' addresses, or the settings of kubeadm's own.
func etcd(c *v1alpha1.Cluster) object {
	if !c.Stacked() {
		return object{"external": object{
			"endpoints": list(c.EtcdEndpoints()),
			"caFile":    EtcdCAFile,
			"certFile":  EtcdClientCertFile,
			"keyFile":   EtcdClientKeyFile,
		}}
	}
	local := object{"dataDir": c.Spec.Etcd.DataDir}
	if tag := v1alpha1.EtcdImageTag(c.Spec.Etcd.Version); tag != "" {
		local["imageTag"] = tag
	}
	if args := c.Spec.Etcd.ExtraArgs; len(args) > 0 {
		var all []any
		for _, name := range slices.Sorted(maps.Keys(args)) {
			all = append(all, object{"name": name, "value": args[name]})
		}
		local["extraArgs"] = all
	}
	return object{"local": local}
}

// shutdownDelay is for how long an apiserver that is asked to end still serves everybody,
// while its /readyz fails already: whoever hands connections to it finds out meanwhile.
// Our load balancer needs one second at most, see balancer.checkInterval.
const shutdownDelay = 3 * time.Second

// defaultClusterConfiguration is what may be changed. An apiserver that is asked to end
// goes on for a moment (shutdownDelay). Then it answers new requests with "come again"
// (429) until those under way are done, and closes what is left, watches above all.
// Without the second the port is closed at once, the process waits for the watches of
// its own host's kubelet, and is killed after 30 s.
// https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/
func defaultClusterConfiguration() object {
	return object{"apiServer": object{"extraArgs": []any{
		object{"name": "shutdown-delay-duration", "value": shutdownDelay.String()},
		object{"name": "shutdown-send-retry-after", "value": "true"},
	}}}
}

// certSANs are the names under which clients may reach an apiserver: the stable
// address first, every control plane directly (a health check or a person with
// a broken virtual IP does that), the host itself, and what the user adds.
func certSANs(c *v1alpha1.Cluster) []string {
	sans := []string{c.EndpointHost()}
	for _, h := range c.ControlPlanes() {
		sans = append(sans, h.Name, h.Address)
	}
	sans = append(sans, "127.0.0.1", "localhost")
	sans = append(sans, c.Spec.ExtraSANs...)
	var out []string
	for _, san := range sans {
		if !slices.Contains(out, san) {
			out = append(out, san)
		}
	}
	return out
}

// kubeletConfiguration is what all kubelets share. containerd is set up for the
// systemd cgroup driver, and the two must agree.
// https://kubernetes.io/docs/setup/production-environment/container-runtimes/#cgroup-drivers
func kubeletConfiguration(c *v1alpha1.Cluster) (object, error) {
	return layers("spec.kubeadm.kubeletConfiguration", c.Spec.Kubeadm.KubeletConfiguration, object{
		"apiVersion":   "kubelet.config.k8s.io/v1beta1",
		"kind":         "KubeletConfiguration",
		"cgroupDriver": "systemd",
	})
}

func kubeProxyConfiguration(c *v1alpha1.Cluster) (object, error) {
	return layers("spec.kubeadm.kubeProxyConfiguration", c.Spec.Kubeadm.KubeProxyConfiguration, object{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
		"kind":       "KubeProxyConfiguration",
	})
}

// nodeRegistration returns what may be changed about a node, and what may not.
func nodeRegistration(c *v1alpha1.Cluster, h v1alpha1.Host, criSocket string, ignore []string) (defaults, fixed object) {
	// An empty list, unlike none, keeps kubeadm from adding its own taint.
	taints := []any{}
	if h.Tainted() {
		taints = append(taints, object{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"})
	}
	if criSocket == "" {
		criSocket = CRISocket
	}
	defaults = object{
		"taints":           taints,
		"imagePullPolicy":  "IfNotPresent",
		"kubeletExtraArgs": []any{object{"name": "node-ip", "value": h.Address}},
	}
	fixed = object{"name": h.Name, "criSocket": criSocket}
	if all := slices.Concat(c.Spec.Kubeadm.IgnorePreflightErrors, ignore); len(all) > 0 {
		fixed["ignorePreflightErrors"] = list(all)
	}
	return defaults, fixed
}

func localAPIEndpoint(c *v1alpha1.Cluster, h v1alpha1.Host) object {
	port := c.Spec.APIServerPort
	if port == 0 {
		port = v1alpha1.DefaultAPIServerPort
	}
	return object{"advertiseAddress": h.Address, "bindPort": int64(port)}
}

// CertSANs are the names of every apiserver's certificate that come from the Cluster.
func CertSANs(c *v1alpha1.Cluster) []string { return certSANs(c) }
