package upgrade

import (
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// ReleasesDir has a directory per version with the binaries to come, and a
	// manifest.json {name: SHA-256} which is written last.
	ReleasesDir = host.StateDir + "/releases"
	// KeptDir has a directory per version with what was replaced.
	KeptDir = host.StateDir + "/kept"

	// ControlPlaneTimeout is what a control plane's upgrade may take. kubeadm waits up to
	// five minutes for each of three components, and takes back what did not come up. Its own etcd is a fourth:
	// it copies the data, and asks for up to 150 seconds after the exchange and again after each way back.
	ControlPlaneTimeout = 36 * time.Minute
	// KubeletTimeout is what a kubelet's upgrade may take, with the way back; RollbackTimeout
	// a rollback, SettleTimeout the end of what is not gone on with.
	KubeletTimeout  = changeTimeout + giveUpTimeout
	SettleTimeout   = 6 * time.Minute
	RollbackTimeout = 10 * time.Minute
)

// CheckSpec asks whether a host has all that its upgrade needs. The task reads only.
type CheckSpec struct {
	// Version to go to: v1.36.3.
	Version string `json:"version"`
	// RemoveFeatureGates says that KubeletSpec has it too.
	RemoveFeatureGates bool `json:"removeFeatureGates,omitempty"`
}

// CheckData is what was found.
type CheckData struct {
	// Binaries are those of the release that are whole: name to SHA-256.
	Binaries map[string]string `json:"binaries"`
	// Kubelet is the version of the kubelet that is installed.
	Kubelet string `json:"kubelet"`
	// ControlPlane is the version in the manifest of this host's apiserver; empty
	// on other nodes.
	ControlPlane string `json:"controlPlane,omitempty"`
	// Kept are the versions that the host can be rolled back to.
	Kept []string `json:"kept,omitempty"`
}

// ControlPlaneSpec brings the static pods of a control plane to a version, with
// the kubeadm of that version.
type ControlPlaneSpec struct {
	// Version to go to: v1.36.3.
	Version string `json:"version"`
	// First is true for the one control plane that goes first: kubeadm upgrade apply,
	// which also changes what is stored in the cluster. The others: kubeadm upgrade node.
	First bool `json:"first,omitempty"`
	// Config is kubeadm's UpgradeConfiguration, YAML (kubeadm.Upgrade). No secret.
	Config []byte `json:"config"`
	// Patches are kubeadm patch files by name.
	Patches map[string]string `json:"patches,omitempty"`
	// LocalEndpoint is https://address:port of this host's apiserver; the task
	// ends when it is ready.
	LocalEndpoint string `json:"localEndpoint"`
}

// KubeletSpec brings a node's kubelet, kubeadm and kubectl to a version.
type KubeletSpec struct {
	// Version to go to: v1.36.3.
	Version string `json:"version"`
	// ControlPlane is true on a control plane, whose static pods must be at the
	// version before.
	ControlPlane bool `json:"controlPlane,omitempty"`
	// Config is kubeadm's UpgradeConfiguration, YAML (kubeadm.Upgrade). No secret.
	Config []byte `json:"config"`
	// Patches are kubeadm patch files by name.
	Patches map[string]string `json:"patches,omitempty"`
	// RemoveFeatureGates takes the gates that the version has no more, or has locked to
	// another value, out of the kubelet's flags that kubeadm has written.
	RemoveFeatureGates bool `json:"removeFeatureGates,omitempty"`
}

// RollbackSpec puts back on a node what was kept of a version: the kubelet with
// its configuration, and on a control plane its static pods.
type RollbackSpec struct {
	// Version to go back to, one of CheckData's Kept.
	Version string `json:"version"`
	// LocalEndpoint is https://address:port of this host's apiserver, which the task
	// waits for; empty on nodes that are no control plane.
	LocalEndpoint string `json:"localEndpoint,omitempty"`
}

// Data is what a task did.
type Data struct {
	// From is the version that was there before; empty when Already.
	From string `json:"from,omitempty"`
	// Already is true when there was nothing to be done.
	Already bool `json:"already,omitempty"`
	// Resumed is true when the task went on from where an earlier run was cut off, and
	// Mended are the files that it put back for that.
	Resumed bool     `json:"resumed,omitempty"`
	Mended  []string `json:"mended,omitempty"`
	// KubeletRestarted tells whether the kubelet was restarted.
	KubeletRestarted bool `json:"kubeletRestarted,omitempty"`
}
