package vip

import (
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// Paths that the watcher and keepalived share. /run, so that a reboot starts
// with an apiserver that is not known to be alive.
const (
	// RunDir holds the track files.
	RunDir = "/run/kubectl-ha"
	// HealthFile holds a State, which keepalived multiplies with its weight.
	HealthFile = RunDir + "/apiserver"
	// HolderFile holds 1 while this host has the address, else 0: whoever has it
	// keeps it.
	HolderFile = RunDir + "/holder"
	// DrainFile holds 1 when the address is to move away without loss, else 0.
	DrainFile = RunDir + "/drain"
)

// Spec is the virtual IP on one control plane.
type Spec struct {
	VirtualIP string `json:"virtualIP"`
	// Interface. Empty: the one that has Address.
	Interface string `json:"interface,omitempty"`
	RouterID  int32  `json:"routerID"`
	// AdvertisementMilliseconds between two VRRP advertisements.
	AdvertisementMilliseconds int32 `json:"advertisementMilliseconds"`
	// Address of this host; Peers are the other control planes'.
	Address string   `json:"address"`
	Peers   []string `json:"peers"`
	// Priority is the base priority, LowestPriority to HighestPriority, different
	// on every host.
	Priority int32 `json:"priority"`
	// APIServerPort of the local apiserver.
	APIServerPort int32 `json:"apiServerPort"`
}

// DrainSpec asks a host to give the virtual IP to another one, or to be
// available for it again.
type DrainSpec struct {
	// Drain is true to give the address away; the task ends when it is gone.
	Drain bool `json:"drain"`
}

// DrainData is what was seen at the end.
type DrainData struct {
	// Held tells whether this host has the virtual IP.
	Held bool `json:"held"`
}

// priorityStepMost is how far VRRP's base priorities of two control planes are
// apart at most. Within their range the distances are as large as can be: the
// higher a priority the sooner a host takes a free address, and two that do it at
// once announce it against each other.
const priorityStepMost = 19

// PriorityOf is the base priority of the i-th of n control planes.
func PriorityOf(i, n int) int32 {
	step := priorityStepMost
	if n > 1 {
		step = min(step, (HighestPriority-LowestPriority)/(n-1))
	}
	return int32(HighestPriority - step*i)
}

// SpecOf is the virtual IP on one control plane of a cluster: whoever writes it, the
// bootstrap or an Operation, writes the same. Without the role there is none.
func SpecOf(c *v1alpha1.Cluster, name string) (Spec, bool) {
	all := c.ControlPlanes()
	at := slices.IndexFunc(all, func(h v1alpha1.Host) bool { return h.Name == name })
	if at < 0 {
		return Spec{}, false
	}
	k := c.Spec.Keepalived
	s := Spec{VirtualIP: c.Spec.VirtualIP, Interface: k.Interface, RouterID: k.RouterID, AdvertisementMilliseconds: k.AdvertisementInterval,
		Address: all[at].Address, Priority: PriorityOf(at, len(all)), APIServerPort: c.Spec.APIServerPort}
	for _, h := range all {
		if h.Name != name {
			s.Peers = append(s.Peers, h.Address)
		}
	}
	return s, true
}
