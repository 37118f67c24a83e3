// Package tasks lists every task the agent can run.
package tasks

// Names of the tasks, as they stand in requests.
const (
	Observe = "observe"
	Listen  = "listen"
	Dial    = "dial"
	Prepare = "prepare"
	Images  = "images"
	// Tidy removes what was fetched, once nobody needs it any more.
	Tidy       = "tidy"
	Etcd       = "etcd"
	EtcdHealth = "etcd-health"
	// EtcdMayLeave tells whether etcd can do without a member, EtcdLeave takes it out.
	EtcdMayLeave = "etcd-may-leave"
	EtcdLeave    = "etcd-leave"
	// EtcdDrop takes a member out of etcd that is no host's.
	EtcdDrop = "etcd-drop"
	// EtcdLook asks every member for what it says of itself, EtcdGate waits until all are well.
	EtcdLook = "etcd-look"
	EtcdGate = "etcd-gate"
	// EtcdDefrag, EtcdCompact and EtcdFree (of the alarm NOSPACE) look after the members' files.
	EtcdDefrag  = "etcd-defrag"
	EtcdCompact = "etcd-compact"
	EtcdFree    = "etcd-free"
	// EtcdFit tells whether a member's host has all that another version needs, EtcdStage brings
	// that over SSH, EtcdUpgrade takes the member there; EtcdDowngrade has etcd as a whole go one
	// minor version back.
	EtcdFit       = "etcd-fit"
	EtcdStage     = "etcd-stage"
	EtcdUpgrade   = "etcd-upgrade"
	EtcdDowngrade = "etcd-downgrade"
	// EtcdSettings gives a member the settings that the Cluster document has.
	EtcdSettings = "etcd-settings"
	// EtcdTrust has a member trust CAs.
	EtcdTrust = "etcd-trust"
	// Follow tells a control plane who the etcd members are, Retire takes a host out
	// of service that leaves the cluster.
	Follow = "follow"
	Retire = "retire"
	VIP    = "vip"
	// RemoveVIP takes the virtual IP away from a host that stays a control plane.
	RemoveVIP = "remove-vip"
	// Drain moves the virtual IP away from a host without loss, or takes that back.
	Drain = "drain"
	// HoldsVIP tells whether a host has the virtual IP.
	HoldsVIP    = "holds-vip"
	Init        = "init"
	JoinNode    = "join-node"
	UploadCerts = "upload-certs"
	Promote     = "promote"
	// PushImages takes images from the swarm of all nodes into containerd.
	PushImages = "push-images"
	// PruneImages removes images that no container uses.
	PruneImages = "prune-images"
	// Backup keeps a snapshot of etcd and the host's own files; ListBackups tells of them.
	Backup      = "backup"
	ListBackups = "list-backups"
	// BackupMetrics has Prometheus know of the last scheduled backup.
	BackupMetrics = "backup-metrics"
	// Restore is one step of a restore of etcd on one host. LookForRestore tells what a host has for
	// one, ReadSnapshot reads a piece of a snapshot (a secret), VerifyBackup restores a snapshot
	// into an etcd that is thrown away.
	Restore        = "restore"
	LookForRestore = "look-for-restore"
	ReadSnapshot   = "read-snapshot"
	VerifyBackup   = "verify-backup"
	// SendBackup sends a backup's files to a target, encrypted. BackupTarget lists, finishes and
	// deletes backups there.
	SendBackup   = "send-backup"
	BackupTarget = "backup-target"
	// UpgradeCheck tells whether all is there that an upgrade of the host needs.
	UpgradeCheck = "upgrade-check"
	// UpgradeControlPlane brings a control plane's static pods to another version,
	// UpgradeKubelet a node's kubelet, kubeadm and kubectl.
	UpgradeControlPlane = "upgrade-control-plane"
	UpgradeKubelet      = "upgrade-kubelet"
	// RollbackNode puts back what an upgrade replaced.
	RollbackNode = "rollback-node"
	// UpgradeMend takes an unfinished upgrade back when the host boots.
	UpgradeMend = "upgrade-mend"
	// UpgradeSettle ends what an Operation has begun and does not bring to its end.
	UpgradeSettle = "upgrade-settle"
	// ServeKubelet says whether the kubelet's serving certificate comes from the cluster;
	// SignServer signs a server's by the cluster's CA.
	ServeKubelet = "serve-kubelet"
	SignServer   = "sign-server"
	// Inspect reads what only the host's files tell, and changes nothing.
	Inspect = "inspect"
	// Survey reads how the host of a cluster that others have made is set up; Release takes
	// kubectl-ha off it, and nothing of the cluster.
	Survey  = "survey"
	Release = "release"
	// Uninstall takes back everything that was done to the host.
	Uninstall = "uninstall"
	// EtcdIdentity reads the certificates with which a host may talk to etcd; its
	// result is a secret.
	EtcdIdentity = "etcd-identity"
	// InstallAgent puts the running agent where the host's services find it.
	InstallAgent = "install-agent"
	// KubeletEndpoint points the kubelet at another endpoint of the API, AdminEndpoint the
	// administrators' files of kubeadm.
	KubeletEndpoint = "kubelet-endpoint"
	AdminEndpoint   = "admin-endpoint"
	// APIServerNames makes the apiserver's certificate anew when it lacks names.
	APIServerNames = "apiserver-names"
	// Certificates finds every certificate and key of a host. CertificateRequests makes keys for
	// their successors, InstallCertificates puts into use what was signed for these, and
	// RenewCertificates does both by CAs whose keys are on the host. SignCertificates signs
	// requests of other hosts by the cluster's CA.
	Certificates        = "certificates"
	CertificateRequests = "certificate-requests"
	InstallCertificates = "install-certificates"
	RenewCertificates   = "renew-certificates"
	SignCertificates    = "sign-certificates"
	// CertificateMetrics is Certificates, and writes what it finds for Prometheus.
	CertificateMetrics = "certificate-metrics"
	// RotateAuthority brings a host to a phase of the rotation of a CA, or of the key of service
	// accounts. RotationLook tells how far it is, RotationOffer encrypts the next key to what
	// RotationReceive says of other hosts, and RotationRefresh gets anew what the cluster signs
	// for a node.
	RotateAuthority = "rotate-authority"
	RotationLook    = "rotation-look"
	RotationReceive = "rotation-receive"
	RotationOffer   = "rotation-offer"
	RotationRefresh = "rotation-refresh"
	// AdminKubeconfig reads /etc/kubernetes/admin.conf; its result is a secret.
	AdminKubeconfig = "admin-kubeconfig"
)
