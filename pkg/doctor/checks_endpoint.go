package doctor

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// localFrom is the first version whose kubeadm makes control planes' kubelets use
// their own apiserver. https://github.com/kubernetes/enhancements/issues/4471
var localFrom = version.MustParseGeneric("1.33.0")

func endpointChecks() []Check {
	return []Check{
		{ID: "stable-endpoint", Title: "the API has an endpoint that is no node's own address", Source: "kubespray#13516", Reads: partKubeadm, Fix: v1alpha1.RepairClusterInfo,
			Why: "whatever is pinned to one control plane stops with it, and that one can't be replaced", Run: stableEndpoint},
		{ID: "kube-proxy-endpoint", Title: "kube-proxy uses the stable endpoint", Source: "kubeadm#905, #1955", Document: true, Reads: partProxy, Fix: v1alpha1.RepairKubeProxy,
			Why: "pinned to one control plane, services stop to change everywhere when that one is away", Run: configMapEndpoint("kube-proxy", func(o Objects) string { return o.KubeProxy }, v1alpha1.RepairKubeProxy)},
		{ID: "join-endpoint", Title: "nodes join by the stable endpoint", Source: "kubernetes#94398", Document: true, Reads: partClusterInfo, Fix: v1alpha1.RepairClusterInfo,
			Why: "no node can join while the control plane is away that cluster-info names", Run: configMapEndpoint("cluster-info", func(o Objects) string { return o.ClusterInfo }, v1alpha1.RepairClusterInfo)},
		{ID: "kubeconfig-endpoint", Title: "components use their own apiserver or the stable endpoint", Source: "kubeadm#1955", Files: true, Document: true,
			Why: "a kubelet or controller-manager that is pinned to another control plane stops with that one", Run: kubeconfigEndpoints},
		{ID: "kubelet-local", Title: "kubelets of control planes use their own apiserver", Source: "kubernetes#127316, kube-vip#949", Files: true, Document: true,
			Why: "in an upgrade a new kubelet would talk to an older apiserver through the virtual IP, which is not supported", Run: kubeletLocal},
	}
}

func stableEndpoint(in Input) []Finding {
	if in.Objects.Kubeadm && in.Objects.Endpoint == "" {
		return []Finding{problem("", "kubeadm's controlPlaneEndpoint is empty, so that everything goes to the control plane that was there first",
			"set up a virtual IP or a load balancer, put its address into kubeadm-config and the apiservers' certificates, and point every kubeconfig at it")}
	}
	if in.Cluster == nil {
		return nil
	}
	if in.Cluster.EndpointIsLocal() {
		return []Finding{warning("", in.Cluster.Endpoint()+" is each host's own, and no address of the cluster",
			"see that a proxy on every host leads there to all control planes; or set up a virtual IP or a load balancer")}
	}
	for _, h := range in.Cluster.ControlPlanes() {
		if h.Address == in.Cluster.EndpointHost() && len(in.Cluster.ControlPlanes()) > 1 {
			return []Finding{problem("", fmt.Sprintf("%s is the address of %s itself", in.Cluster.EndpointHost(), h.Name),
				"set up a virtual IP or a load balancer, put it into kubeadm's controlPlaneEndpoint and the apiservers' certificates")}
		}
	}
	if in.Objects.Endpoint != "" && !points("https://"+in.Objects.Endpoint, in.Cluster.Endpoint()) {
		if !in.Cluster.KeepsVirtualIP() {
			return []Finding{problem("", fmt.Sprintf("kubeadm's controlPlaneEndpoint is %s, and the stored Cluster document, which says %s, is stale", in.Objects.Endpoint, in.Cluster.Endpoint()),
				"write it into spec.endpoint.address (a virtual IP: into spec.virtualIP): kubectl -n ha-system edit configmap cluster")}
		}
		return []Finding{problem("", fmt.Sprintf("kubeadm's controlPlaneEndpoint is %s, not %s", in.Objects.Endpoint, in.Cluster.Endpoint()),
			"kubectl ha doctor --fix changes it").fixedBy(v1alpha1.RepairClusterInfo)}
	}
	return nil
}

func configMapEndpoint(what string, of func(Objects) string, fix v1alpha1.RepairFix) func(Input) []Finding {
	return func(in Input) []Finding {
		have := of(in.Objects)
		if in.Cluster == nil || have == "" || points(have, in.Cluster.Endpoint()) {
			return nil
		}
		if !in.Cluster.KeepsVirtualIP() {
			if isLocal(have) {
				return nil // A proxy of others on every host leads on.
			}
			return []Finding{problem("", fmt.Sprintf("%s points to %s, not to %s", what, have, in.Cluster.Endpoint()),
				"kubectl ha changes nothing that others keep: see to it by what set it up")}
		}
		return []Finding{problem("", fmt.Sprintf("%s points to %s, not to %s", what, have, in.Cluster.Endpoint()),
			"kubectl ha doctor --fix changes it").fixedBy(fix)}
	}
}

// points tells whether a server's URL is at the address of an endpoint, whatever the
// port: the load balancer has another one. A name may stand for it.
func points(server, endpoint string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	if net.ParseIP(u.Hostname()) == nil && u.Hostname() != "" {
		return true
	}
	host, _, err := net.SplitHostPort(endpoint)
	return err == nil && u.Hostname() == host
}

// isLocal tells whether a server's URL is each host's own.
func isLocal(server string) bool {
	u, err := url.Parse(server)
	return err == nil && v1alpha1.IsLocal(u.Hostname())
}

func kubeconfigEndpoints(in Input) []Finding {
	var out []Finding
	for node, facts := range ordered(in.Inspection.Facts) {
		own := ownAddress(in, node)
		for file, server := range ordered(facts.Kubeconfigs) {
			if in.Cluster == nil || strings.HasSuffix(file, "admin.conf") || points(server, in.Cluster.Endpoint()) || points(server, own) || strings.Contains(server, "//127.0.0.1:") || strings.Contains(server, "//localhost:") {
				continue
			}
			out = append(out, problem(node, fmt.Sprintf("%s points to %s", file, server),
				fmt.Sprintf("make it point to https://%s, and restart who uses it", in.Cluster.Endpoint())))
		}
	}
	return out
}

func ownAddress(in Input, node string) string {
	if in.Cluster == nil {
		return ""
	}
	h, _ := in.Cluster.Host(node)
	return net.JoinHostPort(h.Address, strconv.Itoa(int(in.Cluster.Spec.APIServerPort)))
}

func kubeletLocal(in Input) []Finding {
	var out []Finding
	for node, facts := range ordered(in.Inspection.Facts) {
		h, ok := hostOf(in, node)
		server := facts.Kubeconfigs["/etc/kubernetes/kubelet.conf"]
		if !ok || !h.Has(v1alpha1.RoleControlPlane) || server == "" || points(server, ownAddress(in, node)) && !named(server) || strings.Contains(server, "//127.0.0.1:") {
			continue
		}
		severity := report.SeverityWarning
		if v, err := version.ParseSemantic(kubelet(in, node)); err == nil && v.LessThan(localFrom) {
			severity = report.SeverityError // Nothing makes it so by itself.
		}
		out = append(out, finding(severity, node, "its kubelet uses "+server,
			"put https://"+ownAddress(in, node)+" into /etc/kubernetes/kubelet.conf and restart the kubelet; an upgrade by kubectl ha does so"))
	}
	return out
}

func named(server string) bool {
	u, err := url.Parse(server)
	return err == nil && net.ParseIP(u.Hostname()) == nil
}

func hostOf(in Input, node string) (v1alpha1.Host, bool) {
	if in.Cluster == nil {
		return v1alpha1.Host{}, false
	}
	return in.Cluster.Host(node)
}

func kubelet(in Input, node string) string {
	for _, n := range in.Report.Nodes {
		if n.Name == node {
			return n.Version
		}
	}
	return ""
}

// commaList takes a list with commas apart.
func commaList(text string) []string {
	return slices.DeleteFunc(strings.Split(text, ","), func(s string) bool { return s == "" })
}
