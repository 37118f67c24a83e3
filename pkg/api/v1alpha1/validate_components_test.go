package v1alpha1

import (
	"fmt"
	"strings"
	"testing"
)

// components has arguments for one part, and patches, as a file would.
func componentsFile(version, kubeadm string) string {
	file := strings.Replace(minimal, "\nspec:\n", "\nspec:\n  kubeadm:\n"+kubeadm, 1)
	return strings.Replace(file, "v1.36.3", version, 1)
}

func arguments(part, name, value string) string {
	return fmt.Sprintf("    clusterConfiguration:\n      %s:\n        extraArgs:\n          - {name: %s, value: %q}\n", part, name, value)
}

func patchFile(name, content string) string {
	return fmt.Sprintf("    patches:\n      %s: |\n        %s\n", name, strings.ReplaceAll(content, "\n", "\n        "))
}

// TestComponents: what a component would refuse, what kubeadm would drop with a
// warning, and what is set against us is refused with its place; what only another
// version knows is a warning.
func TestComponents(t *testing.T) {
	const at = "spec.kubeadm.clusterConfiguration."
	kubeletArgs := func(name, value string) string {
		return fmt.Sprintf("    initConfiguration:\n      nodeRegistration:\n        kubeletExtraArgs:\n          - {name: %s, value: %q}\n", name, value)
	}
	for _, tc := range []struct {
		name, kubeadm string
		want          string // empty: nothing is wrong
		warning       string
	}{
		{"apiserver", arguments("apiServer", "audit-log-maxage", "30"), "", ""},
		{"etcd-servers", arguments("apiServer", "etcd-servers", "https://x:2379"), at + "apiServer.extraArgs[0]: etcd-servers is set by kubectl ha; use spec.etcd instead", ""},
		{"secure-port", arguments("apiServer", "secure-port", "8443"), "secure-port is set by kubectl ha; use spec.apiServerPort instead", ""},
		{"advertise-address", arguments("apiServer", "advertise-address", "10.9.9.9"), "use spec.hosts[].address instead", ""},
		{"another port of the scheduler", arguments("scheduler", "secure-port", "1"), at + "scheduler.extraArgs[0]: secure-port is set by kubectl ha and can't be changed", ""},
		{"pods of the controller-manager", arguments("controllerManager", "cluster-cidr", "10.0.0.0/8"), "use spec.network.podSubnet instead", ""},
		{"kubelet's name", kubeletArgs("hostname-override", "x"), "initConfiguration.nodeRegistration.kubeletExtraArgs[0]: hostname-override is set by kubectl ha; use spec.hosts[].name instead", ""},
		{"unknown", arguments("apiServer", "audit-log-max-age", "30"), "kube-apiserver 1.36 has no flag audit-log-max-age, did you mean audit-log-maxage?", ""},
		{"of another component", arguments("scheduler", "audit-log-maxage", "30"), "kube-scheduler 1.36 has no flag audit-log-maxage", ""},
		{"no number", arguments("apiServer", "audit-log-maxage", "30d"), "must be a whole number", ""},
		{"no duration", arguments("controllerManager", "node-monitor-grace-period", "40"), "must be a duration with its unit", ""},
		{"two leaders", arguments("scheduler", "leader-elect", "false"), "only the leader may act", ""},
		{"no login for probes", arguments("apiServer", "anonymous-auth", "false"), "by an AuthenticationConfiguration (authentication-config, with its file in extraVolumes): anonymous: {enabled: true", ""},
		{"a login for everything else", arguments("apiServer", "authentication-config", "/etc/kubernetes/auth.yaml"), "", ""},
		{"no login for probes, by a patch", patchFile("kube-apiserver+json.yaml", "- {op: add, path: /spec/containers/0/command/-, value: --anonymous-auth=false}"), "without a login", ""},
		{"modes", arguments("apiServer", "authorization-mode", "RBAC"), "need Node", ""},
		{"modes and more", arguments("apiServer", "authorization-mode", "Node,RBAC,Webhook"), "", ""},
		{"controllers", arguments("controllerManager", "controllers", "*"), "bootstrapsigner", ""},
		{"gate", arguments("apiServer", "feature-gates", "NodeSwop=true"), "no feature gate NodeSwop, did you mean NodeSwap?", ""},
		{"locked gate", arguments("apiServer", "feature-gates", "NodeSwap=false"), "locked to true", ""},
		{"gate of a component", arguments("apiServer", "feature-gates", "kube:NodeSwap=true"), "", ""},
		{"misspelt gate of a component", arguments("apiServer", "feature-gates", "kube:NodeSwop=true"), "no feature gate NodeSwop, did you mean NodeSwap?", ""},
		{"gate of a component that is none", arguments("apiServer", "feature-gates", "cube:NodeSwap=true"), "is no gate's name", ""},
		{"gates that can't be read", arguments("apiServer", "feature-gates", "NodeSwap"), "write NameA=true", ""},
		{"misspelt field", "    clusterConfiguration: {apiServer: {extraArg: []}}\n", at + "apiServer.extraArg: ClusterConfiguration 1.36 has no field extraArg, did you mean extraArgs?", ""},
		{"kubeadm's gate", "    clusterConfiguration: {featureGates: {NodeLocalCRISockets: true}}\n", at + "featureGates.NodeLocalCRISockets: kubeadm 1.36 has no feature gate", ""},
		{"kubeadm's gate, quoted", "    clusterConfiguration: {featureGates: {NodeLocalCRISocket: \"true\"}}\n", "must be true or false, without quotes", ""},
		{"number in quotes", "    kubeletConfiguration: {maxPods: \"250\"}\n", `kubeletConfiguration.maxPods: "250": must be a whole number, without quotes`, ""},
		{"misspelt kubelet field", "    kubeletConfiguration: {maxPod: 250}\n", "kubeletConfiguration.maxPod: KubeletConfiguration 1.36 has no field maxPod, did you mean maxPods?", ""},
		{"misspelt, nested", "    kubeletConfiguration: {memorySwap: {swapBehaviour: LimitedSwap}}\n", "memorySwap.swapBehaviour: ", ""},
		{"misspelt in another package's type", "    kubeletConfiguration: {logging: {formt: json}}\n", "kubeletConfiguration.logging.formt: there is no such field", ""},
		{"in a map of text", "    kubeletConfiguration: {evictionHard: {memory.available: 5}}\n", "kubeletConfiguration.evictionHard: is a number, must be string", ""},
		{"kubelet", "    kubeletConfiguration: {maxPods: 250, evictionHard: {memory.available: 5%}, shutdownGracePeriod: 30s}\n", "", ""},
		{"newer kubelet field", "    kubeletConfiguration: {defaultPodSysctls: {}}\n", "", "KubeletConfiguration 1.36 has no field defaultPodSysctls, only 1.37 and later have it"},
		{"kube-proxy", "    kubeProxyConfiguration: {mode: nftables, conntrack: {maxPerCore: 0}}\n", "", ""},
		{"misspelt kube-proxy field", "    kubeProxyConfiguration: {conntrack: {maxPerCor: 0}}\n", "kubeProxyConfiguration.conntrack.maxPerCor: ", ""},
		{"patch", patchFile("kube-apiserver0+merge.yaml", "spec:\n  priorityClassName: x"), "", ""},
		{"patch with a directive", patchFile("kube-apiserver.yaml", "spec:\n  containers:\n    - name: kube-apiserver\n      $patch: merge\n      resources: {limits: {memory: 4Gi}}"), "", ""},
		{"empty patch", patchFile("kube-apiserver.yaml", ""), "patches[kube-apiserver.yaml]: is empty", ""},
		{"a patch's kind", patchFile("kube-apiserver0+merge.yaml", "kind: Pod\nmetadata: {name: x}"), "", ""},
		{"a Secret for a patch", patchFile("kube-apiserver0+merge.yaml", "kind: Secret\nmetadata: {name: x}"), "is a patch of the Pod, and its kind is Secret", ""},
		{"a Pod for the kubelet", patchFile("kubeletconfiguration0+merge.yaml", "kind: Pod"), "is a patch of the KubeletConfiguration, and its kind is Pod", ""},
		{"misspelt in a patch", patchFile("kube-apiserver0+merge.yaml", "spec:\n  priorityClas: x"), `unknown field "spec.priorityClas"`, ""},
		{"patch of a list", patchFile("kube-scheduler+merge.yaml", "- a"), "must be fields (name: value) of the Pod", ""},
		{"argument in a patch", patchFile("kube-apiserver+json.yaml", "- {op: add, path: /spec/containers/0/command/-, value: --etcd-servers=https://x}"), "etcd-servers is set by kubectl ha", ""},
		{"unknown argument in a patch", patchFile("kube-scheduler+json.yaml", "- {op: add, path: /spec/containers/0/command/-, value: --vv=4}"), "kube-scheduler 1.36 has no flag vv", ""},
		{"argument in two words", patchFile("kube-scheduler.yaml", "spec: {containers: [{name: kube-scheduler, command: [kube-scheduler, --v, \"4\", --leader-elect]}]}"), "", ""},
		{"argument in two words, wrong", patchFile("kube-scheduler.yaml", "spec: {containers: [{name: kube-scheduler, args: [--v, four]}]}"), "must be a whole number", ""},
		{"another's argument", patchFile("kube-scheduler.yaml", "spec: {containers: [{name: sidecar, args: [--what=x]}]}"), "", ""},
		{"all arguments by an operation", patchFile("kube-scheduler+json.yaml", "- {op: replace, path: /spec/containers/0/command, value: [kube-scheduler, --vv=4]}"), "kube-scheduler 1.36 has no flag vv", ""},
		{"second document of a patch", patchFile("kube-scheduler.yaml", "spec: {priorityClassName: x}\n---\nspec: {priorityClas: x}"), `unknown field "spec.priorityClas"`, ""},
		{"second document of a kubelet patch", patchFile("kubeletconfiguration+merge.yaml", "maxPods: 9\n---\nmaxPod: 9"), "has no field maxPod", ""},
		{"a gate taken out by a patch", patchFile("kubeletconfiguration+merge.yaml", "featureGates: {NodeSwap: null}"), "", ""},
		{"unknown operation", patchFile("kube-scheduler+json.yaml", "- {op: ad, path: /spec/hostNetwork, value: true}"), `[0].op: "ad" is unknown, did you mean add?`, ""},
		{"no operations", patchFile("kube-scheduler+json.yaml", "spec: {}"), "must be a list of operations", ""},
		{"kubelet patch", patchFile("kubeletconfiguration0+merge.yaml", "maxPods: \"250\""), `maxPods: "250": must be a whole number`, ""},
		{"kubelet patch of ours", patchFile("kubeletconfiguration0+strategic.yaml", "cgroupDriver: cgroupfs"), "cgroupDriver: is set by kubectl ha", ""},
		{"kubelet patch by operation", patchFile("kubeletconfiguration0+json.yaml", "- {op: add, path: /maxPod, value: 250}"), "has no field maxPod", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, warnings, err := Load([]byte(componentsFile("v1.36.3", tc.kubeadm)), "")
			text := fmt.Sprint(err)
			if tc.want == "" && err != nil || tc.want != "" && !strings.Contains(text, tc.want) {
				t.Errorf("got %q, want %q", text, tc.want)
			}
			if tc.warning != "" && !strings.Contains(fmt.Sprint(warnings), tc.warning) {
				t.Errorf("warnings %v, want %q", warnings, tc.warning)
			}
		})
	}
}

// TestGateThatIsGone: the version that a file names decides.
func TestGateThatIsGone(t *testing.T) {
	gate := "    clusterConfiguration: {featureGates: {NodeLocalCRISocket: true}}\n"
	if _, _, err := Load([]byte(componentsFile("v1.36.3", gate)), ""); err != nil {
		t.Errorf("1.36: %v", err)
	}
	if _, _, err := Load([]byte(componentsFile("v1.37.2", gate)), ""); err == nil || !strings.Contains(err.Error(), "NodeLocalCRISocket any more, 1.36 was the last with it") {
		t.Errorf("1.37: %v", err)
	}
}
