package v1alpha1

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// validator collects what is found; every check goes on after a finding.
type validator struct {
	c        *Cluster
	errs     FieldErrors
	warnings []FieldWarning
}

func (v *validator) fail(path, format string, args ...any) {
	v.errs = append(v.errs, FieldError{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (v *validator) warn(path, format string, args ...any) {
	v.warnings = append(v.warnings, FieldWarning{Path: path, Message: fmt.Sprintf(format, args...)})
}

// Validate checks a Cluster whose defaults are set, without looking at anything
// but the Cluster. It returns everything that is wrong at once, and warnings
// about what is legal but hardly meant.
func (c *Cluster) Validate() (FieldErrors, []FieldWarning) {
	v := &validator{c: c}
	v.metadata()
	v.virtualIP()
	v.endpoint()
	v.hosts()
	v.counts()
	v.ssh("spec.ssh", c.Spec.SSH)
	v.network()
	v.etcd()
	v.keepalived()
	v.loadBalancer()
	v.images()
	v.proxy()
	v.sans()
	v.backup()
	v.pki()
	v.kubeadm()
	v.controlCharacters()
	return v.errs, v.warnings
}

func (v *validator) metadata() {
	if msgs := validation.IsDNS1123Label(v.c.Metadata.Name); len(msgs) > 0 {
		v.fail("metadata.name", "%q is no DNS label: at most 63 lower-case letters, digits and dashes", v.c.Metadata.Name)
	}
	if v.c.Spec.KubernetesVersion == "" {
		v.fail("spec.kubernetesVersion", "is required; write it like %s (%s)", DefaultKubernetesVersion, SupportedVersions)
	} else if _, err := MinorOf(v.c.Spec.KubernetesVersion); err != nil {
		v.fail("spec.kubernetesVersion", "%v", err)
	}
	v.port("spec.apiServerPort", v.c.Spec.APIServerPort)
	v.foreignPort("spec.apiServerPort", v.c.Spec.APIServerPort)
}

// address parses a usable unicast address; it reports what is not.
func (v *validator) address(path, value string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(value)
	switch {
	case value == "":
		v.fail(path, "is required; write an IP address")
	case err != nil:
		v.fail(path, "%q is no IP address (names are not resolved here)", value)
	case a.Zone() != "":
		v.fail(path, "%s has a zone; write the address alone", value)
	case v.c.KeepsVirtualIP() && (a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast()):
		// Where others made the cluster it is what a node reports: a fact, and no wish.
		v.fail(path, "%s can't be reached from other hosts; write the address that the others use", value)
	default:
		return a, true
	}
	return netip.Addr{}, false
}

func (v *validator) virtualIP() {
	const path = "spec.virtualIP"
	if v.c.Spec.VirtualIP == "" {
		if v.c.Spec.Endpoint.Address != "" {
			return // That is the endpoint, and endpoint sees to it.
		}
		v.fail(path, "is required: an unused address in the control planes' subnet")
		return
	}
	vip, ok := v.address(path, v.c.Spec.VirtualIP)
	if !ok {
		return
	}
	for i, h := range v.c.Spec.Hosts {
		a, err := netip.ParseAddr(h.Address)
		if err != nil {
			continue // reported with the host
		}
		if a == vip {
			v.fail(path, "%s is the address of host %s; take an address that belongs to nobody", vip, h.Name)
		}
		if h.Has(RoleControlPlane) && a.Is4() != vip.Is4() {
			v.fail(fmt.Sprintf("spec.hosts[%d].address", i),
				"%s and the virtual IP %s are of different address families; use IPv4 or IPv6 for both", a, vip)
		}
	}
}

// endpoint checks whose it is, and that nothing is said of a virtual IP that others keep.
func (v *validator) endpoint() {
	const path = "spec.endpoint"
	e := v.c.Spec.Endpoint
	if e.ManagedBy != "" {
		v.oneOf(path+".managedBy", string(e.ManagedBy), string(EndpointOurs), string(EndpointOthers))
	}
	for i, f := range e.Former {
		v.hostPort(fmt.Sprintf("%s.former[%d].address", path, i), f.Address)
	}
	if v.c.KeepsVirtualIP() {
		if e.Address != "" {
			v.fail(path+".address", "is for an endpoint that others keep; write managedBy: %s, or leave it out and set spec.virtualIP", EndpointOthers)
		}
		return
	}
	if v.c.Spec.Keepalived != (Keepalived{}) {
		v.fail("spec.keepalived", "is for the virtual IP that kubectl-ha keeps; leave it out with %s.managedBy: %s", path, EndpointOthers)
	}
	if e.Address != "" {
		v.hostPort(path+".address", e.Address)
	}
}

// hostPort checks an endpoint's address.
func (v *validator) hostPort(path, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		v.fail(path, "%q: write it as host:port, such as api.example.com:6443", address)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		v.fail(path, "%q is no port; use 1 to 65535", port)
	}
	if _, err := netip.ParseAddr(host); err != nil && len(validation.IsDNS1123Subdomain(host)) > 0 {
		v.fail(path, "%q is neither a DNS name nor an IP address", host)
	}
}

// counts looks at how many hosts have which role.
func (v *validator) counts() {
	cps, members := len(v.c.ControlPlanes()), len(v.c.EtcdMembers())
	switch {
	case len(v.c.Spec.Hosts) == 0:
		v.fail("spec.hosts", "is empty; list the machines, at least one with the role %s", RoleControlPlane)
		return
	case cps == 0:
		v.fail("spec.hosts", "no host has the role %s; give it to one, better to three", RoleControlPlane)
		return
	case cps == 1:
		v.warn("spec.hosts", "one control plane: its loss is the loss of the API; three are highly available")
	case cps == 2:
		v.warn("spec.hosts", "two control planes: use three, so that one may fail during an upgrade of another")
	}
	switch {
	case members > 1 && members%2 == 0:
		v.warn("spec.hosts", "%d etcd members, an even number, survive the loss of %d, as many as %d would; use %d or %d",
			members, (members-1)/2, members-1, members-1, members+1)
	case members == 1 && cps > 1:
		v.warn("spec.hosts", "one etcd member: its loss is the loss of the cluster; use three")
	case members > 7:
		v.warn("spec.hosts", "%d etcd members: more than seven make every write slower and nothing safer", members)
	}
	if len(v.c.Workers()) == 0 && !slices.ContainsFunc(v.c.ControlPlanes(), func(h Host) bool { return !h.Tainted() }) {
		v.warn("spec.hosts", "no host takes workloads; give the role %s to a control plane, or add workers", RoleWorker)
	}
}

// port checks a port number; 0 was replaced by the default before.
func (v *validator) port(path string, port int32) {
	if port < 1 || port > 65535 {
		v.fail(path, "%d is no port; use 1 to 65535", port)
	}
}

// foreignPort refuses ports that something else needs on a control plane.
func (v *validator) foreignPort(path string, port int32) {
	owners := map[int32]string{22: "sshd", 2379: "etcd", 2380: "etcd", 2381: "etcd", 10248: "the kubelet",
		10249: "kube-proxy", 10250: "the kubelet", 10256: "kube-proxy",
		10257: "the controller-manager", 10259: "the scheduler"}
	if owner, taken := owners[port]; taken {
		v.fail(path, "%d is the port of %s; choose another", port, owner)
	}
	if port >= 30000 && port <= 32767 {
		v.warn(path, "%d is in the range of node ports (30000-32767); a Service may take it", port)
	}
}

// oneOf checks an enumeration, naming the nearest value.
func (v *validator) oneOf(path, value string, known ...string) {
	if slices.Contains(known, value) {
		return
	}
	v.fail(path, "%q is unknown%s; choose one of %s", value, didYouMean(value, known), strings.Join(known, ", "))
}
