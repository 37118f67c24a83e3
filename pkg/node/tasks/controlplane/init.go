package controlplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const (
	localReady   = 3 * time.Minute
	virtualReady = time.Minute
)

// Init makes the first control plane by kubeadm init, and ends when the API
// answers at the virtual IP. What it did before is not done again.
func Init(ctx context.Context, env node.Env, spec InitSpec) (any, error) {
	h := env.Host
	finished, err := workInit.once(h, func() error { return initialise(ctx, env, spec) })
	if err != nil {
		return nil, err
	}
	if h.DryRun() && !finished {
		return InitData{}, nil
	}
	if err := WaitLocal(ctx, env, spec.LocalEndpoint); err != nil {
		return nil, err
	}
	// kubeadm's local mode does it by itself since 1.33.
	if _, err := pointKubelet(ctx, h, spec.LocalEndpoint); err != nil {
		return nil, err
	}
	if err := audit(h, spec.LocalEndpoint, spec.VirtualEndpoint); err != nil {
		return nil, err
	}
	if err := waitVirtual(ctx, env, spec.VirtualEndpoint); err != nil {
		return nil, err
	}
	hash, err := caCertHash(h)
	return InitData{CACertHash: hash}, err
}

// initialise runs kubeadm init, for the first time or to end what was begun.
func initialise(ctx context.Context, env node.Env, spec InitSpec) error {
	h := env.Host
	begun, err := workInit.start(ctx, h, append(controlPlaneFiles(spec.Stacked != nil), kubeletFiles...), caCert, apiserverManifest, adminConf, kubeletConf, bootstrapConf)
	if err != nil {
		return err
	}
	if err := WaitOther(ctx, env); err != nil {
		return err
	}
	if err := tidy(ctx, h, true, spec.Stacked != nil); err != nil {
		return err
	}
	if err := spec.write(ctx, h); err != nil {
		return err
	}
	var ignore []string
	if begun {
		if ignore, err = ownInitRemains(ctx, h, spec.LocalEndpoint); err != nil {
			return err
		}
	}
	if spec.Stacked != nil {
		more, err := ownEtcd(ctx, h, *spec.Stacked, begun)
		if err != nil {
			return err
		}
		ignore = append(ignore, more...)
	}
	args := append([]string{"init"}, fromStdin...)
	// Neither the token nor the certificate key may get into the output.
	args = append(args, "--skip-certificate-key-print", "--skip-token-print")
	if bytes.Contains(spec.Config, []byte("certificateKey:")) {
		// Without a key of the caller's nobody could read what was uploaded.
		args = append(args, "--upload-certs")
	}
	if err := kubeadm(ctx, env, "kubeadm init", spec.Config, ignoring(args, ignore)...); err != nil {
		return err
	}
	return workInit.finish(ctx, h)
}

// write puts the files there that kubeadm reads.
func (spec InitSpec) write(ctx context.Context, h *host.Host) error {
	if err := writePatches(ctx, h, spec.Patches); err != nil {
		return err
	}
	if err := spec.writeEtcd(ctx, h); err != nil {
		return err
	}
	if err := writeAuthority(ctx, h, caCert, pkiDir+"/ca.key", spec.CA, spec.CAKey); err != nil {
		return err
	}
	return writeAuthority(ctx, h, pkiDir+"/front-proxy-ca.crt", pkiDir+"/front-proxy-ca.key", spec.FrontProxyCA, spec.FrontProxyCAKey)
}

// writeEtcd puts there what is for etcd: the apiserver's login to an external one, or the user's own CA
// for kubeadm's own.
func (spec InitSpec) writeEtcd(ctx context.Context, h *host.Host) error {
	if spec.Stacked != nil {
		return writeAuthority(ctx, h, etcdCA, pkiDir+"/etcd/ca.key", spec.EtcdCA, spec.EtcdCAKey)
	}
	for _, f := range []host.File{
		{Path: etcdCA, Mode: 0o644, Content: spec.EtcdCA, Note: "etcd's CA certificate, for the apiserver"},
		{Path: etcdClientCert, Mode: 0o644, Content: spec.EtcdCert, Note: "the apiserver's client certificate for etcd"},
		{Path: etcdClientKey, Mode: 0o600, Content: spec.EtcdKey, Note: "the apiserver's client key for etcd"},
	} {
		if len(f.Content) == 0 {
			return fmt.Errorf("kubeadm init: %s is missing", f.Note)
		}
		if _, err := h.WriteFile(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// writeAuthority puts a CA of the user's own where kubeadm looks for one before it makes one. What is there
// already may be in use, and is not replaced.
// https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#custom-certificates
func writeAuthority(ctx context.Context, h *host.Host, certFile, keyFile string, cert, key []byte) error {
	if len(cert) == 0 && len(key) == 0 {
		return nil
	}
	if !pki.Holds(key, cert) || len(pki.Certs(cert)) != 1 {
		return fmt.Errorf("kubeadm init: the CA for %s and its key do not belong together", certFile)
	}
	switch there, err := h.ReadFile(certFile); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !pki.Same(there, cert):
		return host.WithHint(fmt.Errorf("%s is another CA than the one in spec.pki, and may be in use", certFile),
			"remove it from spec.pki; the CA of a cluster that runs is replaced by kubectl ha certs rotate-ca")
	}
	// The key first, as kubeadm does: what an interruption leaves is put away then (mend).
	_, err := h.WriteTogether(ctx, host.File{Path: keyFile, Mode: 0o600, Content: key, Note: "the key of a CA of your own"},
		host.File{Path: certFile, Mode: 0o644, Content: cert, Note: "a CA of your own"})
	return err
}

// ownInitRemains lists the preflight checks that fail for what our own
// unfinished run of kubeadm init left, and no others.
func ownInitRemains(ctx context.Context, h *host.Host, localEndpoint string) ([]string, error) {
	u, err := url.Parse(localEndpoint)
	if err != nil || u.Port() == "" {
		return nil, fmt.Errorf("kubeadm init: %q is not the URL of an apiserver", localEndpoint)
	}
	ports := map[string]string{u.Port(): apiserverManifest}
	for port, manifest := range controlPlanePorts {
		ports[port] = manifest
	}
	var checks []string
	for port, manifest := range ports {
		there, err := h.Exists(manifest)
		if err != nil {
			return nil, err
		}
		if there {
			checks = append(checks, availableCheck(manifest), "Port-"+port)
		}
	}
	kubelet, err := h.Unit(ctx, kubeletUnit)
	if err != nil {
		return nil, err
	}
	if kubelet.Active() {
		checks = append(checks, "Port-10250")
	}
	slices.Sort(checks)
	return checks, nil
}

// caCertHash is the pin of the cluster's CA for discovery: the SHA-256 of its
// public key (kubeadm join --discovery-token-ca-cert-hash).
func caCertHash(h *host.Host) (string, error) {
	raw, err := h.ReadFile(caCert)
	if err != nil {
		return "", fmt.Errorf("the cluster's CA: %w", err)
	}
	cert, err := firstCertificate(raw)
	if err != nil {
		return "", fmt.Errorf("the cluster's CA %s: %w", caCert, err)
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}
