package host

import (
	"fmt"
	"net/netip"
	"regexp"
)

// Role is what a host is for in the Cluster file. The host itself is bare.
type Role string

// The roles of a lab's hosts.
const (
	RoleControlPlane Role = "control-plane"
	RoleWorker       Role = "worker"
	RoleEtcd         Role = "etcd"
)

// Host is one bare host.
type Host struct {
	// Name is its host name: cp1, w1, e1.
	Name string `json:"name"`
	// Role is what it is for.
	Role Role `json:"role"`
	// Address is its address, the same for its whole life.
	Address string `json:"address"`
	// Frozen says that its disk is a copy of a frozen host's.
	Frozen bool `json:"frozen,omitempty"`
	Traits
}

// Last octets in a lab's /24. Everything from vipOctet on is left to virtual
// IPs: the first is the cluster's, the rest is free for tests.
const (
	gatewayOctet = 1
	mirrorOctet  = 5
	vipOctet     = 100
)

// block is a role's address range: first octet and how many fit.
type block struct{ first, count int }

func blockOf(r Role) block {
	switch r {
	case RoleControlPlane:
		return block{11, 9}
	case RoleWorker:
		return block{21, 40}
	default:
		return block{71, 9}
	}
}

// Size is how many hosts of each role a lab has.
type Size struct {
	ControlPlanes int `json:"controlPlanes"`
	Workers       int `json:"workers"`
	Etcd          int `json:"etcd"`
}

// atLeast is the larger of both in every role.
func (s Size) atLeast(o Size) Size {
	return Size{ControlPlanes: max(s.ControlPlanes, o.ControlPlanes), Workers: max(s.Workers, o.Workers), Etcd: max(s.Etcd, o.Etcd)}
}

// Validate fails on a size that has no addresses.
func (s Size) Validate() error {
	for _, p := range s.parts() {
		if p.count < 0 || p.count > blockOf(p.role).count {
			return fmt.Errorf("%d hosts with role %s: 0 to %d are possible", p.count, p.role, blockOf(p.role).count)
		}
	}
	if s.ControlPlanes+s.Workers+s.Etcd == 0 {
		return fmt.Errorf("a lab has at least one host")
	}
	return nil
}

type part struct {
	role   Role
	prefix string
	count  int
}

func (s Size) parts() []part {
	return []part{{RoleControlPlane, "cp", s.ControlPlanes}, {RoleWorker, "w", s.Workers}, {RoleEtcd, "e", s.Etcd}}
}

// Subnet is the network of the lab with that index, 0 to 255.
func Subnet(index int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, byte(index), 0}), 24)
}

// address is an address in the lab's subnet.
func address(index, octet int) string {
	return netip.AddrFrom4([4]byte{10, 77, byte(index), byte(octet)}).String()
}

// hosts are a lab's hosts with their addresses.
func hosts(index int, s Size) []Host {
	var list []Host
	for _, p := range s.parts() {
		for i := range p.count {
			list = append(list, Host{
				Name: fmt.Sprintf("%s%d", p.prefix, i+1), Role: p.role, Address: address(index, blockOf(p.role).first+i),
			})
		}
	}
	return list
}

// freeIndex is the lowest index whose subnets overlap none of those in use.
func freeIndex(used []netip.Prefix) (int, error) {
	for index := range 256 {
		free := true
		for _, u := range used {
			free = free && !u.Overlaps(Subnet(index)) && !u.Overlaps(NATSubnet(index))
		}
		if free {
			return index, nil
		}
	}
	return 0, fmt.Errorf("10.77.0.0/16 or 10.78.0.0/16 is all in use; take down a lab (lab down --all)")
}

var namePattern = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$`)

// ValidateName fails on what can't be a lab's name: it becomes part of the
// containers' names and the name of the cluster.
func ValidateName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("lab name %q: up to 20 of a-z, 0-9 and -, beginning with a letter and not ending in -", name)
	}
	return nil
}
