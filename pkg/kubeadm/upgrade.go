package kubeadm

import (
	"fmt"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// UpgradeParams are what `kubeadm upgrade` needs besides the Cluster.
type UpgradeParams struct {
	// Version is the Kubernetes version to go to: v1.36.3. Required; the Cluster's
	// own may still be the one to come from.
	Version string
	// PatchesDir is the directory with kubeadm's patch files on the host; empty for none.
	PatchesDir string
	// IgnorePreflightErrors are checks to ignore, besides the Cluster's own.
	IgnorePreflightErrors []string
}

// Upgrade writes the UpgradeConfiguration for both `kubeadm upgrade apply` on the
// first control plane and `kubeadm upgrade node` on every other node. It holds no
// secret.
//
// External etcd is never kubeadm's to upgrade; stacked etcd is, before the rest of a control plane. Certificates are renewed, as
// kubeadm does by default, so that a cluster that is upgraded each year never
// sees one expire. Images are there before; should one not be, kubeadm pulls it
// before it changes anything.
// https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/#kubeadm-k8s-io-v1beta4-UpgradeConfiguration
func Upgrade(c *v1alpha1.Cluster, p UpgradeParams) ([]byte, error) {
	if p.Version == "" {
		return nil, fmt.Errorf("kubeadm upgrade: the version to go to is missing")
	}
	both := object{
		"certificateRenewal": true,
		"etcdUpgrade":        c.Stacked(),
		"imagePullPolicy":    "IfNotPresent",
	}
	if all := slices.Concat(c.Spec.Kubeadm.IgnorePreflightErrors, p.IgnorePreflightErrors); len(all) > 0 {
		both["ignorePreflightErrors"] = list(all)
	}
	if p.PatchesDir != "" {
		both["patches"] = object{"directory": p.PatchesDir}
	}
	apply, err := layers("apply", both, object{"kubernetesVersion": p.Version})
	if err != nil {
		return nil, fmt.Errorf("kubeadm upgrade: %w", err)
	}
	return documents(object{
		"apiVersion": APIVersion,
		"kind":       "UpgradeConfiguration",
		"apply":      apply,
		"node":       both,
	})
}
