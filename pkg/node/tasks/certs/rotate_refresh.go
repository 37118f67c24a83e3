package certs

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/certificate/csr"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const (
	kubeletPods = "/var/lib/kubelet/pods"
	// signedTimeout bounds the wait for the cluster to sign a kubelet's certificate.
	signedTimeout = 2 * time.Minute
	// tokensTimeout bounds the wait for a kubelet to bind the tokens of all of its pods anew.
	tokensTimeout = 4 * time.Minute

	kubeletServer = "kubelet-server"
)

// Refresh has a node get anew what the cluster signs for it, once every control plane node signs
// with the new authority: its kubelet's certificates, or its pods' tokens.
func Refresh(ctx context.Context, env node.Env, spec RotationSpec) (any, error) {
	return refresh(ctx, env, spec, onHost())
}

func refresh(ctx context.Context, env node.Env, spec RotationSpec, d deps) (any, error) {
	r, err := begin(env, spec, d)
	if err != nil {
		return nil, err
	}
	switch r.Authority {
	case AuthorityKubernetes:
		err = r.kubeletCertificates(ctx)
	case AuthorityServiceAccount:
		err = r.tokens(ctx)
	}
	return r.data, err
}

// kubeletCertificates has the kubelet's client certificate, and its serving certificate where
// the cluster has signed that, signed by To. The kubelet asks for others only near their end.
func (r *rotation) kubeletCertificates(ctx context.Context) error {
	server := unit{name: kubeletServer, cert: kubeletPKI + "/kubelet-server-current.pem", key: kubeletPKI + "/kubelet-server-current.pem", signer: SignerKubernetes, restarts: []string{kubeletProgram}}
	client, err := named([]string{Kubelet})
	if err != nil {
		return err
	}
	var all []fresh
	for _, u := range []unit{server, client[0]} {
		now, err := u.current(r.h)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("the certificate %s: %w", u.name, err)
		}
		if done, err := pki.SignedBy(now.CertPEM, r.To); err != nil || done {
			if err != nil {
				return fmt.Errorf("the certificate %s: %w", u.name, err)
			}
			continue
		}
		if former, err := pki.SignedBy(now.CertPEM, r.From); err != nil || !former {
			continue // A serving certificate that the kubelet has made itself, or somebody else's.
		}
		f, err := r.signedByCluster(ctx, u, now)
		if err != nil {
			return fmt.Errorf("the certificate %s: %w", u.name, err)
		}
		all = append(all, f)
	}
	return r.exchange(ctx, all)
}

// signedByCluster asks the cluster for a unit's successor, as the kubelet itself.
func (r *rotation) signedByCluster(ctx context.Context, u unit, now pki.KeyPair) (fresh, error) {
	keyPEM, err := u.waitingKey(ctx, r.h, now.CertPEM)
	if err != nil {
		return fresh{}, err
	}
	request, err := pki.RenewalRequest(now.CertPEM, keyPEM)
	if err != nil {
		return fresh{}, err
	}
	signer, usage := certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.UsageClientAuth
	if u.name == kubeletServer {
		signer, usage = certificatesv1.KubeletServingSignerName, certificatesv1.UsageServerAuth
	}
	var cert []byte
	err = host.Until(ctx, signedTimeout, settleInterval, func(ctx context.Context) error {
		cert, err = r.deps.certify(ctx, r.env, request, keyPEM, signer, []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, usage})
		if err != nil {
			return err
		}
		// A controller-manager that has not read its files yet may have been the one that signs.
		if ok, err := pki.SignedBy(cert, r.To); err != nil || !ok {
			return errors.Join(errors.New("the cluster has signed it with another CA than the new one"), err)
		}
		return nil
	}, func(seen error) error {
		return host.WithHint(fmt.Errorf("the cluster does not sign it within %v: %w", signedTimeout, seen),
			"look at kubectl get csr; a serving certificate is approved by the addon kubelet-certificates, or by whoever did so before")
	})
	if err != nil {
		return fresh{}, err
	}
	f := fresh{unit: u, pair: pki.KeyPair{CertPEM: cert, KeyPEM: keyPEM}}
	return f, f.check(r.h, now.CertPEM)
}

// certify asks the API for a certificate by the kubelet's own login.
func certify(ctx context.Context, env node.Env, request, keyPEM []byte, signer string, usages []certificatesv1.KeyUsage) ([]byte, error) {
	raw, err := env.Host.ReadFile(kubeletConf)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(raw)
	if err != nil {
		return nil, errKubeconfig
	}
	config.CertFile, config.KeyFile = env.Host.Path(config.CertFile), env.Host.Path(config.KeyFile)
	kube, err := kubernetes.NewForConfig(rest.AddUserAgent(config, "kubectl-ha"))
	if err != nil {
		return nil, err
	}
	key, err := pki.ParseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, signedTimeout/4)
	defer cancel()
	name, uid, err := csr.RequestCertificateWithContext(ctx, kube, request, "", signer, nil, usages, key)
	if err != nil {
		return nil, err
	}
	return csr.WaitForCertificate(ctx, kube, name, uid)
}

// tokens has the kubelet bind the tokens of its pods anew, which it does when it is restarted:
// it knows tokens by memory only. It waits until every one on the node is signed by To.
func (r *rotation) tokens(ctx context.Context) error {
	stale, err := staleTokens(r.h, r.To)
	if err != nil || len(stale) == 0 {
		return err
	}
	r.env.Progress("restarting the kubelet, so that it binds the tokens of %d pods anew", len(stale))
	if _, err := r.h.EnsureUnit(ctx, kubeletUnit, true); err != nil {
		return err
	}
	r.data.Restarted = append(r.data.Restarted, kubeletProgram)
	if err := r.well(ctx, kubeletProgram); err != nil {
		return err
	}
	return host.Until(ctx, tokensTimeout, settleInterval, func(context.Context) error {
		stale, err := staleTokens(r.h, r.To)
		if err != nil || len(stale) == 0 {
			return err
		}
		r.env.Progress("%d pods still have a token that the former key has signed", len(stale))
		return fmt.Errorf("the former key has signed the tokens of the pods with these UIDs: %s", strings.Join(stale, ", "))
	}, func(seen error) error {
		return host.WithHint(fmt.Errorf("not every pod of this node has a new token within %v: %w", tokensTimeout, seen), "look at journalctl -u kubelet on the host, then resume; pods that are being removed get none")
	})
}

// staleTokens are the pods, by their UIDs, that have a token of a service account mounted that
// another key than To has signed. A token names its key: RFC 7515, 4.1.4, "kid"; Kubernetes'
// is the SHA-256 of the public key's DER in base64url
// (https://github.com/kubernetes/kubernetes/blob/master/pkg/serviceaccount/jwt.go).
func staleTokens(h *host.Host, to []byte) ([]string, error) {
	want := KeyID(to)
	pods, err := h.ReadDir(kubeletPods)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, pod := range pods {
		dir := path.Join(kubeletPods, pod.Name(), "volumes", "kubernetes.io~projected")
		volumes, err := h.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // It has none, or is gone.
		}
		if err != nil {
			return nil, err
		}
		for _, v := range volumes {
			for _, kid := range tokenKeys(h, path.Join(dir, v.Name())) {
				if kid != want && !slices.Contains(out, pod.Name()) {
					out = append(out, pod.Name())
				}
			}
		}
	}
	return out, nil
}

// tokenKeys are the key IDs of the tokens in a projected volume. A token's path in it is the
// pod's choice.
func tokenKeys(h *host.Host, volume string) []string {
	entries, err := h.ReadDir(path.Join(volume, "..data"))
	if err != nil {
		return nil // It is being made, or removed.
	}
	var out []string
	for _, e := range entries {
		raw, err := h.ReadFile(path.Join(volume, "..data", e.Name()))
		if err != nil {
			continue // A folder, or gone.
		}
		if kid := TokenKey(string(raw)); kid != "" {
			out = append(out, kid)
		}
	}
	return out
}

// TokenKey is the ID of the key that has signed a token; empty for what is no token of a service account.
func TokenKey(token string) string {
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return ""
	}
	var header struct {
		KeyID string `json:"kid"`
	}
	if json.Unmarshal(raw, &header) != nil {
		return ""
	}
	return header.KeyID
}

// KeyID is what tokens call a key that is given as PEM.
func KeyID(public []byte) string {
	block, _ := pem.Decode(public)
	if block == nil {
		return ""
	}
	sum := sha256.Sum256(block.Bytes)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
