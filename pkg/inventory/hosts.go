package inventory

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// hosts makes the hosts: the masters first, the primary one before all, since
// the first control plane is where kubeadm init runs.
func (cv *converter) hosts() error {
	members := cv.model.members
	// Names are as they are written; each generation has its own.
	primary := union(members("primary_master"), members("primary-master"))
	masters := union(primary, members("masters"), members("secondary_masters"), members("secondary-masters"))
	if len(masters) == 0 {
		return fmt.Errorf("%s: no host is in the groups primary-master, secondary-masters or masters; is it kubeadm2ha's inventory?", cv.model.name)
	}
	cv.settings = view{masters[0], cv.model.view(masters[0])}
	if len(primary) == 0 {
		cv.note("the group primary-master is empty; kubeadm init will run on %s", masters[0])
	}
	etcd := union(members("etcd"), members("primary_etcd"), members("secondary_etcds"), members("primary-etcd"), members("secondary-etcds"))
	workers := union(members("minions"), members("workers"))
	for _, h := range members("nodes") {
		if !slices.Contains(masters, h) && !slices.Contains(workers, h) {
			workers = append(workers, h)
		}
	}
	// Control planes run etcd when no host has its role.
	etcdDefault := len(etcd) == 0 || sameSet(etcd, masters)
	all := union(masters, etcd, workers)
	for _, name := range all {
		cv.inCluster[name] = true
		var roles []v1alpha1.Role
		if slices.Contains(masters, name) {
			roles = append(roles, v1alpha1.RoleControlPlane)
		}
		if slices.Contains(etcd, name) && !etcdDefault {
			roles = append(roles, v1alpha1.RoleEtcd)
		}
		if slices.Contains(workers, name) {
			roles = append(roles, v1alpha1.RoleWorker)
		}
		cv.result.Cluster.Spec.Hosts = append(cv.result.Cluster.Spec.Hosts, cv.host(name, roles))
	}
	vip := members(virtualIPGroup)
	for _, name := range cv.model.hostNames {
		if !slices.Contains(all, name) && !slices.Contains(vip, name) {
			cv.note("%s was left out: it is in none of the groups masters, etcd, minions, nodes", name)
		}
	}
	cv.shareSSH()
	return nil
}

// union keeps the first of equals, in order.
func union(lists ...[]string) []string {
	seen := map[string]bool{}
	var out []string
	for _, name := range slices.Concat(lists...) {
		if !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

func (cv *converter) host(name string, roles []v1alpha1.Role) v1alpha1.Host {
	h := v1alpha1.Host{Name: nodeName(name), Roles: roles}
	if h.Name != name {
		cv.note("the host %s is called %s: a node's name has lower-case letters, digits, dashes and dots", name, h.Name)
	}
	if a, err := netip.ParseAddr(name); err == nil {
		h.Address = a.String()
	}
	ssh := v1alpha1.SSH{}
	own := view{name, cv.model.view(name)}
	for _, key := range connectionKeys(own.vars) {
		v := own.vars[key]
		if v.value == nil {
			continue // set to nothing
		}
		text, why := cv.text(v, own)
		if why == "" {
			why = connect(&h, &ssh, key, text)
		}
		if why != "" {
			cv.unmappedOnce(key, v.where, why)
		}
	}
	if h.Address == "" {
		cv.note("the address of %s is not in the inventory; set spec.hosts[].address", h.Name)
	}
	if ssh != (v1alpha1.SSH{}) {
		h.SSH = &ssh
	}
	return h
}

// unmappedOnce lists a variable that many hosts share a single time.
func (cv *converter) unmappedOnce(name, where, why string) {
	if s := (Setting{Name: name, Where: where, Why: why}); !slices.Contains(cv.result.Unmapped, s) {
		cv.result.Unmapped = append(cv.result.Unmapped, s)
	}
}

// nodeName makes an inventory name a node's name as well as can be.
func nodeName(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return "host-" + strings.Trim(strings.NewReplacer(".", "-", ":", "-", "%", "-").Replace(strings.ToLower(name)), "-")
	}
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}

// shareSSH moves what all hosts have in common into spec.ssh.
func (cv *converter) shareSSH() {
	s := &cv.result.Cluster.Spec
	first := s.Hosts[0].SSH
	if first == nil {
		return
	}
	common := *first
	common.Host = ""
	for _, h := range s.Hosts {
		own := v1alpha1.SSH{}
		if h.SSH != nil {
			own = *h.SSH
		}
		if own.User != common.User {
			common.User = ""
		}
		if own.Port != common.Port {
			common.Port = 0
		}
		if own.IdentityFile != common.IdentityFile {
			common.IdentityFile = ""
		}
		if own.JumpHost != common.JumpHost {
			common.JumpHost = ""
		}
		if own.Sudo == nil || common.Sudo == nil || *own.Sudo != *common.Sudo {
			common.Sudo = nil
		}
	}
	s.SSH = common
	for i := range s.Hosts {
		if s.Hosts[i].SSH != nil {
			s.Hosts[i].SSH = without(*s.Hosts[i].SSH, common)
		}
	}
}

// without removes from own what common says as well; nil when nothing is left.
func without(own, common v1alpha1.SSH) *v1alpha1.SSH {
	if common.User != "" {
		own.User = ""
	}
	if common.Port != 0 {
		own.Port = 0
	}
	if common.IdentityFile != "" {
		own.IdentityFile = ""
	}
	if common.JumpHost != "" {
		own.JumpHost = ""
	}
	if common.Sudo != nil {
		own.Sudo = nil
	}
	if own == (v1alpha1.SSH{}) {
		return nil
	}
	return &own
}
