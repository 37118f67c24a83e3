package controlplane

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// bootstrapped tells whether the kubelet has credentials of its own: a
// kubeconfig with a client certificate that is valid now. The kubelet writes
// the kubeconfig before it gets the certificate. why says what is missing.
func bootstrapped(h *host.Host, now time.Time) (ok bool, why string, err error) {
	raw, err := h.ReadFile(kubeletConf)
	if errors.Is(err, fs.ErrNotExist) {
		return false, kubeletConf + " is missing", nil
	}
	if err != nil {
		return false, "", err
	}
	c, err := clientcmd.Load(raw)
	if err != nil || c.Contexts[c.CurrentContext] == nil || c.AuthInfos[c.Contexts[c.CurrentContext].AuthInfo] == nil {
		return false, kubeletConf + " can't be read", nil
	}
	user := c.AuthInfos[c.Contexts[c.CurrentContext].AuthInfo]
	certificate := user.ClientCertificateData
	if user.ClientCertificate != "" {
		if certificate, err = h.ReadFile(user.ClientCertificate); errors.Is(err, fs.ErrNotExist) {
			return false, "the kubelet has no client certificate", nil
		} else if err != nil {
			return false, "", err
		}
	}
	cert, err := firstCertificate(certificate)
	if err != nil {
		return false, "the kubelet's client certificate can't be read", nil
	}
	if now.After(cert.NotAfter) {
		return false, "the kubelet's client certificate expired on " + cert.NotAfter.Format(time.DateTime), nil
	}
	return true, "", nil
}

// firstCertificate finds the certificate in PEM that may hold a key too.
func firstCertificate(raw []byte) (*x509.Certificate, error) {
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			return nil, errors.New("there is no certificate")
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
}

// pointKubelet makes the kubelet use an endpoint. A control plane's kubelet
// belongs to its own apiserver: through the virtual IP a new kubelet would meet
// an old apiserver during an upgrade (kubernetes#127316).
func pointKubelet(ctx context.Context, h *host.Host, endpoint string) (changed bool, err error) {
	raw, err := h.ReadFile(kubeletConf)
	if errors.Is(err, fs.ErrNotExist) && h.DryRun() {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	content, before, err := kubeconfig.SetServer(raw, endpoint)
	if err != nil {
		return false, fmt.Errorf("%s: %w", kubeletConf, err)
	}
	if before != endpoint {
		if changed, err = h.WriteFile(ctx, host.File{Path: kubeletConf, Mode: 0o600, Content: content, Note: "the kubelet uses its own apiserver"}); err != nil {
			return false, err
		}
	}
	u, err := h.Unit(ctx, kubeletUnit)
	if err != nil {
		return changed, err
	}
	restarted, err := h.EnsureUnit(ctx, kubeletUnit, changed || h.Stale(u, kubeletConf))
	return changed || restarted, err
}

// audit checks that no kubeconfig of a control plane points at another one's
// apiserver (kubeadm#905, kubeadm#1955): only at its own or at the endpoint that
// all share.
func audit(h *host.Host, allowed ...string) error {
	for _, path := range kubeconfigs {
		raw, err := h.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		c, err := clientcmd.Load(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, name := range sortedKeys(c.Clusters) {
			if server := c.Clusters[name].Server; !slices.Contains(allowed, server) {
				return host.WithHint(fmt.Errorf("%s points at %s, which is neither this host's apiserver nor the virtual IP %v", path, server, allowed),
					"set its server to one of the two, and restart what uses it")
			}
		}
	}
	return nil
}

// discoveryEndpoint is the endpoint in a JoinConfiguration, as a URL.
func discoveryEndpoint(config []byte) (string, error) {
	var c struct {
		Discovery struct {
			BootstrapToken struct {
				APIServerEndpoint string `json:"apiServerEndpoint"`
			} `json:"bootstrapToken"`
		} `json:"discovery"`
	}
	if err := yaml.Unmarshal(config, &c); err != nil {
		// The error may quote the document, which holds a token.
		return "", errors.New("kubeadm's configuration can't be read")
	}
	if c.Discovery.BootstrapToken.APIServerEndpoint == "" {
		return "", errors.New("kubeadm's configuration has no discovery.bootstrapToken.apiServerEndpoint")
	}
	return "https://" + c.Discovery.BootstrapToken.APIServerEndpoint, nil
}
