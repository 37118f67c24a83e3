package vip

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
