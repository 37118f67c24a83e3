package doctor

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// localFrom is the first version whose kubeadm makes control planes' kubelets use
// their own apiserver. https://github.com/kubernetes/enhancements/issues/4471
var localFrom = version.MustParseGeneric("1.33.0")

func endpointChecks() []Check {
	return []Check{
		{ID: "stable-endpoint", Title: "the API has an endpoint that is no node's own address", Source: "kubespray#13516",
			Why: "whatever is pinned to one control plane stops with it, and that one can't be replaced", Run: stableEndpoint},
		{ID: "kube-proxy-endpoint", Title: "kube-proxy uses the stable endpoint", Source: "kubeadm#905, #1955",
			Why: "pinned to one control plane, services stop to change everywhere when that one is away", Run: configMapEndpoint("kube-proxy", func(o Objects) string { return o.KubeProxy }, v1alpha1.MendKubeProxy)},
		{ID: "join-endpoint", Title: "nodes join by the stable endpoint", Source: "kubernetes#94398",
			Why: "no node can join while the control plane is away that cluster-info names", Run: configMapEndpoint("cluster-info", func(o Objects) string { return o.ClusterInfo }, v1alpha1.MendClusterInfo)},
		{ID: "kubeconfig-endpoint", Title: "components use their own apiserver or the stable endpoint", Source: "kubeadm#1955", Files: true,
			Why: "a kubelet or controller-manager that is pinned to another control plane stops with that one", Run: kubeconfigEndpoints},
		{ID: "kubelet-local", Title: "kubelets of control planes use their own apiserver", Source: "kubernetes#127316, kube-vip#949", Files: true,
			Why: "in an upgrade a new kubelet would talk to an older apiserver through the virtual IP, which is not supported", Run: kubeletLocal},
		{ID: "balancer-timeouts", Title: "the load balancer keeps idle connections for hours", Source: "kubeadm#2227, kubernetes#94301", Files: true,
			Why: "a shorter timeout cuts watches, kubectl exec and logs -f", Run: balancerTimeouts},
	}
}

func stableEndpoint(in Input) []Finding {
	if in.Cluster == nil {
		return nil
	}
	for _, h := range in.Cluster.ControlPlanes() {
		if h.Address == in.Cluster.Spec.VirtualIP && len(in.Cluster.ControlPlanes()) > 1 {
			return []Finding{{State: Problem, Found: fmt.Sprintf("%s is the address of %s itself", in.Cluster.Spec.VirtualIP, h.Name),
				Mend: "set up a virtual IP or a load balancer, put it into kubeadm's controlPlaneEndpoint and the apiservers' certificates"}}
		}
	}
	return nil
}

func configMapEndpoint(what string, of func(Objects) string, fix v1alpha1.MendFix) func(Input) []Finding {
	return func(in Input) []Finding {
		have := of(in.Objects)
		if in.Cluster == nil || have == "" || points(have, in.Cluster.Endpoint()) {
			return nil
		}
		return []Finding{{State: Problem, Found: fmt.Sprintf("%s points to %s, not to %s", what, have, in.Cluster.Endpoint()), Mend: "kubectl ha doctor --fix changes it", Fix: fix}}
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

func kubeconfigEndpoints(in Input) []Finding {
	var out []Finding
	for node, facts := range ordered(in.Inspection.Facts) {
		own := ownAddress(in, node)
		for file, server := range ordered(facts.Kubeconfigs) {
			if in.Cluster == nil || strings.HasSuffix(file, "admin.conf") || points(server, in.Cluster.Endpoint()) || points(server, own) || strings.Contains(server, "//127.0.0.1:") || strings.Contains(server, "//localhost:") {
				continue
			}
			out = append(out, Finding{State: Problem, Node: node, Found: fmt.Sprintf("%s points to %s", file, server),
				Mend: fmt.Sprintf("make it point to https://%s, and restart who uses it", in.Cluster.Endpoint())})
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
		state := Warning
		if v, err := version.ParseSemantic(kubelet(in, node)); err == nil && v.LessThan(localFrom) {
			state = Problem // Nothing makes it so by itself.
		}
		out = append(out, Finding{State: state, Node: node, Found: "its kubelet uses " + server, Mend: "put https://" + ownAddress(in, node) + " into /etc/kubernetes/kubelet.conf and restart the kubelet; an upgrade by kubectl ha does so"})
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

// shortestIdle is what watches need: apiservers end them after half an hour to an hour.
const shortestIdle = time.Hour

func balancerTimeouts(in Input) []Finding {
	var out []Finding
	for node, facts := range ordered(in.Inspection.Facts) {
		for _, kind := range []string{"client", "server", "tunnel"} {
			if d, ok := haproxyTime(facts.Timeouts[kind]); ok && d < shortestIdle {
				out = append(out, Finding{State: Warning, Node: node, Found: fmt.Sprintf("haproxy's timeout %s is %s", kind, facts.Timeouts[kind]), Mend: "set it to hours in /etc/haproxy/haproxy.cfg and reload"})
			}
		}
	}
	return out
}

// haproxyTime reads haproxy's times: a number and a unit, milliseconds without one.
// https://docs.haproxy.org/3.0/configuration.html#2.5
func haproxyTime(text string) (time.Duration, bool) {
	digits := strings.TrimRight(text, "usmhd")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, false
	}
	units := map[string]time.Duration{"": time.Millisecond, "ms": time.Millisecond, "us": time.Microsecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	unit, ok := units[text[len(digits):]]
	return time.Duration(n) * unit, ok
}

// commaList takes a list with commas apart.
func commaList(text string) []string {
	return slices.DeleteFunc(strings.Split(text, ","), func(s string) bool { return s == "" })
}
