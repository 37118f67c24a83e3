package inventory

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// rule puts a variable's value into the Cluster. It returns why that is not
// possible, or "".
type rule func(cv *converter, value string) string

// rules are the variables that have a counterpart, in upper case: kubeadm2ha's
// own names of all its generations, then names that users added along its lines.
var rules = map[string]rule{
	"CLUSTER_NAME":              clusterName,
	"APISERVER_VIP":             virtualIP,
	"MASTER_VIP":                virtualIP,
	"VIRTUAL_IP":                virtualIP,
	"KUBERNETES_VERSION":        kubernetesVersion,
	"KUBERNETES_MAJOR_VERSION":  partOfAnother,
	"KUBERNETES_MINOR_VERSION":  partOfAnother,
	"KUBERNETES_PATCH_VERSION":  partOfAnother,
	"POD_NETWORK_CIDR":          subnet(func(s *v1alpha1.ClusterSpec) *string { return &s.Network.PodSubnet }),
	"SERVICE_NETWORK_CIDR":      subnet(func(s *v1alpha1.ClusterSpec) *string { return &s.Network.ServiceSubnet }),
	"SERVICE_CIDR":              subnet(func(s *v1alpha1.ClusterSpec) *string { return &s.Network.ServiceSubnet }),
	"DNS_DOMAIN":                text(func(s *v1alpha1.ClusterSpec) *string { return &s.Network.DNSDomain }),
	"NETWORK_PLUGIN":            networkPlugin,
	"ETCD_HOSTING":              etcdHosting,
	"LOAD_BALANCING":            loadBalancing,
	"HAS_LB":                    hasLB,
	"APISERVER_LB_PORT":         loadBalancerPort,
	"KEEPALIVED_ROUTER_ID":      routerID,
	"ROUTER_ID":                 routerID,
	"KEEPALIVED_INTERFACE":      text(func(s *v1alpha1.ClusterSpec) *string { return &s.Keepalived.Interface }),
	"NETWORK_INTERFACE":         text(func(s *v1alpha1.ClusterSpec) *string { return &s.Keepalived.Interface }),
	"PROXY_SERVER":              proxyServer,
	"HTTP_PROXY":                proxy(func(s *v1alpha1.ClusterSpec) *string { return &s.Proxy.HTTPProxy }),
	"HTTPS_PROXY":               proxy(func(s *v1alpha1.ClusterSpec) *string { return &s.Proxy.HTTPSProxy }),
	"NO_PROXY":                  noProxy,
	"NO_PROXY_LIST":             noProxy,
	"IMAGE_REPOSITORY":          text(func(s *v1alpha1.ClusterSpec) *string { return &s.Images.Registry }),
	"APISERVER_CERT_EXTRA_SANS": extraSANs,
}

// text is the rule of a field that takes any text.
func text(field func(*v1alpha1.ClusterSpec) *string) rule {
	return func(cv *converter, value string) string {
		*field(&cv.result.Cluster.Spec) = value
		return ""
	}
}

func subnet(field func(*v1alpha1.ClusterSpec) *string) rule {
	return func(cv *converter, value string) string {
		p, err := netip.ParsePrefix(value)
		if err != nil {
			return "is no subnet"
		}
		*field(&cv.result.Cluster.Spec) = p.Masked().String()
		return ""
	}
}

// partOfAnother is the rule of what only templates of other variables use.
func partOfAnother(*converter, string) string { return "" }

func clusterName(cv *converter, value string) string {
	name := label(value)
	if name == "" {
		return "is no usable name; set metadata.name"
	}
	if name != value {
		cv.note("the cluster is called %s: a name has lower-case letters, digits and dashes", name)
	}
	cv.result.Cluster.Metadata.Name = name
	return ""
}

func virtualIP(cv *converter, value string) string {
	a, err := netip.ParseAddr(value)
	if err != nil {
		return "is no IP address; set spec.virtualIP to one"
	}
	cv.result.Cluster.Spec.VirtualIP = a.String()
	return ""
}

func kubernetesVersion(cv *converter, value string) string {
	version := "v" + strings.TrimPrefix(value, "v")
	if _, err := v1alpha1.MinorOf(version); err != nil {
		cv.note("KUBERNETES_VERSION %.20q is outside the supported window (%s); spec.kubernetesVersion is %s. This makes a new cluster: "+
			"workloads of one that runs must be moved", value, v1alpha1.SupportedVersions, v1alpha1.DefaultKubernetesVersion)
		return ""
	}
	cv.result.Cluster.Spec.KubernetesVersion = version
	return ""
}

func networkPlugin(cv *converter, value string) string {
	n := &cv.result.Cluster.Spec.Network
	switch value {
	case "flannel":
		n.Plugin = v1alpha1.NetworkPluginFlannel
	case "calico":
		n.Plugin, n.Manifest = v1alpha1.NetworkPluginManifest, "calico.yaml"
		cv.note("calico: put a current calico.yaml of Calico's next to the Cluster file (spec.network.manifest), its pod CIDR the same as spec.network.podSubnet")
	default:
		n.Plugin = v1alpha1.NetworkPluginFlannel
		return "is not supported; spec.network.plugin is flannel, or use plugin manifest with a manifest of your own"
	}
	return ""
}

func etcdHosting(cv *converter, value string) string {
	switch value {
	case "external":
	case "stacked":
		cv.note("ETCD_HOSTING stacked: etcd runs on the same hosts, but under systemd (spec.etcd.topology external)")
	default:
		return "is neither stacked nor external; etcd is external"
	}
	cv.result.Cluster.Spec.Etcd.Topology = v1alpha1.EtcdExternal
	return ""
}

func loadBalancing(cv *converter, value string) string {
	switch value {
	case v1alpha1.LoadBalancerHAProxy, v1alpha1.LoadBalancerNginx:
		cv.result.Cluster.Spec.LoadBalancer.Type = value
		cv.note("load balancing with %s is not set up by the bootstrap, and the virtual IP works without it; the wish is kept in spec.loadBalancer", value)
	case "kube-vip":
		cv.note("kube-vip: keepalived holds the virtual IP instead")
	default:
		return "is neither haproxy nor nginx"
	}
	return ""
}

func hasLB(cv *converter, value string) string {
	on, ok := boolean(value)
	if !ok {
		return "is neither true nor false"
	}
	if on {
		cv.result.Cluster.Spec.LoadBalancer.Type = v1alpha1.LoadBalancerNginx
		cv.note("HAS_LB: a load balancer is not set up by the bootstrap, and the virtual IP works without it; the wish is kept in spec.loadBalancer")
	}
	return ""
}

func loadBalancerPort(cv *converter, value string) string {
	port, err := strconv.ParseInt(value, 10, 32)
	if err != nil || port < 1 || port > 65535 {
		return "is no port"
	}
	if port == v1alpha1.DefaultAPIServerPort {
		// kube-vip balances on the apiservers' own port; here that is plain.
		return ""
	}
	cv.result.Cluster.Spec.LoadBalancer.Port = int32(port)
	return ""
}

func routerID(cv *converter, value string) string {
	id, err := strconv.ParseInt(value, 10, 32)
	if err != nil || id < 1 || id > 255 {
		return "is no VRRP router id (1 to 255)"
	}
	if id == 51 {
		cv.note("the router id 51, the default of many, was not taken over: it is derived from the cluster's name and virtual IP; set spec.keepalived.routerID to insist")
		return ""
	}
	cv.result.Cluster.Spec.Keepalived.RouterID = int32(id)
	return ""
}

func proxyServer(cv *converter, value string) string {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" {
		return "is no URL"
	}
	p := &cv.result.Cluster.Spec.Proxy
	p.HTTPProxy, p.HTTPSProxy = value, value
	return ""
}

// proxy is the rule of one kind of proxy, which PROXY_SERVER goes before.
func proxy(field func(*v1alpha1.ClusterSpec) *string) rule {
	return func(cv *converter, value string) string {
		at := field(&cv.result.Cluster.Spec)
		if *at != "" && *at != value {
			return "PROXY_SERVER decides, and says otherwise"
		}
		*at = value
		return ""
	}
}

// words splits at commas and white space.
func words(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
}

func noProxy(cv *converter, value string) string {
	cv.result.Cluster.Spec.Proxy.NoProxy = words(value)
	return ""
}

func extraSANs(cv *converter, value string) string {
	cv.result.Cluster.Spec.ExtraSANs = words(value)
	return ""
}

// reasons are why variables have no counterpart, by the beginning of their
// names; the longest beginning that fits counts.
var reasons = map[string]string{
	"KUBERNETES_DNS_VERSION":   "CoreDNS has the version that kubeadm chooses",
	"KUBERNETES_CNI_VERSION":   "the CNI plugins come with the bundle",
	"COREDNS_":                 "CoreDNS has the version that kubeadm chooses",
	"PAUSE_":                   "kubeadm chooses the pause image",
	"ETCD_VERSION":             "etcd's version is the bundle's; spec.etcd.version names another",
	"ETCD_TAG":                 "etcd's version is the bundle's; spec.etcd.version names another",
	"ETCD_OPERATOR_":           "the etcd operator is not a part of the cluster's setup; use its own chart or manifest",
	"KEEPALIVED_VERSION":       "keepalived comes from the host's own packages",
	"KEEPALIVED_AUTH_PASS":     "VRRP has no password any more: only the control planes' own addresses may speak (unicast)",
	"VIP_MANAGER":              "keepalived holds the virtual IP",
	"KUBE_VIP":                 "keepalived holds the virtual IP",
	"NGINX_":                   "the load balancer is not set up by the bootstrap; spec.loadBalancer keeps its type and port",
	"HAPROXY_":                 "the load balancer is not set up by the bootstrap; spec.loadBalancer keeps its type and port",
	"CERT_":                    "etcd's certificates are made with names of their own; nobody reads the subject",
	"OS_DOCKER_":               "containerd with the systemd cgroup driver is used, and is set up from the bundle",
	"SETUP_DOCKER":             "containerd is used, and is set up from the bundle",
	"DOCKER_IMAGES":            "the list of images is made from kubeadm's own; further ones go into spec.images.extraImages",
	"INSECURE_REGISTRY":        "images come from the bundle; a registry without TLS is an http:// URL in spec.images.mirror",
	"HOST_ARCH":                "the architecture is read from the hosts",
	"MASTER_READY_WAIT_SEC":    "nothing waits for a fixed time; health is observed",
	"APISERVER_READY_WAIT_SEC": "nothing waits for a fixed time; health is observed",
	"DNS_IP":                   "the DNS service's address is derived from spec.network.serviceSubnet",
	"NTP_":                     "clocks are compared before anything is done, but not set",
	"NFS_":                     "storage is not set up",
	"FLANNEL_":                 "flannel's manifest comes with kubectl ha; use plugin manifest for one of your own",
	"CALICO_":                  "download the manifest and name it in spec.network.manifest, with plugin manifest",
	"WEAVENET_":                "Weave Net is not maintained any more",
	"DASHBOARD_":               "the dashboard is not a part of the cluster's setup; use its own chart",
	"METRICS_":                 "not a part of the cluster's setup; use its own chart or manifest",
	"GIT_":                     "nothing is fetched from Git any more",
	"ES_":                      "the logging stack is not a part of this; use its own operator or chart",
	"ELASTICSEARCH_":           "the logging stack is not a part of this; use its own operator or chart",
	"CURATOR_":                 "the logging stack is not a part of this; use its own operator or chart",
	"FLUENTD_":                 "the logging stack is not a part of this; use its own operator or chart",
	"KIBANA_":                  "the logging stack is not a part of this; use its own operator or chart",
	"PROMETHEUS_":              "monitoring is not a part of this; use its own operator or chart",
	"CONFIGMAP_RELOAD_":        "monitoring is not a part of this; use its own operator or chart",
	"GRAFANA_":                 "monitoring is not a part of this; use its own operator or chart",
	"HEAPSTER_":                "Heapster is not maintained any more",
	"INFLUXDB_":                "monitoring is not a part of this; use its own operator or chart",
	"BUSYBOX_":                 "a helper image of the predecessor's",
}

// unknown is the reason of variables that no kubeadm2ha has.
const unknown = "is not a setting of kubeadm2ha's that is known here"

// reason is why a variable has no counterpart.
func reason(name string) string {
	upper := strings.ToUpper(name)
	best := ""
	for prefix := range reasons {
		if strings.HasPrefix(upper, prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	if best == "" {
		return unknown
	}
	return reasons[best]
}

func passwordHint(name string) string {
	upper := strings.ToUpper(name)
	if reason(name) == unknown && (strings.Contains(upper, "PASS") || strings.Contains(upper, "SECRET") || strings.Contains(upper, "TOKEN")) {
		return "; secrets are made for each cluster"
	}
	return ""
}
