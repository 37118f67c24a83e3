package kubeadm

import (
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// DefaultTokenTTL is how long the bootstrap token of Init lives: long enough for
// all hosts to join, and no longer. Whoever resumes later makes a new one.
const DefaultTokenTTL = time.Hour

// InitParams are what `kubeadm init` needs besides the Cluster.
type InitParams struct {
	// Host is the control plane it runs on.
	Host v1alpha1.Host
	// Token is the bootstrap token to make, see NewToken. Required.
	Token string
	// TokenTTL is the token's life. Default DefaultTokenTTL.
	TokenTTL time.Duration
	// CertificateKey, see NewCertificateKey, encrypts the uploaded certificates;
	// empty when init uploads none.
	CertificateKey string
	// CRISocket is a URL. Default CRISocket.
	CRISocket string
	// PatchesDir is the directory with kubeadm's patch files on the host; empty for none.
	PatchesDir string
	// IgnorePreflightErrors are checks to ignore, besides the Cluster's own.
	IgnorePreflightErrors []string
	// APIPatience is how long kubeadm asks an API server that does not answer, unless
	// the Cluster says otherwise (timeouts.kubernetesAPICall). Zero: kubeadm's own
	// default, a minute.
	APIPatience time.Duration
}

// Init writes the configuration of `kubeadm init` on the first control plane:
// InitConfiguration, ClusterConfiguration, KubeletConfiguration and
// KubeProxyConfiguration. The Cluster has its defaults set and is valid.
func Init(c *v1alpha1.Cluster, p InitParams) ([]byte, error) {
	if err := checkToken(p.Token); err != nil {
		return nil, fmt.Errorf("kubeadm init on %s: %w", p.Host.Name, err)
	}
	if p.TokenTTL == 0 {
		p.TokenTTL = DefaultTokenTTL
	}
	init, err := initConfiguration(c, p, object{
		"bootstrapTokens": []any{object{
			"token":       p.Token,
			"ttl":         p.TokenTTL.String(),
			"description": "kubectl ha bootstrap",
			"usages":      []any{"signing", "authentication"},
			"groups":      []any{"system:bootstrappers:kubeadm:default-node-token"},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("kubeadm init on %s: %w", p.Host.Name, err)
	}
	docs := []object{init}
	for _, part := range []func(*v1alpha1.Cluster) (object, error){
		clusterConfiguration, kubeletConfiguration, kubeProxyConfiguration,
	} {
		doc, err := part(c)
		if err != nil {
			return nil, fmt.Errorf("kubeadm init on %s: %w", p.Host.Name, err)
		}
		docs = append(docs, doc)
	}
	return documents(docs...)
}

// uploadPatience is how long kubeadm's upload of the certificates asks an API server
// that does not answer. kubeadm's own minute is too short beside an etcd member that
// leaves or takes up its data: the upload only writes, and the same again.
const uploadPatience = 3 * time.Minute

// UploadCerts writes the configuration of `kubeadm init phase upload-certs
// --upload-certs`, to be run on the control plane h. It has the
// ClusterConfiguration too: without that kubeadm would take etcd for its own
// and leave out the files for the external one.
//
// From 1.36 on kubeadm asks the API server at localAPIEndpoint, and not the one in
// admin.conf (kubeadm's PointKubeConfigToLocalAPIEndpoint), so that h has to be the host
// where it runs: any other may have no API server yet, or no more.
func UploadCerts(c *v1alpha1.Cluster, h v1alpha1.Host, certificateKey string) ([]byte, error) {
	if certificateKey == "" {
		return nil, fmt.Errorf("kubeadm upload-certs: the certificate key is missing")
	}
	init, err := initConfiguration(c, InitParams{Host: h, CertificateKey: certificateKey, APIPatience: uploadPatience}, nil)
	if err != nil {
		return nil, fmt.Errorf("kubeadm upload-certs: %w", err)
	}
	cluster, err := clusterConfiguration(c)
	if err != nil {
		return nil, fmt.Errorf("kubeadm upload-certs: %w", err)
	}
	return documents(init, cluster)
}

func initConfiguration(c *v1alpha1.Cluster, p InitParams, more object) (object, error) {
	defaults, fixed := nodeRegistration(c, p.Host, p.CRISocket, p.IgnorePreflightErrors)
	ours := object{
		"apiVersion":       APIVersion,
		"kind":             "InitConfiguration",
		"nodeRegistration": fixed,
		"localAPIEndpoint": localAPIEndpoint(c, p.Host),
	}
	if p.CertificateKey != "" {
		if err := checkCertificateKey(p.CertificateKey); err != nil {
			return nil, err
		}
		ours["certificateKey"] = p.CertificateKey
	}
	if p.PatchesDir != "" {
		ours["patches"] = object{"directory": p.PatchesDir}
	}
	under := object{"nodeRegistration": defaults}
	if p.APIPatience > 0 {
		under["timeouts"] = object{"kubernetesAPICall": p.APIPatience.String()}
	}
	return layers("spec.kubeadm.initConfiguration", under, c.Spec.Kubeadm.InitConfiguration, ours, more)
}
