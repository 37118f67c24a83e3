package controlplane

import (
	"maps"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// PatchesDir is where the tasks put kubeadm's patch files; kubeadm's
	// configuration names it as patches.directory.
	PatchesDir = host.StateDir + "/kubeadm/patches"

	kubernetesDir = "/etc/kubernetes"
	pkiDir        = kubernetesDir + "/pki"
	manifestsDir  = kubernetesDir + "/manifests"

	caCert         = pkiDir + "/ca.crt"
	etcdCA         = pkiDir + "/etcd/ca.crt"
	etcdClientCert = pkiDir + "/apiserver-etcd-client.crt"
	etcdClientKey  = pkiDir + "/apiserver-etcd-client.key"

	adminConf     = kubernetesDir + "/admin.conf"
	kubeletConf   = kubernetesDir + "/kubelet.conf"
	bootstrapConf = kubernetesDir + "/bootstrap-kubelet.conf"

	apiserverManifest = manifestsDir + "/kube-apiserver.yaml"
	etcdManifest      = manifestsDir + "/etcd.yaml"

	kubeletUnit = "kubelet.service"
)

// kubeconfigs are those of a control plane. super-admin.conf is on the first alone.
var kubeconfigs = []string{adminConf, kubernetesDir + "/super-admin.conf", kubeletConf,
	kubernetesDir + "/controller-manager.conf", kubernetesDir + "/scheduler.conf"}

// kubeletFiles are what kubeadm makes for a kubelet, and the kubelet for itself.
var kubeletFiles = []string{bootstrapConf, kubeletConf, caCert,
	"/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env", "/var/lib/kubelet/instance-config.yaml"}

// controlPlaneFiles are what kubeadm makes for a control plane besides.
func controlPlaneFiles(stacked bool) []string {
	files := slices.Clone(kubeconfigs)
	for _, p := range append(slices.Concat(authorities(stacked), leaves(stacked)), serviceAccount) {
		files = append(files, p.first(), p.second())
	}
	if stacked {
		files = append(files, etcdManifest)
	} else {
		files = append(files, etcdCA, etcdClientCert, etcdClientKey)
	}
	return append(files, apiserverManifest, manifestsDir+"/kube-controller-manager.yaml", manifestsDir+"/kube-scheduler.yaml")
}

// etcdPorts are those that kubeadm wants free for its own etcd.
var etcdPorts = []string{"2379", "2380"}

// controlPlanePorts maps the ports that kubeadm wants free to the manifest of
// who has them after an unfinished run. The apiserver's own may be any.
var controlPlanePorts = map[string]string{
	"10257": manifestsDir + "/kube-controller-manager.yaml",
	"10259": manifestsDir + "/kube-scheduler.yaml",
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
