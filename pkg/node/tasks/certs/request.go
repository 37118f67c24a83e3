package certs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// The files of a unit below StateDir: the key that waits for its certificate, the certificate
// that it is to follow, and what was in use before.
func (u unit) pendingKey() string     { return path.Join(StateDir, u.name, "pending.key") }
func (u unit) pendingFor() string     { return path.Join(StateDir, u.name, "pending-for.crt") }
func (u unit) former(n string) string { return path.Join(StateDir, u.name, "former."+n) }

// current is what is in use.
func (u unit) current(h *host.Host) (pki.KeyPair, error) {
	raw, err := h.ReadFile(u.cert)
	if err != nil {
		return pki.KeyPair{}, err
	}
	if u.kubeconfig() {
		l, err := readLogin(raw)
		if err == nil && len(l.cert) == 0 {
			err = errors.New("the kubeconfig has no certificate inside")
		}
		if err != nil {
			return pki.KeyPair{}, fmt.Errorf("%s: %w", u.cert, err)
		}
		return pki.KeyPair{CertPEM: l.cert, KeyPEM: l.key}, nil
	}
	key, err := h.ReadFile(u.key)
	if errors.Is(err, fs.ErrNotExist) {
		return pki.KeyPair{CertPEM: raw}, nil // A lost key is no obstacle: there will be another.
	}
	return pki.KeyPair{CertPEM: raw, KeyPEM: key}, err
}

// Request makes keys for the successors of certificates, and keeps them aside. Asked again it
// returns the same, until the successor is in its place: whoever was interrupted can go on with
// what was signed already. What is not on the host is left out.
func Request(ctx context.Context, env node.Env, spec RequestSpec) (any, error) {
	units, err := named(spec.Names)
	if err != nil {
		return nil, err
	}
	data := RequestData{Pending: map[string]Pending{}}
	for _, u := range units {
		pair, err := u.current(env.Host)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return data, fmt.Errorf("the certificate %s: %w", u.name, err)
		}
		key, err := u.waitingKey(ctx, env.Host, pair.CertPEM)
		if err != nil {
			return data, fmt.Errorf("the certificate %s: %w", u.name, err)
		}
		request, err := pki.RenewalRequest(pair.CertPEM, key)
		if err != nil {
			return data, fmt.Errorf("the certificate %s: %w", u.name, err)
		}
		data.Pending[u.name] = Pending{Current: firstPEM(pair.CertPEM), Request: request}
	}
	return data, nil
}

// waitingKey is the key that waits for the successor of a certificate, made when there is none.
func (u unit) waitingKey(ctx context.Context, h *host.Host, certPEM []byte) ([]byte, error) {
	key, err := h.ReadFile(u.pendingKey())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	old, err := h.ReadFile(u.pendingFor())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(key) > 0 && bytes.Equal(old, certPEM) {
		if _, err := pki.ParseKey(key); err == nil {
			return key, nil
		}
	}
	if key, err = pki.NewKeyLike(certPEM); err != nil {
		return nil, err
	}
	_, err = h.WriteTogether(ctx,
		host.File{Path: u.pendingKey(), Mode: 0o600, Content: key, Note: "key of the next certificate " + u.name},
		host.File{Path: u.pendingFor(), Mode: 0o600, Content: certPEM, Note: "the certificate " + u.name + " that the next one follows"})
	return key, err
}

// firstPEM is the certificate alone: the file may have a key too.
func firstPEM(certPEM []byte) []byte {
	cert, err := pki.ParseCert(certPEM)
	if err != nil {
		return nil
	}
	return pki.EncodeCert(cert)
}
