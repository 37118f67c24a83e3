package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// Group is the API group of all kubectl-ha documents.
	Group = "kubectl-ha.dev"
	// Version is the version of the documents in this package.
	Version = "v1alpha1"
	// APIVersion is what stands in a document's apiVersion field.
	APIVersion = Group + "/" + Version
	// ClusterKind is the kind of the user's file.
	ClusterKind = "Cluster"
	// SystemNamespace is the namespace that holds everything kubectl-ha runs in
	// a cluster. It is labelled for the privileged pod security level.
	SystemNamespace = "ha-system"
	// ClusterConfigMap is the ConfigMap in SystemNamespace that stores the
	// Cluster document, under ClusterConfigMapKey, once the cluster runs.
	ClusterConfigMap = "cluster"
	// ClusterConfigMapKey is the key of the document in ClusterConfigMap.
	ClusterConfigMapKey = "cluster.yaml"
)

// +kubebuilder:object:generate=false

// Cluster is the whole description of a highly available cluster: which hosts
// there are, what each is for, and the settings that differ from the defaults.
type Cluster struct {
	metav1.TypeMeta `json:",inline"`
	// Metadata names the cluster. Only the name is used.
	Metadata Metadata    `json:"metadata,omitempty"`
	Spec     ClusterSpec `json:"spec"`
}

// +kubebuilder:object:generate=false

// Metadata is the part of a Kubernetes object's metadata that a Cluster has.
type Metadata struct {
	// Name names the cluster, its kubeconfig context and its kubeconfig file.
	// A DNS label. Default "kubernetes".
	Name string `json:"name,omitempty"`
}

// +kubebuilder:object:generate=false

// ClusterSpec is what the user wants.
type ClusterSpec struct {
	// KubernetesVersion is the version to run, such as v1.36.3. Required.
	KubernetesVersion string `json:"kubernetesVersion"`
	// VirtualIP is the address under which the API is always reached. It must
	// lie in the subnet of the control planes' interface and belong to nobody.
	// Required, unless endpoint.address says where the API is reached.
	VirtualIP string `json:"virtualIP,omitempty"`
	// Endpoint says whose the API's stable endpoint is. Leave it out for clusters
	// that bootstrap makes; adopt writes it.
	Endpoint Endpoint `json:"endpoint,omitempty"`
	// APIServerPort is the port of every apiserver. Default 6443.
	APIServerPort int32 `json:"apiServerPort,omitempty"`
	// Hosts are the machines. At least one has the control-plane role.
	Hosts []Host `json:"hosts"`
	// SSH says how to log in to all hosts; a host may override it.
	SSH SSH `json:"ssh,omitempty"`
	// Network is the cluster's network.
	Network Network `json:"network,omitempty"`
	// Etcd is the etcd cluster.
	Etcd Etcd `json:"etcd,omitempty"`
	// Keepalived holds the virtual IP's settings.
	Keepalived Keepalived `json:"keepalived,omitempty"`
	// LoadBalancer is the one that kubectl ha loadbalancer install sets up; the
	// bootstrap sets none up.
	LoadBalancer LoadBalancer `json:"loadBalancer,omitempty"`
	// Images says where images and host binaries come from when a bundle is
	// made, and which mirrors the hosts' containerd uses.
	Images Images `json:"images,omitempty"`
	// Proxy is put into the environment of containerd and the kubelet.
	Proxy Proxy `json:"proxy,omitempty"`
	// ExtraSANs are further names and addresses in the apiservers' certificates.
	ExtraSANs []string `json:"extraSANs,omitempty"`
	// Backup says where backups are sent that leave the hosts, and who can read them.
	Backup Backup `json:"backup,omitempty"`
	// PKI names CAs of your own, for a cluster that is to be made. Those that are not named are
	// made by the bootstrap, and valid for ten years.
	PKI PKI `json:"pki,omitempty"`
	// Kubeadm carries settings merged into kubeadm's documents.
	Kubeadm Kubeadm `json:"kubeadm,omitempty"`
}

// EndpointManager says whose the endpoint is.
type EndpointManager string

const (
	// EndpointOurs is a virtual IP that kubectl-ha keeps, with keepalived and a watcher
	// on each control plane. The default.
	EndpointOurs EndpointManager = "kubectl-ha"
	// EndpointOthers is one that others keep: keepalived by hand, kube-vip, a load
	// balancer, a name, or nobody.
	EndpointOthers EndpointManager = "others"
)

// +kubebuilder:object:generate=false

// Endpoint is the API's stable endpoint, where that is not the virtual IP that
// kubectl-ha keeps.
type Endpoint struct {
	// ManagedBy is kubectl-ha or others. With others no command moves, checks or
	// sets up the endpoint. Default kubectl-ha.
	ManagedBy EndpointManager `json:"managedBy,omitempty"`
	// Address is host:port of the endpoint as kubeadm's controlPlaneEndpoint has it,
	// with managedBy others. Default: virtualIP and apiServerPort.
	Address string `json:"address,omitempty"`
	// Former are the endpoints that the cluster had before kubectl ha convert gave it the virtual IP,
	// the last one first. kubectl ha convert writes it: access files from before use them.
	Former []FormerEndpoint `json:"former,omitempty"`
}

// +kubebuilder:object:generate=false

// FormerEndpoint is an endpoint that a cluster had.
type FormerEndpoint struct {
	// Address is its host:port.
	Address string `json:"address"`
	// Moves says that it was an address that the control planes passed on to each other.
	Moves bool `json:"moves,omitempty"`
}

// +kubebuilder:validation:Enum=control-plane;etcd;worker

// Role is what a host is for.
type Role string

const (
	// RoleControlPlane runs apiserver, controller-manager, scheduler, keepalived.
	RoleControlPlane Role = "control-plane"
	// RoleEtcd runs an etcd member. When no host has it, every control plane does. With
	// spec.etcd.topology stacked it means nothing: the control planes are the members.
	RoleEtcd Role = "etcd"
	// RoleWorker runs workloads. A control plane that is a worker as well is
	// not tainted.
	RoleWorker Role = "worker"
)

// +kubebuilder:object:generate=false

// Host is one machine.
type Host struct {
	// Name is the node's name: a DNS subdomain, as Kubernetes node names are. Required.
	Name string `json:"name"`
	// Address is the IP address under which the other hosts reach it, and the
	// address of its node, its etcd member and its apiserver. Required.
	Address string `json:"address"`
	// Roles says what it is for. Default [worker].
	Roles []Role `json:"roles,omitempty"`
	// Labels are put on its node.
	Labels map[string]string `json:"labels,omitempty"`
	// SSH overrides spec.ssh field by field.
	SSH *SSH `json:"ssh,omitempty"`
}

// +kubebuilder:object:generate=false

// SSH says how to log in. Whatever is not set here is as your SSH configuration
// means it (ssh -G) for the host's address and then for its name.
type SSH struct {
	// Host is the name or address to connect to, when it is not the host's address.
	Host string `json:"host,omitempty"`
	// User is the login. Default: ssh_config's, else the caller's own.
	User string `json:"user,omitempty"`
	// Port is the TCP port. Default: ssh_config's, else 22.
	Port int32 `json:"port,omitempty"`
	// IdentityFile is a private key. Default: ssh_config's, the agent's, then
	// the usual ones in ~/.ssh. A leading ~/ is the caller's home.
	IdentityFile string `json:"identityFile,omitempty"`
	// KnownHostsFile holds the host keys that are trusted. Default ~/.ssh/known_hosts
	// and /etc/ssh/ssh_known_hosts.
	KnownHostsFile string `json:"knownHostsFile,omitempty"`
	// JumpHost is [user@]host[:port] to go through. Default: ssh_config's ProxyJump or ProxyCommand.
	JumpHost string `json:"jumpHost,omitempty"`
	// Sudo says whether to use sudo. Default: when the user is not root.
	Sudo *bool `json:"sudo,omitempty"`
}

// NetworkPlugin names the pod network.
type NetworkPlugin string

const (
	// NetworkPluginFlannel is flannel with VXLAN. The default.
	NetworkPluginFlannel NetworkPlugin = "flannel"
	// NetworkPluginManifest applies the manifest in Network.Manifest.
	NetworkPluginManifest NetworkPlugin = "manifest"
	// NetworkPluginNone leaves the pod network to the user.
	NetworkPluginNone NetworkPlugin = "none"
)

// +kubebuilder:object:generate=false

// Network is the cluster's network.
type Network struct {
	// Plugin is flannel, manifest or none. Default flannel.
	Plugin NetworkPlugin `json:"plugin,omitempty"`
	// Manifest is the path of a YAML file, relative to the Cluster file; with
	// plugin manifest. The cluster keeps its content in a Secret.
	Manifest string `json:"manifest,omitempty"`
	// ManifestContent is filled in from Manifest when the file is read.
	ManifestContent string `json:"manifestContent,omitempty"`
	// PodSubnet is the pods' CIDR. Default 10.244.0.0/16.
	PodSubnet string `json:"podSubnet,omitempty"`
	// ServiceSubnet is the services' CIDR. Default 10.96.0.0/12.
	ServiceSubnet string `json:"serviceSubnet,omitempty"`
	// DNSDomain is the cluster's domain. Default cluster.local.
	DNSDomain string `json:"dnsDomain,omitempty"`
}

// EtcdTopology says where etcd runs.
type EtcdTopology string

const (
	// EtcdExternal runs etcd under systemd, outside kubeadm. The default.
	EtcdExternal EtcdTopology = "external"
	// EtcdStacked is kubeadm's own etcd: a static pod on every control plane.
	EtcdStacked EtcdTopology = "stacked"
)

// +kubebuilder:object:generate=false

// Etcd is the etcd cluster.
type Etcd struct {
	// Topology is external or stacked. External etcd runs under systemd, on the control planes or on
	// hosts of its own. Stacked etcd is kubeadm's: a static pod on every control plane, with a CA whose
	// key is on the control planes. It can't be changed later. Default external.
	Topology EtcdTopology `json:"topology,omitempty"`
	// Version is the version to run, such as v3.6.16. Default: the bundle's; with stacked, kubeadm's
	// for the Kubernetes version. With stacked it is the image etcd:VERSION-0 (3.6.16-0).
	Version string `json:"version,omitempty"`
	// DataDir is each member's data directory. Default /var/lib/etcd.
	DataDir string `json:"dataDir,omitempty"`
	// ExtraArgs are further flags of etcd, without the leading dashes, with values as
	// on its command line: a duration is 20s or 1h. What the version of etcd does not
	// have is refused. Changed ones
	// are applied by the next bootstrap, which restarts one member after the other
	// and only while the others have a quorum. With stacked those count with which the cluster
	// was made; kubeadm keeps them.
	ExtraArgs map[string]string `json:"extraArgs,omitempty"`
}

// +kubebuilder:object:generate=false

// Keepalived holds the virtual IP's settings.
type Keepalived struct {
	// Interface is the network interface of the virtual IP. Default: on each
	// host the one that has the host's address.
	Interface string `json:"interface,omitempty"`
	// RouterID is the VRRP router id, 1 to 255, different for every cluster in
	// a subnet. Default: derived from the cluster's name and virtual IP.
	RouterID int32 `json:"routerID,omitempty"`
	// AdvertisementInterval is the time between VRRP advertisements in
	// milliseconds, 10 to 40950 in steps of 10. Default 200.
	AdvertisementInterval int32 `json:"advertisementIntervalMilliseconds,omitempty"`
}

// +kubebuilder:object:generate=false

// LoadBalancer says which load balancer a cluster has, or is to have: the bootstrap
// sets none up, kubectl ha loadbalancer install does.
type LoadBalancer struct {
	// Type is haproxy or nginx. Default haproxy.
	Type string `json:"type,omitempty"`
	// Port is the load balancer's port on the virtual IP. Default 8443.
	Port int32 `json:"port,omitempty"`
	// Enabled says that it is there. It is kept in the stored document by who sets
	// the load balancer up or removes it; in a file it means nothing.
	Enabled bool `json:"enabled,omitempty"`
	// UseFor lists who uses it, where it is there.
	UseFor []LoadBalancerUse `json:"useFor,omitempty"`
}

// +kubebuilder:object:generate=false

// Images says where images and binaries come from.
type Images struct {
	// Registry replaces registry.k8s.io in kubeadm's imageRepository.
	Registry string `json:"registry,omitempty"`
	// Mirror is a base URL that serves upstream's files and images under
	// MIRROR/<upstream host>/<path> and <mirror host>/<upstream registry>/<repository>.
	// An http:// URL means a registry without TLS.
	Mirror string `json:"mirror,omitempty"`
	// Mirrors maps a registry (registry.k8s.io) to the reference prefix to pull from.
	Mirrors map[string]string `json:"mirrors,omitempty"`
	// TrustMirror takes what the mirrors serve as it is, although it may differ from
	// what upstream published: for mirrors that hold builds of their own. Otherwise
	// it is compared with the digests that kubectl-ha comes with.
	TrustMirror bool `json:"trustMirror,omitempty"`
	// AuthFile is a containers-auth.json or docker config.json; programs that it names
	// for logins are asked.
	AuthFile string `json:"authFile,omitempty"`
	// ExtraImages are put into the bundle as well.
	ExtraImages []string `json:"extraImages,omitempty"`
}

// +kubebuilder:object:generate=false

// Proxy is the environment for containerd and the kubelet.
type Proxy struct {
	HTTPProxy  string `json:"httpProxy,omitempty"`
	HTTPSProxy string `json:"httpsProxy,omitempty"`
	// NoProxy: further entries; the hosts, the virtual IP and the pod and
	// service subnets are added by themselves.
	NoProxy []string `json:"noProxy,omitempty"`
}

// +kubebuilder:object:generate=false

// Backup says where backups are sent, and who can read them.
type Backup struct {
	// Recipients are those of age (age1…, https://age-encryption.org) who can read what is sent:
	// each alone, and no host. Their identities are on no machine of the cluster.
	Recipients []string `json:"recipients,omitempty"`
	// Targets are places outside of the hosts, by name.
	Targets []BackupTarget `json:"targets,omitempty"`
}

// +kubebuilder:object:generate=false

// BackupTarget is a place for backups. Its credentials are in a Secret, never here.
type BackupTarget struct {
	// Name names it: a DNS label. Required.
	Name string `json:"name"`
	// URL is s3://BUCKET/PREFIX, sftp://USER@HOST:PORT/FOLDER, or file:///FOLDER for a folder of the
	// hosts, such as one that is mounted from elsewhere. Required.
	URL string `json:"url"`
	// Endpoint is that of an S3 server, such as https://s3.example.com. Default https://s3.amazonaws.com.
	Endpoint string `json:"endpoint,omitempty"`
	// Region is S3's. Default: the server is asked.
	Region string `json:"region,omitempty"`
	// SecretName is that of the Secret in the namespace ha-system with the credentials: accessKeyID
	// and secretAccessKey (and sessionToken, caBundle) for S3; privateKey or password, and knownHosts,
	// for SFTP. Default backup-NAME.
	SecretName string `json:"secretName,omitempty"`
	// BytesPerSecond bounds what a host sends and receives. Default: as fast as it goes.
	BytesPerSecond int64 `json:"bytesPerSecond,omitempty"`
}

// +kubebuilder:object:generate=false

// PKI names CAs of your own, which the bootstrap uses instead of making them. They are read on the
// machine that runs it, and by no other command. The CAs of a cluster that runs are replaced by
// kubectl ha certs rotate-ca.
// https://kubernetes.io/docs/setup/best-practices/certificates/#single-root-ca
type PKI struct {
	// Kubernetes signs the certificates of the apiservers and of kubelets, and clients of the API
	// (kubeadm's ca.crt and ca.key). It is put on the control planes.
	Kubernetes CA `json:"kubernetes,omitempty"`
	// FrontProxy signs the certificate that the apiservers show to extension servers (kubeadm's
	// front-proxy-ca.crt and front-proxy-ca.key). It is put on the control planes.
	FrontProxy CA `json:"frontProxy,omitempty"`
	// Etcd signs the certificates of etcd members and of etcd's clients. Its key is kept in the
	// cluster's state directory on this machine, and is put on no host. The cluster is known by it:
	// no two clusters may have the same. With stacked etcd it is kubeadm's etcd/ca.crt and
	// etcd/ca.key, and is put on the control planes.
	Etcd CA `json:"etcd,omitempty"`
}

// +kubebuilder:object:generate=false

// CA is a CA of your own: two files on the machine that runs the bootstrap, relative to the Cluster
// file; a leading ~/ is the caller's home. Its key is RSA with 2048 bits or more, or ECDSA on P-256,
// P-384 or P-521: kubeadm reads no others. No two have the same key or the same subject.
type CA struct {
	// CertFile is its certificate, PEM. One that another CA has signed may be followed by that one's,
	// and so on to the root; the cluster trusts the first one alone. Required.
	CertFile string `json:"certFile,omitempty"`
	// KeyFile is its private key, PEM, without a passphrase, and readable by its owner only. Required:
	// kubelets' certificates are signed as nodes join.
	KeyFile string `json:"keyFile,omitempty"`
}

// +kubebuilder:object:generate=false

// RawMap is a part of a foreign document, merged as it is.
type RawMap map[string]any

// +kubebuilder:object:generate=false

// Kubeadm carries settings merged into kubeadm's documents, after our own;
// maps are merged key by key, lists and scalars replace.
type Kubeadm struct {
	// ClusterConfiguration is merged into kubeadm's (apiServer.extraArgs, …).
	ClusterConfiguration RawMap `json:"clusterConfiguration,omitempty"`
	// InitConfiguration is merged into kubeadm's.
	InitConfiguration RawMap `json:"initConfiguration,omitempty"`
	// JoinConfiguration is merged into kubeadm's, for every node that joins.
	JoinConfiguration RawMap `json:"joinConfiguration,omitempty"`
	// KubeletConfiguration is merged into the kubelets'.
	KubeletConfiguration RawMap `json:"kubeletConfiguration,omitempty"`
	// KubeProxyConfiguration is merged into kube-proxy's.
	KubeProxyConfiguration RawMap `json:"kubeProxyConfiguration,omitempty"`
	// IgnorePreflightErrors are kubeadm's check names to ignore.
	IgnorePreflightErrors []string `json:"ignorePreflightErrors,omitempty"`
	// Patches maps kubeadm patch file names (kube-apiserver0+merge.yaml) to content.
	// https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/control-plane-flags/#patches
	Patches map[string]string `json:"patches,omitempty"`
}
