package inventory

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// proxyJump finds the one option of ssh that has a counterpart.
var proxyJump = regexp.MustCompile(`^(?:-J\s*|-o\s*ProxyJump[= ])([A-Za-z0-9_.@:\[\]-]+)$`)

// connect puts one of Ansible's connection variables into a host's settings. It
// returns why that is not possible, or "".
func connect(h *v1alpha1.Host, ssh *v1alpha1.SSH, key, value string) string {
	switch key {
	case "ansible_host", "ansible_ssh_host":
		if a, err := netip.ParseAddr(value); err == nil {
			h.Address = a.String()
		} else {
			ssh.Host = value
		}
	case "ansible_user", "ansible_ssh_user":
		ssh.User = value
	case "ansible_port", "ansible_ssh_port":
		port, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return "is no port number"
		}
		if port != 22 {
			ssh.Port = int32(port)
		}
	case "ansible_ssh_private_key_file", "ansible_private_key_file":
		ssh.IdentityFile = value
	case "ansible_become", "ansible_sudo":
		b, ok := boolean(value)
		if !ok {
			return "is neither true nor false"
		}
		ssh.Sudo = &b
	case "ansible_ssh_common_args", "ansible_ssh_extra_args":
		m := proxyJump.FindStringSubmatch(strings.TrimSpace(value))
		if m == nil {
			return "options of ssh belong into ~/.ssh/config, which is honoured; only a jump host has a field (spec.ssh.jumpHost)"
		}
		ssh.JumpHost = m[1]
	case "ansible_become_method":
		if value != "sudo" {
			return "only sudo is supported"
		}
	case "ansible_become_user":
		if value != "root" {
			return "everything on a host is done as root"
		}
	case "ansible_connection":
		if value != "ssh" && value != "smart" && value != "paramiko" {
			return "hosts are reached by ssh only"
		}
	case "ansible_python_interpreter":
		// No host needs Python any more, which takes nothing away.
	default:
		return connectionReason(key)
	}
	return ""
}

func connectionReason(key string) string {
	switch {
	case strings.Contains(key, "pass"):
		return "passwords are not taken from files; log in with a key, and allow sudo without a password"
	case strings.HasPrefix(key, "ansible_"):
		return "is Ansible's own and has no counterpart"
	default:
		return "has no counterpart for a single host; labels go into spec.hosts[].labels"
	}
}

// boolean reads Ansible's booleans.
func boolean(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "1", "y", "t":
		return true, true
	case "false", "no", "off", "0", "n", "f":
		return false, true
	}
	return false, false
}
