package v1alpha1

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (v *validator) network() {
	n := v.c.Spec.Network
	v.oneOf("spec.network.plugin", string(n.Plugin),
		string(NetworkPluginFlannel), string(NetworkPluginManifest), string(NetworkPluginNone))
	switch {
	case n.Plugin == NetworkPluginManifest && n.Manifest == "" && n.ManifestContent == "":
		v.fail("spec.network.manifest", "is required with plugin %s: the path of its YAML file", NetworkPluginManifest)
	case n.Plugin != NetworkPluginManifest && n.Manifest != "":
		v.fail("spec.network.manifest", "is used with plugin %s only; set plugin: %s, or remove it",
			NetworkPluginManifest, NetworkPluginManifest)
	}
	if msgs := validation.IsDNS1123Subdomain(n.DNSDomain); len(msgs) > 0 {
		v.fail("spec.network.dnsDomain", "%q is no domain", n.DNSDomain)
	}
	pods, podsOK := v.subnet("spec.network.podSubnet", n.PodSubnet)
	services, servicesOK := v.subnet("spec.network.serviceSubnet", n.ServiceSubnet)
	if podsOK && servicesOK {
		if pods.Overlaps(services) {
			v.fail("spec.network.serviceSubnet", "%s overlaps the pod subnet %s; choose another", services, pods)
		}
		if pods.Addr().Is4() != services.Addr().Is4() {
			v.fail("spec.network.serviceSubnet", "%s and the pod subnet %s are of different address families", services, pods)
		}
	}
	if podsOK {
		v.podSubnetSize(pods)
		v.outside("spec.network.podSubnet", "the pod subnet", pods)
	}
	if servicesOK {
		v.serviceSubnetSize(services)
		v.outside("spec.network.serviceSubnet", "the service subnet", services)
	}
}

func (v *validator) subnet(path, value string) (netip.Prefix, bool) {
	if strings.Contains(value, ",") {
		v.fail(path, "%q: two subnets (dual stack) are not supported yet; write one", value)
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(value)
	if err != nil {
		v.fail(path, "%q is no subnet; write it like %s", value, DefaultPodSubnet)
		return netip.Prefix{}, false
	}
	if p.Masked() != p {
		v.fail(path, "%s has bits beyond its prefix; write %s", p, p.Masked())
		return netip.Prefix{}, false
	}
	return p, true
}

// podSubnetSize: the controller-manager gives each node a /24 (IPv4) or a /64
// (IPv6), its --node-cidr-mask-size defaults; the range of nodes is at most 16 bits.
func (v *validator) podSubnetSize(p netip.Prefix) {
	const field = "spec.network.podSubnet"
	perNode := 24
	if p.Addr().Is6() {
		perNode = 64
		if v.c.Spec.Network.Plugin == NetworkPluginFlannel {
			v.fail("spec.network.plugin", "flannel is set up for IPv4 only; use plugin manifest or none with IPv6")
		}
	}
	nodes := len(v.c.Nodes())
	switch {
	case p.Bits() > perNode:
		v.fail(field, "%s is too small: each node takes a /%d", p, perNode)
	case perNode-p.Bits() > 16:
		v.fail(field, "%s is too large: at most 65536 nodes with a /%d each; use /%d", p, perNode, perNode-16)
	case nodes > 1<<(perNode-p.Bits()):
		v.fail(field, "%s has room for %d nodes (a /%d each), the file has %d", p, 1<<(perNode-p.Bits()), perNode, nodes)
	}
}

// serviceSubnetSize: kubeadm and the apiserver take 2 to 20 bits of addresses.
func (v *validator) serviceSubnetSize(p netip.Prefix) {
	const field = "spec.network.serviceSubnet"
	bits := p.Addr().BitLen() - p.Bits()
	switch {
	case bits > 20:
		v.fail(field, "%s is too large for Kubernetes; use /%d or longer", p, p.Addr().BitLen()-20)
	case bits < 4:
		v.fail(field, "%s is too small: the DNS service takes the tenth address; use /%d or shorter", p, p.Addr().BitLen()-4)
	}
}

// outside checks that no address of ours lies in a subnet of the cluster's own.
func (v *validator) outside(field, what string, p netip.Prefix) {
	if vip := v.c.VIP(); p.Contains(vip) {
		v.fail("spec.virtualIP", "%s lies in %s %s; choose another address, or set %s", vip, what, p, field)
	}
	for i, h := range v.c.Spec.Hosts {
		if a := h.Addr(); p.Contains(a) {
			v.fail(fmt.Sprintf("spec.hosts[%d].address", i), "%s lies in %s %s; set %s to another subnet", a, what, p, field)
		}
	}
}

// interfaceName is what Linux takes for one: 15 bytes, no slash, no space.
var interfaceName = regexp.MustCompile(`^[A-Za-z0-9_.:@-]{1,15}$`)

func (v *validator) keepalived() {
	k := v.c.Spec.Keepalived
	if k.Interface != "" && !interfaceName.MatchString(k.Interface) {
		v.fail("spec.keepalived.interface", "%q is no network interface's name", k.Interface)
	}
	if !v.c.KeepsVirtualIP() {
		return // endpoint refuses what is set.
	}
	if k.RouterID < 1 || k.RouterID > 255 {
		v.fail("spec.keepalived.routerID", "%d is no VRRP router id; use 1 to 255, or leave it out", k.RouterID)
	}
	if i := k.AdvertisementInterval; i < 10 || i > 40950 || i%10 != 0 {
		v.fail("spec.keepalived.advertisementIntervalMilliseconds", "%d: use 10 to 40950 in steps of 10", i)
	}
}

func (v *validator) loadBalancer() {
	lb := v.c.Spec.LoadBalancer
	if !v.c.KeepsVirtualIP() && !lb.Enabled && lb.Type == "" && lb.Port == 0 {
		return // Nothing is made up for an endpoint that others keep.
	}
	v.oneOf("spec.loadBalancer.type", lb.Type, LoadBalancerHAProxy, LoadBalancerNginx)
	v.port("spec.loadBalancer.port", lb.Port)
	v.foreignPort("spec.loadBalancer.port", lb.Port)
	if lb.Port == v.c.Spec.APIServerPort {
		v.fail("spec.loadBalancer.port", "%d is the apiservers' own port; choose another", lb.Port)
	}
	var uses []string
	for _, u := range LoadBalancerUses() {
		uses = append(uses, string(u))
	}
	for _, u := range lb.UseFor {
		v.oneOf("spec.loadBalancer.useFor", string(u), uses...)
	}
}

func (v *validator) images() {
	im := v.c.Spec.Images
	if im.Mirror != "" {
		v.url("spec.images.mirror", im.Mirror, "http", "https")
		if u, err := url.Parse(im.Mirror); err == nil && u.User != nil {
			v.fail("spec.images.mirror", hasLogin)
		}
	}
	if im.TrustMirror && im.Mirror == "" && len(im.Mirrors) == 0 {
		v.fail("spec.images.trustMirror", "is set, and there is no mirror; write spec.images.mirror or spec.images.mirrors, or leave it out")
	}
	v.reference("spec.images.registry", im.Registry)
	for _, key := range sortedKeys(im.Mirrors) {
		at := "spec.images.mirrors[" + key + "]"
		v.reference(at, key)
		v.reference(at, im.Mirrors[key])
		if im.Mirrors[key] == "" {
			v.fail(at, "has no value; write the registry to pull from")
		}
	}
	for i, ref := range im.ExtraImages {
		at := fmt.Sprintf("spec.images.extraImages[%d]", i)
		v.reference(at, ref)
		if ref == "" {
			v.fail(at, "is empty")
		}
	}
}

// hasLogin is said of a registry's or a mirror's address with a user in it: the document is stored
// where many may read it, and containerd's files for mirrors have no such field.
const hasLogin = "has a login (USER:PASSWORD@), which no host would use and many could read; write the address without it, and let the hosts read there without a login"

var imageReference = regexp.MustCompile(`^[A-Za-z0-9\[][A-Za-z0-9\[\]._:/@-]*$`)

// reference checks the rough shape of a registry or image; the empty one passes.
func (v *validator) reference(path, value string) {
	at, digest, found := strings.Cut(value, "@")
	switch {
	case value == "":
	case found && (!strings.Contains(digest, ":") || strings.Contains(digest, "/") || strings.Contains(at, "://")):
		// A digest is ALGORITHM:HEX at the end; the value is not told, since it has a password.
		v.fail(path, hasLogin)
	case strings.Contains(value, "://"):
		v.fail(path, "%q: write it without %s://", value, value[:strings.Index(value, "://")])
	case !imageReference.MatchString(value):
		v.fail(path, "%q is no registry or image", value)
	}
}

func (v *validator) url(path, value string, schemes ...string) {
	u, err := url.Parse(value)
	if err == nil {
		value = u.Redacted()
	}
	if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
		v.fail(path, "%q is no URL beginning with %s://", value, strings.Join(schemes, ":// or "))
	}
}

func (v *validator) proxy() {
	p := v.c.Spec.Proxy
	if p.HTTPProxy != "" {
		v.url("spec.proxy.httpProxy", p.HTTPProxy, "http", "https", "socks5")
	}
	if p.HTTPSProxy != "" {
		v.url("spec.proxy.httpsProxy", p.HTTPSProxy, "http", "https", "socks5")
	}
	for i, entry := range p.NoProxy {
		if entry == "" || strings.ContainsAny(entry, " ,\t\"'") {
			v.fail(fmt.Sprintf("spec.proxy.noProxy[%d]", i), "%q: one host, domain, address or subnet per entry", entry)
		}
	}
}

func (v *validator) sans() {
	for i, san := range v.c.Spec.ExtraSANs {
		if _, err := netip.ParseAddr(san); err == nil {
			continue
		}
		if len(validation.IsDNS1123Subdomain(san)) > 0 && len(validation.IsWildcardDNS1123Subdomain(san)) > 0 {
			v.fail(fmt.Sprintf("spec.extraSANs[%d]", i), "%q is neither a DNS name nor an IP address", san)
		}
	}
}

// cleanAbsolute tells whether a path is absolute, clean and not the root.
func cleanAbsolute(p string) bool { return path.IsAbs(p) && path.Clean(p) == p && p != "/" }
