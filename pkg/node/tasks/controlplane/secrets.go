package controlplane

import (
	"context"
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
)

// UploadCerts puts this control plane's certificates into the cluster,
// encrypted with the certificate key, for others to be promoted. kubeadm keeps
// them there for two hours.
func UploadCerts(ctx context.Context, env node.Env, spec UploadCertsSpec) (any, error) {
	args := append([]string{"init", "phase", "upload-certs", "--upload-certs", "--skip-certificate-key-print"}, fromStdin...)
	return nil, kubeadm(ctx, env, "kubeadm init phase upload-certs", spec.Config, args...)
}

// AdminKubeconfig reads the admin's kubeconfig, a secret. It changes nothing.
func AdminKubeconfig(_ context.Context, env node.Env, _ struct{}) (any, error) {
	raw, err := env.Host.ReadFile(adminConf)
	if err != nil {
		return nil, fmt.Errorf("the admin's kubeconfig: %w", err)
	}
	return KubeconfigData{Kubeconfig: raw}, nil
}
