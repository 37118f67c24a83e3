package inventory

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// proxyJump finds the one option of ssh that has a counterpart.
var proxyJump = regexp.MustCompile(`^(?:-J\s*|-o\s*ProxyJump[= ])([A-Za-z0-9_.@:\[\]-]+)$`)

// connectionKeys are the names of Ansible's own variables, the weakest first:
// where two say the same thing, Ansible takes the one with ssh in its name.
func connectionKeys(vars map[string]variable) []string {
	strength := func(key string) int {
		switch {
		case key == "ansible_sudo": // before ansible_become, which replaced it
			return 0
		case strings.HasPrefix(key, "ansible_ssh_"):
			return 2
		}
		return 1
	}
	var keys []string
	for key := range vars {
		if strings.HasPrefix(key, "ansible_") {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(strength(a), strength(b)), cmp.Compare(a, b))
	})
	return keys
}

// connect puts one of Ansible's connection variables into a host's settings. It
// returns why that is not possible, or "".
func connect(h *v1alpha1.Host, ssh *v1alpha1.SSH, key, value string) string {
	switch key {
	case "ansible_host", "ansible_ssh_host":
		if a, err := netip.ParseAddr(value); err == nil {
			h.Address, ssh.Host = a.String(), ""
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
		if ssh.Port = int32(port); port == 22 {
			ssh.Port = 0
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
		return ownOfAHost
	}
}

// ownOfAHost is why a variable that only single hosts have is not taken over.
const ownOfAHost = "has no counterpart for a single host; labels go into spec.hosts[].labels"

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
