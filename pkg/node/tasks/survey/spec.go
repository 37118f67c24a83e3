// Package survey reads what a host of a cluster that others have made tells of how that was
// made: who keeps the endpoint, and how the host is set up. It changes nothing.
package survey

// Spec asks for all of it.
type Spec struct{}

// Facts are what was found. What is not there is empty.
type Facts struct {
	// HostName is the host's own, which its node need not be called.
	HostName string `json:"hostName,omitempty"`
	// Addresses are those of its interfaces, as address/prefix.
	Addresses []string `json:"addresses,omitempty"`
	// Keepalived is its keepalived.conf, or that of a static pod, which mounts the same file.
	Keepalived *Keepalived `json:"keepalived,omitempty"`
	// StaticPods are the names of the manifests in /etc/kubernetes/manifests.
	StaticPods []string `json:"staticPods,omitempty"`
	// ContainerdConfig is the version of containerd's configuration file; 0 when there is none.
	// https://github.com/containerd/containerd/blob/main/docs/man/containerd-config.toml.5.md
	ContainerdConfig int `json:"containerdConfig,omitempty"`
	// CgroupDriver is the kubelet's: systemd or cgroupfs.
	CgroupDriver string `json:"cgroupDriver,omitempty"`
	// Kubelet is the path of the program that the host's kubelet is started from.
	Kubelet string `json:"kubelet,omitempty"`
	// Missed says what could not be read, and why.
	Missed []string `json:"missed,omitempty"`
}

// Keepalived is what a keepalived.conf says, of its first VRRP instance where there are several.
type Keepalived struct {
	// Ours: kubectl-ha has written it, and its watcher is there.
	Ours bool `json:"ours,omitempty"`
	// Interface, RouterID and Addresses are the instance's.
	Interface string   `json:"interface,omitempty"`
	RouterID  int      `json:"routerID,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	// Seconds are between two advertisements.
	Seconds float64 `json:"seconds,omitempty"`
	// Checks says that it looks at anything but its own peers.
	Checks bool `json:"checks,omitempty"`
}
