//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// goneGates are gates that 1.35 takes and 1.36 refuses, one for each place that can have some:
// what kubeadm writes into its ConfigMaps, the command of a component, the flags that kubeadm
// writes for each kubelet, a patch of kubeadm's. ControlPlaneKubeletLocalMode is kubeadm's own.
var goneGates = []string{
	"DRAAdminAccess", "GitRepoVolumeDriver", "DisableNodeKubeProxyVersion", "DeclarativeValidation",
	"HonorPVReclaimPolicy", "ControlPlaneKubeletLocalMode",
}

const gatesInFile = `
spec:
  kubeadm:
    clusterConfiguration:
      featureGates: {ControlPlaneKubeletLocalMode: true}
      apiServer:
        extraArgs:
        - {name: feature-gates, value: "DRAAdminAccess=true,NodeSwap=true"}
    kubeletConfiguration: {featureGates: {GitRepoVolumeDriver: false, NodeSwap: true}}
    kubeProxyConfiguration: {featureGates: {DisableNodeKubeProxyVersion: true}}
    initConfiguration: {nodeRegistration: {kubeletExtraArgs: [{name: feature-gates, value: HonorPVReclaimPolicy=true}]}}
    joinConfiguration: {nodeRegistration: {kubeletExtraArgs: [{name: feature-gates, value: HonorPVReclaimPolicy=true}]}}
    patches:
      kubeletconfiguration+merge.yaml: |
        featureGates: {DeclarativeValidation: true}
`

// TestUpgradeRemovesGates upgrades a cluster that has feature gates which the newer version
// refuses, wherever there can be some. The upgrade names each and changes nothing, until it is
// told to remove them. Those of the newer version stay, and nodes join it.
func TestUpgradeRemovesGates(t *testing.T) {
	l := ownLab(t, "e2e-gates", suite.other, labSize{controlPlanes: 2, workers: 1})
	plain := l.file(t, nil)
	c := l.cluster(t, "gates", l.file(t, func(text string) string {
		return strings.Replace(text, "\nspec:\n", gatesInFile, 1)
	}))
	c.bootstrap(t)
	c.settled(t)
	before := c.gates(t)
	for _, gate := range goneGates {
		if !strings.Contains(before, gate) {
			t.Errorf("%s is nowhere in the cluster that is to be upgraded", gate)
		}
	}

	newer := &lab{name: c.name, dir: c.dir, version: suite.version, cached: c.cached}
	bundle := newer.bundle(t)
	upgrade := func(more ...string) result {
		return c.ha(t, upgradeDeadline, append([]string{"upgrade", suite.version, "--bundle", bundle, "--kubeconfig", c.kubeconfig, "--yes"}, more...)...)
	}
	r := upgrade()
	if r.code == 0 {
		t.Fatalf("an upgrade with gates that the version refuses: %s", r)
	}
	for _, gate := range append(goneGates, "--remove-feature-gates") {
		if !strings.Contains(r.stdout+r.stderr, gate) {
			t.Errorf("%s is not named: %s", gate, r)
		}
	}
	if after := c.gates(t); after != before {
		t.Errorf("something was changed: %s, before: %s", after, before)
	}

	if r := upgrade("--remove-feature-gates"); r.code != 0 {
		t.Fatalf("the upgrade: %s", tail(r.String(), 6000))
	}
	c.settled(t)
	c.checkUpgraded(t)
	after := c.gates(t)
	for _, gate := range goneGates {
		if strings.Contains(after, gate) {
			t.Errorf("%s is left: %s", gate, after)
		}
	}
	if strings.Count(after, "NodeSwap") < 3 {
		t.Errorf("NodeSwap, which the version has, did not stay: %s", after)
	}

	// Joins go by what is stored, and by the document.
	c.version, c.file = suite.version, plain
	c.removeWell(t, "w1")
	if r := c.ha(t, replaceDeadline, "node", "add", "w1", "-f", c.file, "--kubeconfig", c.kubeconfig, "--bundle", bundle, "--yes"); r.code != 0 {
		t.Fatalf("node add: %s", tail(r.String(), 6000))
	}
	c.settled(t)
	if after := c.gates(t); strings.Contains(after, goneGates[4]) {
		t.Errorf("the new node has %s: %s", goneGates[4], after)
	}
}

// gates are the places with feature gates, of the cluster and of each of its hosts.
func (c *cluster) gates(t *testing.T) string {
	t.Helper()
	out := c.storedCluster(t)
	for _, name := range []string{"kubeadm-config", "kubelet-config", "kube-proxy"} {
		m, err := c.client.CoreV1().ConfigMaps("kube-system").Get(context.Background(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		out += fmt.Sprint(m.Data)
	}
	for _, h := range c.names("control-plane") {
		out += c.exec(t, h, "cat", "/etc/kubernetes/manifests/kube-apiserver.yaml")
	}
	for _, h := range c.names() {
		out += c.exec(t, h, "cat", "/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env")
	}
	return out
}
