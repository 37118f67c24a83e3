package v1alpha1

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/yamldoc"
)

// maxNodeName is the length up to which a node's name is also a valid value of
// the label kubernetes.io/hostname.
const maxNodeName = 63

// didYouMean is a phrase naming the nearest of the known words, or empty.
func didYouMean(word string, known []string) string {
	if near := yamldoc.Nearest(word, known); near != "" {
		return fmt.Sprintf(", did you mean %s?", near)
	}
	return ""
}

func (v *validator) hosts() {
	names, addresses, logins := map[string]int{}, map[string]int{}, map[string]int{}
	twice := func(seen map[string]int, i int, key, field, what string) {
		if key == "" {
			return
		}
		if first, ok := seen[key]; ok {
			v.fail(fmt.Sprintf("spec.hosts[%d]%s", i, field), "%s %s is also that of spec.hosts[%d] (%s); each host needs its own",
				what, key, first, v.c.Spec.Hosts[first].Name)
			return
		}
		seen[key] = i
	}
	for i, h := range v.c.Spec.Hosts {
		at := fmt.Sprintf("spec.hosts[%d]", i)
		v.hostName(at+".name", h.Name)
		v.address(at+".address", h.Address)
		v.roles(at, h)
		v.labels(at+".labels", h.Labels)
		if h.SSH != nil {
			v.ssh(at+".ssh", *h.SSH)
		}
		twice(names, i, h.Name, ".name", "the name")
		twice(addresses, i, h.Address, ".address", "the address")
		if h.SSH != nil && h.SSH.Host != "" {
			login := net.JoinHostPort(h.SSH.Host, strconv.Itoa(int(v.c.SSHFor(h).Port)))
			// Behind different jump hosts one address is two machines.
			twice(logins, i, login+v.c.SSHFor(h).JumpHost, ".ssh.host", "the login")
		}
	}
}

func (v *validator) hostName(path, name string) {
	switch {
	case name == "":
		v.fail(path, "is required")
	case len(name) > maxNodeName:
		v.fail(path, "%q has %d characters; a node's name has at most %d", name, len(name), maxNodeName)
	case len(validation.IsDNS1123Subdomain(name)) > 0:
		v.fail(path, "%q is no node name: lower-case letters, digits, dashes and dots, beginning and ending with a letter or digit%s",
			name, lowerHint(name))
	}
}

func lowerHint(name string) string {
	if lower := strings.ToLower(name); lower != name && len(validation.IsDNS1123Subdomain(lower)) == 0 {
		return "; write " + lower
	}
	return ""
}

func (v *validator) roles(at string, h Host) {
	known := []string{string(RoleControlPlane), string(RoleEtcd), string(RoleWorker)}
	for i, r := range h.Roles {
		path := fmt.Sprintf("%s.roles[%d]", at, i)
		v.oneOf(path, string(r), known...)
		if slices.Contains(h.Roles[:i], r) {
			v.fail(path, "%s is given twice", r)
		}
	}
}

func (v *validator) labels(path string, labels map[string]string) {
	for _, key := range sortedKeys(labels) {
		if msgs := validation.IsQualifiedName(key); len(msgs) > 0 {
			v.fail(path, "%q is no label name: %s", key, strings.Join(msgs, "; "))
		}
		if msgs := validation.IsValidLabelValue(labels[key]); len(msgs) > 0 {
			v.fail(path, "%q is no value for the label %s: %s", labels[key], key, strings.Join(msgs, "; "))
		}
	}
}

// loginName admits what user names look like, and nothing a shell or ssh_config
// could take for more.
var loginName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@\\+-]*\$?$`)

func (v *validator) ssh(path string, s SSH) {
	if s.Port != 0 {
		v.port(path+".port", s.Port)
	}
	if s.User != "" && !loginName.MatchString(s.User) {
		v.fail(path+".user", "%q is no user name", s.User)
	}
	if path == "spec.ssh" && s.Host != "" {
		v.fail(path+".host", "can't be shared by all hosts; set it in the host's own ssh")
	} else if s.Host != "" && !hostOrAddress(s.Host) {
		v.fail(path+".host", "%q is neither a host name nor an IP address", s.Host)
	}
	if s.JumpHost != "" {
		if err := checkJumpHost(s.JumpHost); err != nil {
			v.fail(path+".jumpHost", "%q: %v; write [user@]host[:port]", s.JumpHost, err)
		}
	}
}

// checkJumpHost checks [user@]host[:port], an IPv6 address in brackets.
func checkJumpHost(s string) error {
	if strings.Contains(s, ",") {
		return fmt.Errorf("one jump host only (a chain belongs into ~/.ssh/config)")
	}
	if i := strings.LastIndex(s, "@"); i >= 0 {
		if !loginName.MatchString(s[:i]) {
			return fmt.Errorf("%q is no user name", s[:i])
		}
		s = s[i+1:]
	}
	host := s
	if a, err := netip.ParseAddr(s); err == nil && a.Is6() {
		return fmt.Errorf("an IPv6 address belongs in brackets")
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		host = s[1 : len(s)-1]
	} else if strings.Contains(s, ":") {
		h, port, err := net.SplitHostPort(s)
		if err != nil {
			return fmt.Errorf("not understood")
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("%q is no port", port)
		}
		host = h
	}
	if !hostOrAddress(host) {
		return fmt.Errorf("%q is neither a host name nor an IP address", host)
	}
	return nil
}

var hostAlias = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$`)

// hostOrAddress admits host names, aliases of ssh_config and addresses.
func hostOrAddress(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return hostAlias.MatchString(s)
}
