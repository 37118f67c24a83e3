package kubeadm

import (
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// EtcdPatience is how long kubeadm waits until a new member of its own etcd has all data, unless the Cluster
// says otherwise (timeouts.etcdAPICall). kubeadm's own two minutes are too short for a large database.
const EtcdPatience = 4 * time.Minute

// JoinParams are what `kubeadm join` needs besides the Cluster.
type JoinParams struct {
	// Host is the host that joins.
	Host v1alpha1.Host
	// Token is a bootstrap token that the cluster knows. Required.
	Token string
	// CACertHash is the cluster CA's fingerprint, "sha256:…", see pki.CertHash. Required.
	CACertHash string
	// Endpoint is the host:port to join through. Default the Cluster's Endpoint.
	Endpoint string
	// CertificateKey decrypts the uploaded certificates. Required by Promote.
	CertificateKey string
	// CRISocket is a URL. Default CRISocket.
	CRISocket string
	// PatchesDir is the directory with kubeadm's patch files on the host; empty for none.
	PatchesDir string
	// IgnorePreflightErrors are checks to ignore, besides the Cluster's own.
	IgnorePreflightErrors []string
}

// JoinWorker writes the JoinConfiguration with which a host joins as a plain
// node. A future control plane joins in the same way; unless it is a worker
// too it has the control plane's taint from its first moment, so that no
// workload lands there before its promotion.
func JoinWorker(c *v1alpha1.Cluster, p JoinParams) ([]byte, error) {
	doc, err := joinConfiguration(c, p, nil)
	if err != nil {
		return nil, fmt.Errorf("kubeadm join of %s: %w", p.Host.Name, err)
	}
	return documents(doc)
}

// Promote writes the JoinConfiguration for kubeadm's control-plane phases
// (control-plane-prepare, control-plane-join) on a node that has joined.
func Promote(c *v1alpha1.Cluster, p JoinParams) ([]byte, error) {
	if err := checkCertificateKey(p.CertificateKey); err != nil {
		return nil, fmt.Errorf("promote %s: %w", p.Host.Name, err)
	}
	if !p.Host.Has(v1alpha1.RoleControlPlane) {
		return nil, fmt.Errorf("promote %s: it has not the role %s", p.Host.Name, v1alpha1.RoleControlPlane)
	}
	doc, err := joinConfiguration(c, p, object{"controlPlane": object{
		"localAPIEndpoint": localAPIEndpoint(c, p.Host),
		"certificateKey":   p.CertificateKey,
	}})
	if err != nil {
		return nil, fmt.Errorf("promote %s: %w", p.Host.Name, err)
	}
	return documents(doc)
}

func joinConfiguration(c *v1alpha1.Cluster, p JoinParams, more object) (object, error) {
	if err := checkToken(p.Token); err != nil {
		return nil, err
	}
	if err := checkCACertHash(p.CACertHash); err != nil {
		return nil, err
	}
	if p.Endpoint == "" {
		p.Endpoint = c.Endpoint()
	}
	defaults, fixed := nodeRegistration(c, p.Host, p.CRISocket, p.IgnorePreflightErrors)
	ours := object{
		"apiVersion":       APIVersion,
		"kind":             "JoinConfiguration",
		"nodeRegistration": fixed,
		"discovery": object{"bootstrapToken": object{
			"apiServerEndpoint": p.Endpoint,
			"token":             p.Token,
			"caCertHashes":      []any{p.CACertHash},
		}},
	}
	if p.PatchesDir != "" {
		ours["patches"] = object{"directory": p.PatchesDir}
	}
	under := object{"nodeRegistration": defaults}
	if c.Stacked() && more != nil {
		under["timeouts"] = object{"etcdAPICall": EtcdPatience.String()}
	}
	return layers("spec.kubeadm.joinConfiguration", under, c.Spec.Kubeadm.JoinConfiguration, ours, more)
}
