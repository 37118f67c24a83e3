package controlplane

import "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"

// InitSpec makes the first control plane.
type InitSpec struct {
	// Config is kubeadm's documents, YAML. It holds the token and certificate key.
	Config []byte `json:"config"`
	// Patches are kubeadm patch files by name.
	Patches map[string]string `json:"patches,omitempty"`
	// EtcdCA, EtcdCert and EtcdKey (PEM) are for the apiserver's etcd client, where etcd is external.
	EtcdCA   []byte `json:"etcdCA,omitempty"`
	EtcdCert []byte `json:"etcdCert,omitempty"`
	EtcdKey  []byte `json:"etcdKey,omitempty"`
	// Stacked is the host's etcd member, where etcd is kubeadm's own; nil where it is external.
	// EtcdCA and EtcdCAKey are the user's own CA for it then; without them kubeadm makes one.
	Stacked   *etcdmember.Stacked `json:"stacked,omitempty"`
	EtcdCAKey []byte              `json:"etcdCAKey,omitempty"`
	// CA and CAKey, FrontProxyCA and FrontProxyCAKey (PEM) are the user's own CAs, one certificate each.
	// Empty: kubeadm makes them.
	CA              []byte `json:"ca,omitempty"`
	CAKey           []byte `json:"caKey,omitempty"`
	FrontProxyCA    []byte `json:"frontProxyCA,omitempty"`
	FrontProxyCAKey []byte `json:"frontProxyCAKey,omitempty"`
	// LocalEndpoint is https://address:port of the apiserver on this host.
	LocalEndpoint string `json:"localEndpoint"`
	// VirtualEndpoint is https://virtual-ip:port; the task ends when the API answers there.
	VirtualEndpoint string `json:"virtualEndpoint"`
}

// InitData is what the others need.
type InitData struct {
	// CACertHash is sha256:<hex> of the cluster CA's public key, for discovery.
	CACertHash string `json:"caCertHash"`
}

// JoinNodeSpec joins a host as a plain node.
type JoinNodeSpec struct {
	// Config is kubeadm's JoinConfiguration, YAML, with a short-lived token.
	Config []byte `json:"config"`
	// Patches are kubeadm patch files by name.
	Patches map[string]string `json:"patches,omitempty"`
}

// UploadCertsSpec uploads a control plane's certificates, encrypted, for others
// to join: kubeadm init phase upload-certs.
type UploadCertsSpec struct {
	// Config is kubeadm's InitConfiguration, YAML, with the certificate key.
	Config []byte `json:"config"`
	// Stacked tells that etcd is kubeadm's own, whose CA is uploaded with its key.
	Stacked bool `json:"stacked,omitempty"`
}

// PromoteSpec makes a control plane of a joined node, by kubeadm's phases
// control-plane-prepare and control-plane-join, and with stacked etcd etcd-join between them.
type PromoteSpec struct {
	// Config is kubeadm's JoinConfiguration, YAML, with token and certificate key.
	Config  []byte            `json:"config"`
	Patches map[string]string `json:"patches,omitempty"`
	// LocalEndpoint is https://address:port of the apiserver to be on this
	// host; the kubelet is pointed at it (kubernetes#127316), and the task ends when it is ready.
	LocalEndpoint string `json:"localEndpoint"`
	// Stacked is the host's etcd member, where etcd is kubeadm's own; nil where it is external.
	Stacked *etcdmember.Stacked `json:"stacked,omitempty"`
}

// KubeconfigData is the result of the read-only task that reads admin.conf.
type KubeconfigData struct {
	// Kubeconfig is the file's content: a secret.
	Kubeconfig []byte `json:"kubeconfig"`
}
