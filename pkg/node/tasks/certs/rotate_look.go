package certs

import (
	"bytes"
	"context"
	"errors"
	"io/fs"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// RotationLook tells how far a host is with a rotation. It changes nothing.
func RotationLook(_ context.Context, env node.Env, spec RotationLookSpec) (any, error) {
	a, h := spec.Authority, env.Host
	if err := a.checkHeld(); err != nil {
		return nil, err
	}
	var d RotationLookData
	var err error
	if d.Trusted, err = a.trusted(h); err != nil {
		return nil, err
	}
	held, err := a.held(h)
	if err != nil {
		return nil, err
	}
	for _, pair := range held {
		d.Held = append(d.Held, pair.CertPEM)
	}
	inUse, err := a.inUse(h)
	if err != nil && !errors.Is(err, errNoKey) {
		return nil, err
	}
	d.Signs = inUse.CertPEM
	if d.Stale, err = a.stale(h, d); err != nil {
		return nil, err
	}
	d.Others, err = a.others(h)
	return d, err
}

// others are the CAs of the other authorities that the host trusts, PEM; none for service accounts,
// which have keys only.
func (a Authority) others(h *host.Host) (map[Authority][]byte, error) {
	out := map[Authority][]byte{}
	for _, other := range Authorities() {
		if a == AuthorityServiceAccount || other == AuthorityServiceAccount || other == a {
			continue
		}
		trusted, err := other.trusted(h)
		if err != nil {
			return nil, err
		}
		if len(trusted) > 0 {
			out[other] = bytes.Join(trusted, nil)
		}
	}
	return out, nil
}

// trusted are those that the host trusts.
func (a Authority) trusted(h *host.Host) ([][]byte, error) {
	file, _ := a.files()
	raw, err := h.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return a.split(raw), err
}

// stale says what goes by another authority than the first that is trusted.
func (a Authority) stale(h *host.Host, d RotationLookData) ([]string, error) {
	if len(d.Trusted) == 0 {
		return nil, nil
	}
	if a == AuthorityServiceAccount {
		return staleTokens(h, d.Trusted[0])
	}
	signers := map[Authority]Signer{AuthorityKubernetes: SignerKubernetes, AuthorityFrontProxy: SignerFrontProxy}
	var out []string
	for _, u := range catalogue() {
		if u.signer != signers[a] {
			continue
		}
		now, err := u.current(h)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, other := range d.Trusted[1:] {
			if by, err := pki.SignedBy(now.CertPEM, other); err == nil && by {
				out = append(out, u.name)
			}
		}
	}
	return out, nil
}
