package upgrade

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
)

// checkStackedEtcd holds what kubeadm does not: before some minor versions of etcd every member has to have a
// certain version, or members that were removed come back. It is pure.
// https://etcd.io/blog/2025/zombie_members_upgrade/
func checkStackedEtcd(c *v1alpha1.Cluster, spec *v1alpha1.UpgradeSpec, o Observation) []Finding {
	if !c.Stacked() || spec.Only == v1alpha1.UpgradeNodes {
		return nil
	}
	to := bundle.KubeadmEtcd(spec.Version, c)
	var out []Finding
	// kubeadm goes by its own document, and what is judged and brought here by the Cluster document.
	tag, _, _ := strings.Cut(o.EtcdTag, "-")
	if _, err := etcd.ParseVersion(tag); (err == nil || o.EtcdTag == "") && tag != strings.TrimPrefix(c.Spec.Etcd.Version, "v") {
		out = append(out, Finding{Check: CheckEtcd, Blocks: true,
			Message: fmt.Sprintf("spec.etcd.version of the Cluster document is %q, and kubeadm goes by etcd.local.imageTag, which is %q", c.Spec.Etcd.Version, o.EtcdTag),
			Hint: fmt.Sprintf("set imageTag to %q in the ConfigMap kubeadm-config in kube-system, or change spec.etcd.version in your file and in the ConfigMap cluster in ha-system",
				v1alpha1.EtcdImageTag(c.Spec.Etcd.Version))})
	}
	for _, h := range c.ControlPlanes() {
		have := o.Nodes[h.Name].Etcd
		floor := etcd.BelowFloor(have, to)
		if floor == "" {
			continue
		}
		out = append(out, Finding{Check: CheckEtcd, Node: h.Name, Blocks: true,
			Message: fmt.Sprintf("its etcd is %s, and comes to %s with Kubernetes %s: before, every member has to have %s or later", have, strings.TrimPrefix(to, "v"), spec.Version, floor),
			Hint: fmt.Sprintf("set etcd.local.imageTag to %s-0 or later in the ConfigMap kubeadm-config in kube-system and spec.etcd.version in the Cluster document, and upgrade to a later patch release of the Kubernetes that runs; "+
				"see docs/etcd.md", floor)})
	}
	return out
}

// memberUnwell says what is not yet as it should be of a control plane's own member of kubeadm's etcd; empty when
// all is, or when there is none. Its apiserver, which reads through it with a quorum, has been asked before.
func memberUnwell(ctx context.Context, c *v1alpha1.Cluster, h v1alpha1.Host, n Node) (string, error) {
	if !c.Stacked() {
		return "", nil
	}
	if n.Etcd == "" || !n.StaticReady[etcdPod] {
		return "its etcd member is not ready", nil
	}
	e := Endpoint{Node: h.Name, Address: net.JoinHostPort(h.Address, strconv.Itoa(v1alpha1.EtcdClientPort)), Etcd: true}
	e.look(ctx)
	if e.Error != "" {
		return "its etcd member does not answer: " + e.Error, nil
	}
	return "", nil
}
