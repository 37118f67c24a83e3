package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// UploadCerts puts this control plane's certificates into the cluster,
// encrypted with the certificate key, for others to be promoted. kubeadm keeps
// them there for two hours.
//
// kubeadm uploads an empty value for a file of etcd's that is not there, and ends well;
// the host that joins then lacks it. So all of them are looked for before.
func UploadCerts(ctx context.Context, env node.Env, spec UploadCertsSpec) (any, error) {
	if err := uploadable(env.Host, spec.Stacked); err != nil {
		return nil, err
	}
	args := append([]string{"init", "phase", "upload-certs", "--upload-certs", "--skip-certificate-key-print"}, fromStdin...)
	return nil, kubeadm(ctx, env, "kubeadm init phase upload-certs", spec.Config, args...)
}

// sharedFiles are those that kubeadm uploads: with external etcd the login to it, with its own the CA.
// https://github.com/kubernetes/kubernetes/blob/v1.36.3/cmd/kubeadm/app/phases/copycerts/copycerts.go
func sharedFiles(stacked bool) []string {
	out := []string{caCert, pkiDir + "/ca.key", pkiDir + "/front-proxy-ca.crt", pkiDir + "/front-proxy-ca.key",
		pkiDir + "/sa.key", pkiDir + "/sa.pub", etcdCA}
	if stacked {
		return append(out, pkiDir+"/etcd/ca.key")
	}
	return append(out, etcdClientCert, etcdClientKey)
}

// uploadable finds a file that is to be uploaded and is not there, or is empty.
func uploadable(h *host.Host, stacked bool) error {
	for _, path := range sharedFiles(stacked) {
		raw, err := h.ReadFile(path)
		if err == nil && len(bytes.TrimSpace(raw)) == 0 {
			err = errors.New("it is empty")
		}
		if err == nil {
			continue
		}
		hint := "copy it from another control plane, or from this host's backup (docs/disaster-recovery.md), and run the command again"
		return host.WithHint(fmt.Errorf("this control plane's certificates can't be given to others: %s: %w", path, err), hint)
	}
	if stacked {
		return nil // Every control plane's login is its own.
	}
	return fresh(h, time.Now())
}

// fresh refuses to give others a login to etcd in the second half of its life: it would end on
// all hosts at once, on the new one soon after that was made.
func fresh(h *host.Host, now time.Time) error {
	raw, err := h.ReadFile(etcdClientCert)
	if err != nil {
		return err
	}
	cert, err := pki.ParseCert(raw)
	if err != nil || !pki.Due(cert, now) {
		return nil //nolint:nilerr // What is in the files is kubeadm's to judge.
	}
	return host.WithHint(fmt.Errorf("this control plane's login to etcd is not given to others: it ends at %s, and less than half of its life is left", cert.NotAfter.UTC().Format(time.RFC3339)),
		"renew it first, and run the command again: kubectl ha certs renew; one that somebody else has signed is theirs to sign anew")
}

// AdminKubeconfig reads the admin's kubeconfig, a secret. It changes nothing.
func AdminKubeconfig(_ context.Context, env node.Env, _ struct{}) (any, error) {
	raw, err := env.Host.ReadFile(adminConf)
	if err != nil {
		return nil, fmt.Errorf("the admin's kubeconfig: %w", err)
	}
	return KubeconfigData{Kubeconfig: raw}, nil
}
