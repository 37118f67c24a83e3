package certs

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
)

const (
	kubernetesDir = "/etc/kubernetes"
	pkiDir        = kubernetesDir + "/pki"
	localEtcdDir  = pkiDir + "/etcd"
	kubeletPKI    = "/var/lib/kubelet/pki"
	kubeletConf   = kubernetesDir + "/kubelet.conf"

	// StateDir has keys that wait for their certificates, and what was in use before.
	StateDir = host.StateDir + "/certificates"
)

// Names of the certificates that can be renewed.
const (
	EtcdServer = "etcd-server"
	EtcdPeer   = "etcd-peer"
	// EtcdClient is the apiserver's login to etcd.
	EtcdClient = "apiserver-etcd-client"

	APIServer          = "apiserver"
	KubeletClientOfAPI = "apiserver-kubelet-client"
	FrontProxyClient   = "front-proxy-client"
	Admin              = "admin.conf"
	SuperAdmin         = "super-admin.conf"
	ControllerManager  = "controller-manager.conf"
	Scheduler          = "scheduler.conf"

	// LocalEtcdServer, LocalEtcdPeer and LocalEtcdHealth are those of an etcd that kubeadm runs.
	LocalEtcdServer = "kubeadm-etcd-server"
	LocalEtcdPeer   = "kubeadm-etcd-peer"
	LocalEtcdHealth = "kubeadm-etcd-healthcheck-client"

	// Kubelet is a kubelet's login to the API, which it renews itself for as long as it has one.
	Kubelet = "kubelet"
)

// unit is one certificate that can be renewed, with its key.
type unit struct {
	name string
	// cert and key are files. A kubeconfig has both inside: it is cert then.
	cert, key string
	signer    Signer
	// restarts are programs that read it at their start only.
	restarts []string
}

func (u unit) kubeconfig() bool { return strings.HasSuffix(u.cert, ".conf") }

// combined is one file with both, as the kubelet has it.
func (u unit) combined() bool { return u.cert == u.key }

// catalogue is in the order in which they are exchanged: etcd first, since all else needs it.
func catalogue() []unit {
	pair := func(name, dir, file string, signer Signer) unit {
		return unit{name: name, cert: path.Join(dir, file+".crt"), key: path.Join(dir, file+".key"), signer: signer}
	}
	config := func(name string, restarts ...string) unit {
		return unit{name: name, cert: path.Join(kubernetesDir, name), signer: SignerKubernetes, restarts: restarts}
	}
	return []unit{
		pair(EtcdServer, etcdmember.PKIDir, "server", SignerEtcd),
		pair(EtcdPeer, etcdmember.PKIDir, "peer", SignerEtcd),
		pair(LocalEtcdServer, localEtcdDir, "server", SignerLocalEtcd),
		pair(LocalEtcdPeer, localEtcdDir, "peer", SignerLocalEtcd),
		pair(LocalEtcdHealth, localEtcdDir, "healthcheck-client", SignerLocalEtcd),
		pair(EtcdClient, pkiDir, EtcdClient, SignerEtcd),
		pair(APIServer, pkiDir, APIServer, SignerKubernetes),
		pair(KubeletClientOfAPI, pkiDir, KubeletClientOfAPI, SignerKubernetes),
		pair(FrontProxyClient, pkiDir, FrontProxyClient, SignerFrontProxy),
		config(Admin), config(SuperAdmin),
		config(ControllerManager, controllerManagerProgram), config(Scheduler, schedulerProgram),
		{name: Kubelet, cert: kubeletPKI + "/kubelet-client-current.pem", key: kubeletPKI + "/kubelet-client-current.pem", signer: SignerKubernetes, restarts: []string{kubeletProgram}},
	}
}

const (
	controllerManagerProgram = "kube-controller-manager"
	schedulerProgram         = "kube-scheduler"
	apiserverProgram         = "kube-apiserver"
	kubeletProgram           = "kubelet"
)

// OfEtcd are the certificates that etcd's CA signs, whose key is on the workstation.
func OfEtcd() []string { return []string{EtcdServer, EtcdPeer, EtcdClient} }

// OfHost are those that CAs sign whose keys are on the control planes, but for the kubelet's,
// which renews its own.
func OfHost() []string {
	var out []string
	for _, u := range catalogue() {
		if u.signer != SignerEtcd && u.name != Kubelet {
			out = append(out, u.name)
		}
	}
	return out
}

// named are the units of these names, in the catalogue's order.
func named(names []string) ([]unit, error) {
	var out []unit
	known := map[string]bool{}
	for _, u := range catalogue() {
		known[u.name] = true
		if slices.Contains(names, u.name) {
			out = append(out, u)
		}
	}
	for _, n := range names {
		if !known[n] {
			return nil, host.WithHint(fmt.Errorf("there is no certificate called %q", n), "kubectl ha certs status lists them")
		}
	}
	return out, nil
}

// ca are the files of a CA whose key may be on the host.
func (s Signer) ca() (cert, key string) {
	switch s {
	case SignerFrontProxy:
		return pkiDir + "/front-proxy-ca.crt", pkiDir + "/front-proxy-ca.key"
	case SignerLocalEtcd:
		return localEtcdDir + "/ca.crt", localEtcdDir + "/ca.key"
	case SignerKubernetes:
		return pkiDir + "/ca.crt", pkiDir + "/ca.key"
	}
	return "", ""
}

// trust is the file of the CA that a unit's certificate is checked against.
func (u unit) trust() string {
	switch u.name {
	case EtcdServer, EtcdPeer:
		return etcdmember.PKIDir + "/ca.crt"
	case EtcdClient:
		return localEtcdDir + "/ca.crt"
	}
	cert, _ := u.signer.ca()
	return cert
}

// Known is an error when there is no certificate of one of these names.
func Known(names []string) error {
	_, err := named(names)
	return err
}
