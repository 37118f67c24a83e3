package bootstrap

import (
	"net/url"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// environment is containerd's and the kubelet's: the proxies, and what must
// never go through them.
func environment(c *v1alpha1.Cluster) []string {
	x := c.Spec.Proxy
	if x.HTTPProxy == "" && x.HTTPSProxy == "" {
		return nil
	}
	direct := []string{"localhost", "127.0.0.1", c.EndpointHost()}
	for _, h := range c.Spec.Hosts {
		direct = append(direct, h.Name, h.Address)
	}
	// The subnets may be lists, IPv4 and IPv6.
	direct = append(direct, strings.Split(c.Spec.Network.PodSubnet, ",")...)
	direct = append(direct, strings.Split(c.Spec.Network.ServiceSubnet, ",")...)
	direct = append(direct, ".svc", "."+c.Spec.Network.DNSDomain)
	direct = append(direct, x.NoProxy...)
	var out []string
	for _, v := range []struct{ name, value string }{
		{"HTTP_PROXY", x.HTTPProxy}, {"HTTPS_PROXY", x.HTTPSProxy}, {"NO_PROXY", strings.Join(direct, ",")},
	} {
		if v.value != "" {
			out = append(out, v.name+"="+v.value)
		}
	}
	return out
}

// registryMirrors are base URLs for containerd, by registry. spec.images.mirror
// serves the usual registries under their own names; spec.images.mirrors are
// references, which have no scheme: plain HTTP is for the mirror's own host only,
// and only when the mirror says so.
func registryMirrors(c *v1alpha1.Cluster) map[string][]string {
	out := map[string][]string{}
	all, err := url.Parse(c.Spec.Images.Mirror)
	if c.Spec.Images.Mirror != "" && err == nil {
		for _, registry := range []string{"docker.io", "ghcr.io", "quay.io", "registry.k8s.io"} {
			out[registry] = []string{all.Scheme + "://" + all.Host + "/" + registry}
		}
	}
	for registry, reference := range c.Spec.Images.Mirrors {
		scheme, host := "https://", strings.Split(reference, "/")[0]
		if err == nil && all.Scheme == "http" && all.Host == host {
			scheme = "http://"
		}
		out[registry] = []string{scheme + reference}
	}
	return out
}
