// Package observe is the read-only look at a host: facts for planning and for
// the preflight checks. It judges nothing.
package observe

import "time"

// ImagesDir is where containerd keeps images; it may be a disk of its own.
const ImagesDir = "/var/lib/containerd"

// Spec says what to look at.
type Spec struct {
	// Address is the host's address in the Cluster file.
	Address string `json:"address"`
	// VirtualIP is looked for on the network, by ARP or a connection.
	VirtualIP string `json:"virtualIP,omitempty"`
	// Ports are asked for: who listens on them.
	Ports []int32 `json:"ports,omitempty"`
	// DataDir is etcd's data directory. Default /var/lib/etcd.
	DataDir string `json:"dataDir,omitempty"`
	// APIServerPort is the port of the apiserver on this host. Default 6443.
	APIServerPort int32 `json:"apiServerPort,omitempty"`
	// ListenVRRP asks to listen for VRRP advertisements, for a second.
	ListenVRRP bool `json:"listenVRRP,omitempty"`
	// Programs are directories in which programs are to be put and started; each is tried.
	Programs []string `json:"programs,omitempty"`
	// Peers are addresses whose VRRP advertisements are the cluster's own.
	Peers []string `json:"peers,omitempty"`
}

// Facts are what was seen.
type Facts struct {
	Hostname  string    `json:"hostname"`
	MachineID string    `json:"machineID"`
	BootID    string    `json:"bootID"`
	Time      time.Time `json:"time"`
	Arch      string    `json:"arch"`
	OS        OS        `json:"os"`
	// CPUs is the number of logical processors; MemoryBytes all of the memory.
	CPUs        int    `json:"cpus"`
	MemoryBytes uint64 `json:"memoryBytes"`
	SwapBytes   uint64 `json:"swapBytes"`
	// CgroupVersion is 1 or 2. Controllers are those that are there.
	CgroupVersion int      `json:"cgroupVersion"`
	Controllers   []string `json:"controllers,omitempty"`
	Systemd       string   `json:"systemd,omitempty"`
	// Interface has Address; empty when no interface has it.
	Interface string `json:"interface,omitempty"`
	// PrefixLength is Address's, in bits.
	PrefixLength int `json:"prefixLength,omitempty"`
	// MACs are those of all interfaces that have a device, and of Interface, by the
	// interface's name.
	MACs map[string]string `json:"macs,omitempty"`
	// DefaultRoute tells whether there is one, DefaultInterface over which interface it
	// leads: the first that the kernel lists.
	DefaultRoute     bool   `json:"defaultRoute"`
	DefaultInterface string `json:"defaultInterface,omitempty"`
	// VirtualIPHere: one of this host's interfaces has the virtual IP.
	VirtualIPHere bool `json:"virtualIPHere,omitempty"`
	// VirtualIPAnswers: somebody answers for it on the network (MAC or what was seen).
	VirtualIPAnswers string `json:"virtualIPAnswers,omitempty"`
	// VRRPRouters are router ids heard in VRRP advertisements of others: from
	// addresses that are neither this host's nor one of Spec.Peers.
	VRRPRouters []int `json:"vrrpRouters,omitempty"`
	// Listeners maps a port in Spec.Ports to the process that listens there.
	Listeners map[int32]string `json:"listeners,omitempty"`
	// Disks maps /, /var/lib, ImagesDir and the data dir to what is free.
	Disks map[string]Disk `json:"disks,omitempty"`
	// Commands found on the PATH that matter: keepalived, iptables, apt-get, dnf, zypper, …
	Commands map[string]string `json:"commands,omitempty"`
	// NoPrograms are those of Spec.Programs in which that can't be, and why not.
	NoPrograms map[string]string `json:"noPrograms,omitempty"`
	// AgentInstalled: the agent that looks is the one that is installed.
	AgentInstalled bool `json:"agentInstalled,omitempty"`
	// Modules of the kernel that are needed: whether each is loaded, built in or
	// can be loaded.
	Modules map[string]bool `json:"modules,omitempty"`
	// Units of systemd that matter, by name: their active state.
	Units map[string]string `json:"units,omitempty"`
	// Ours is what the ledger says; nil when there is none.
	Ours *Ours `json:"ours,omitempty"`
	// Leftovers are files of some other cluster: /etc/kubernetes/manifests/…, etcd's data.
	Leftovers []string `json:"leftovers,omitempty"`
	// ForeignKeepalived: there is a keepalived.conf that we did not write, and
	// that is not the package's sample either.
	ForeignKeepalived bool `json:"foreignKeepalived,omitempty"`
	// State is what kubectl-ha has reached here so far.
	State State `json:"state"`
	// Images in containerd's k8s.io namespace, when it runs: ref to manifest digest.
	Images map[string]string `json:"images,omitempty"`
	// Fetched tells whether blobs that were fetched for a bootstrap are still there.
	Fetched bool `json:"fetched,omitempty"`
	// Binaries are the installed ones by path: the hex SHA-256 of the file.
	Binaries map[string]string `json:"binaries,omitempty"`
}

// OS is the distribution.
type OS struct {
	ID, VersionID, PrettyName, Kernel string
}

// Disk is one file system.
type Disk struct {
	TotalBytes uint64 `json:"totalBytes"`
	FreeBytes  uint64 `json:"freeBytes"`
}

// Ours is what the ledger says.
type Ours struct {
	// Cluster is the name of the cluster the host belongs to.
	Cluster string `json:"cluster"`
	// Identity tells clusters of one name apart (host.Ledger.Identity); empty when not known.
	Identity string `json:"identity,omitempty"`
	// Done are the tasks that ended well at least once.
	Done []string `json:"done,omitempty"`
	// Settings are the digests of the settings with which they ended well last.
	Settings map[string]string `json:"settings,omitempty"`
}

// State is what a host is, found from the host itself.
type State struct {
	// EtcdCA is the SHA-256 of the etcd CA certificate's DER on the host.
	EtcdCA string `json:"etcdCA,omitempty"`
	// Due are the certificates of which less than half of their life is left, by the names of
	// the package certs, with their ends; of those that can be renewed.
	Due map[string]time.Time `json:"due,omitempty"`
	// EtcdData is true when the data directory has a member.
	EtcdData bool `json:"etcdData,omitempty"`
	// KubeadmEtcdCA is that of the one below /etc/kubernetes/pki: what the apiserver trusts etcd by,
	// which with stacked etcd is also the members'.
	KubeadmEtcdCA string `json:"kubeadmEtcdCA,omitempty"`
	// StackedEtcd is true when the static pod manifest of kubeadm's own etcd is there.
	StackedEtcd bool `json:"stackedEtcd,omitempty"`
	// EtcdActive is true when the etcd unit runs.
	EtcdActive bool `json:"etcdActive,omitempty"`
	// ClusterCA is the SHA-256 of /etc/kubernetes/pki/ca.crt's DER.
	ClusterCA string `json:"clusterCA,omitempty"`
	// FrontProxyCA is the SHA-256 of /etc/kubernetes/pki/front-proxy-ca.crt's DER.
	FrontProxyCA string `json:"frontProxyCA,omitempty"`
	// ControlPlane is true when the apiserver's static pod manifest is there.
	ControlPlane bool `json:"controlPlane,omitempty"`
	// APIServerReady is true when the apiserver here answers /readyz with 200.
	APIServerReady bool `json:"apiServerReady,omitempty"`
	// Joined is true when the kubelet has a kubeconfig (kubelet.conf).
	Joined bool `json:"joined,omitempty"`
	// KubeletActive is true when the kubelet's unit runs.
	KubeletActive bool `json:"kubeletActive,omitempty"`
	// KubeletVersion is that of the program, on a host that is joined; APIServerVersion
	// that of the static pod's manifest. Both such as v1.36.3, empty when not known.
	KubeletVersion   string `json:"kubeletVersion,omitempty"`
	APIServerVersion string `json:"apiServerVersion,omitempty"`
}
