package v1alpha1

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/flagtable"
)

const (
	apiserver         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
	scheduler         = "kube-scheduler"
	kubelet           = "kubelet"
)

// ownFlags are the flags of the components that kubeadm sets from what kubectl-ha
// tells it, with the field to use instead, or "" when there is no choice.
// https://kubernetes.io/docs/reference/setup-tools/kubeadm/implementation-details/#generate-static-pod-manifests-for-control-plane-components
var ownFlags = map[string]map[string]string{
	apiserver: {
		"advertise-address": "spec.hosts[].address", "secure-port": "spec.apiServerPort", "bind-address": "",
		"etcd-servers": "spec.etcd", "etcd-servers-overrides": "spec.etcd", "etcd-cafile": "", "etcd-certfile": "", "etcd-keyfile": "", "etcd-prefix": "",
		"service-cluster-ip-range": "spec.network.serviceSubnet",
		"client-ca-file":           "", "tls-cert-file": "", "tls-private-key-file": "", "cert-dir": "",
		"kubelet-client-certificate": "", "kubelet-client-key": "", "proxy-client-cert-file": "", "proxy-client-key-file": "",
		"requestheader-client-ca-file": "", "requestheader-allowed-names": "",
		"service-account-key-file": "", "service-account-signing-key-file": "",
	},
	controllerManager: {
		"kubeconfig": "", "authentication-kubeconfig": "", "authorization-kubeconfig": "", "master": "", "secure-port": "",
		"client-ca-file": "", "requestheader-client-ca-file": "", "root-ca-file": "", "service-account-private-key-file": "",
		"cluster-signing-cert-file": "", "cluster-signing-key-file": "", "cluster-name": "metadata.name",
		"cluster-cidr": "spec.network.podSubnet", "service-cluster-ip-range": "spec.network.serviceSubnet",
	},
	scheduler: {"kubeconfig": "", "authentication-kubeconfig": "", "authorization-kubeconfig": "", "master": "", "secure-port": ""},
	kubelet: {
		"config": "spec.kubeadm.kubeletConfiguration", "kubeconfig": "", "bootstrap-kubeconfig": "", "hostname-override": "spec.hosts[].name",
		"container-runtime-endpoint": "", "pod-manifest-path": "", "cert-dir": "",
		"cgroup-driver": "", "cluster-dns": "spec.network.serviceSubnet", "cluster-domain": "spec.network.dnsDomain", "root-dir": "",
	},
}

// AnonymousOnly is the part of an AuthenticationConfiguration that admits who has no
// login to what a cluster of kubeadm needs, and to nothing else.
const AnonymousOnly = "anonymous: {enabled: true, conditions: [{path: /livez}, {path: /readyz}, {path: /healthz}, " +
	"{path: /api/v1/namespaces/kube-public/configmaps/cluster-info}]}"

// needed are values without which a cluster of several control planes does not work.
func needed(component, flag, value string) string {
	has := func(word string) bool { return slices.Contains(strings.Split(value, ","), word) }
	switch {
	case flag == "version" || flag == "help":
		return "makes the program print and end"
	case flag == "leader-elect" && value == "false" && component != kubelet:
		return "each control plane runs one, and only the leader may act"
	case component == apiserver && flag == "enable-bootstrap-token-auth" && value == "false":
		return "hosts join with bootstrap tokens"
	case component == apiserver && flag == "authorization-mode" && !(has("Node") && has("RBAC")):
		return "the kubelets need Node, and everybody else RBAC; name both"
	case component == apiserver && flag == "anonymous-auth" && value == "false":
		// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#anonymous-authenticator-configuration
		return "the kubelet's probes and the watch of the virtual IP ask for /livez and /readyz without a login, and hosts that join ask so for cluster-info. " +
			"Leave it out, and admit strangers there alone by an AuthenticationConfiguration (authentication-config, with its file in extraVolumes): " + AnonymousOnly
	case component == controllerManager && flag == "controllers" && !has("bootstrapsigner"):
		return "hosts join with what bootstrapsigner signs; name it as well: *,bootstrapsigner,tokencleaner"
	}
	return ""
}

// componentAt is the program whose arguments a list at a path has; empty for others.
func componentAt(at, list string) string {
	switch {
	case list == "kubeletExtraArgs":
		return kubelet
	case strings.HasSuffix(at, ".apiServer"):
		return apiserver
	case strings.HasSuffix(at, ".controllerManager"):
		return controllerManager
	case strings.HasSuffix(at, ".scheduler"):
		return scheduler
	}
	return ""
}

// componentFlag refuses a flag that is set against us, and one with which the
// component would not start.
func (v *validator) componentFlag(at, component, name, value string) {
	if component == "" {
		return
	}
	if instead, own := ownFlags[component][name]; own {
		if instead == "" {
			v.fail(at, "%s is set by kubectl ha and can't be changed; remove it", name)
		} else {
			v.fail(at, "%s is set by kubectl ha; use %s instead", name, instead)
		}
		return
	}
	if why := needed(component, name, value); why != "" {
		v.fail(at, "%s=%s can't be: %s", name, value, why)
		return
	}
	minor := flagtable.Minor(v.c.Spec.KubernetesVersion)
	if !v.told(at, flagtable.FlagsOf(component).Check(minor, name, value)) || name != "feature-gates" {
		return
	}
	gates, err := flagtable.ParseGates(value)
	if err != nil {
		v.fail(at, "feature-gates: %v; write NameA=true,NameB=false", err)
		return
	}
	for _, gate := range sortedKeys(gates) {
		v.told(at, flagtable.ComponentGates().Check(minor, gate, gates[gate]))
	}
}

// told reports a problem: an error, or a warning when the cluster's version is the
// only reason, which the user may be about to change. It tells whether all is well.
func (v *validator) told(at string, p flagtable.Problem) bool {
	switch {
	case p.Message == "":
		return true
	case p.Newer || p.Untold:
		v.warn(at, "%s", p.Message)
	default:
		v.fail(at, "%s", p.Message)
	}
	return false
}

// gates checks the featureGates of a document.
func (v *validator) gates(at string, value any, known flagtable.Gates) {
	gates, _ := value.(map[string]any)
	for _, name := range sortedKeys(gates) {
		on, ok := gates[name].(bool)
		if gates[name] == nil {
			continue // It sets none; in a patch it takes one out.
		}
		if !ok {
			v.fail(fmt.Sprintf("%s.%s", at, name), "%v: must be true or false, without quotes", gates[name])
			continue
		}
		v.told(at+"."+name, known.Check(flagtable.Minor(v.c.Spec.KubernetesVersion), name, on))
	}
}
