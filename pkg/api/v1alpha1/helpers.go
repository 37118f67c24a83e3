package v1alpha1

import (
	"slices"
	"strings"
)

// EtcdClientPort is the port of every etcd member for clients.
const EtcdClientPort = 2379

// Has tells whether the host has the role.
func (h Host) Has(r Role) bool { return slices.Contains(h.Roles, r) }

// Tainted tells whether the host's node is kept free of workloads: it is a
// control plane and not a worker as well.
func (h Host) Tainted() bool { return h.Has(RoleControlPlane) && !h.Has(RoleWorker) }

func (c *Cluster) hosts(want func(Host) bool) []Host {
	var out []Host
	for _, h := range c.Spec.Hosts {
		if want(h) {
			out = append(out, h)
		}
	}
	return out
}

// ControlPlanes are the hosts with the control-plane role, in the file's order.
func (c *Cluster) ControlPlanes() []Host {
	return c.hosts(func(h Host) bool { return h.Has(RoleControlPlane) })
}

// Stacked tells whether etcd is kubeadm's own: a static pod on every control plane.
func (c *Cluster) Stacked() bool { return c.Spec.Etcd.Topology == EtcdStacked }

// EtcdImageTag is the tag of kubeadm's etcd image for a version such as v3.6.16, empty for an empty
// one, which leaves the choice to kubeadm. The number behind it counts Kubernetes' builds of one
// version, of which the first is 0.
// https://github.com/kubernetes/kubernetes/blob/master/cluster/images/etcd/README.md
func EtcdImageTag(version string) string {
	if version == "" {
		return ""
	}
	return strings.TrimPrefix(version, "v") + "-0"
}

// EtcdMembers are the hosts that run etcd: those with the etcd role or, when
// there is none, the control planes. With stacked etcd they are the control planes.
func (c *Cluster) EtcdMembers() []Host {
	if c.Stacked() {
		return c.ControlPlanes()
	}
	if members := c.hosts(func(h Host) bool { return h.Has(RoleEtcd) }); len(members) > 0 {
		return members
	}
	return c.ControlPlanes()
}

// IsMember tells whether the host of that name runs an etcd member.
func (c *Cluster) IsMember(name string) bool {
	return slices.ContainsFunc(c.EtcdMembers(), func(m Host) bool { return m.Name == name })
}

// Workers are the hosts that are only workers: the worker role, or no role at
// all, without the control-plane role.
func (c *Cluster) Workers() []Host {
	return c.hosts(func(h Host) bool {
		return !h.Has(RoleControlPlane) && (h.Has(RoleWorker) || len(h.Roles) == 0)
	})
}

// Nodes are the hosts that become nodes of the cluster: all but etcd-only ones.
func (c *Cluster) Nodes() []Host {
	return c.hosts(func(h Host) bool {
		return h.Has(RoleControlPlane) || h.Has(RoleWorker) || len(h.Roles) == 0
	})
}

// Keepers are those among some hosts that keep something of the cluster: certificates, a login to etcd,
// what is backed up. Control planes come first, then etcd members that are none, each in the order given.
func (c *Cluster) Keepers(among []Host) (out []Host) {
	for _, h := range among {
		if h.Has(RoleControlPlane) {
			out = append(out, h)
		}
	}
	for _, h := range among {
		if c.IsMember(h.Name) && !h.Has(RoleControlPlane) {
			out = append(out, h)
		}
	}
	return out
}

// Host returns the host of that name.
func (c *Cluster) Host(name string) (Host, bool) {
	for _, h := range c.Spec.Hosts {
		if h.Name == name {
			return h, true
		}
	}
	return Host{}, false
}

// First is the control plane on which kubeadm init runs: the first in the file.
// It is the zero Host when there is none, which Validate refuses.
func (c *Cluster) First() Host {
	if cps := c.ControlPlanes(); len(cps) > 0 {
		return cps[0]
	}
	return Host{}
}

// SSHFor is the host's SSH settings: its own ones over spec.ssh, field by field.
func (c *Cluster) SSHFor(h Host) SSH {
	out := c.Spec.SSH
	// The host to connect to is never shared.
	out.Host = ""
	if h.SSH == nil {
		return out
	}
	own := *h.SSH
	out.Host = own.Host
	for _, f := range []struct{ to, from *string }{
		{&out.User, &own.User}, {&out.IdentityFile, &own.IdentityFile},
		{&out.KnownHostsFile, &own.KnownHostsFile}, {&out.JumpHost, &own.JumpHost},
	} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	if own.Port != 0 {
		out.Port = own.Port
	}
	if own.Sudo != nil {
		out.Sudo = own.Sudo
	}
	return out
}
