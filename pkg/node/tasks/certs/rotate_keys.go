package certs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// files are where an authority is on a host: what is trusted, and the key that is in use.
func (a Authority) files() (trust, key string) {
	switch a {
	case AuthorityKubernetes:
		return SignerKubernetes.ca()
	case AuthorityFrontProxy:
		return SignerFrontProxy.ca()
	case AuthorityServiceAccount:
		return pkiDir + "/sa.pub", pkiDir + "/sa.key"
	case AuthorityEtcd:
		return localEtcdDir + "/ca.crt", ""
	}
	return "", ""
}

// split are the certificates or public keys of a file, one by one.
func (a Authority) split(content []byte) [][]byte {
	if a == AuthorityServiceAccount {
		return pki.PublicKeys(content)
	}
	return pki.Certs(content)
}

// dir has the keys of a rotation: both authorities' for as long as there are two, and the one
// that keys are encrypted to for this host.
func (a Authority) dir() string { return path.Join(StateDir, "rotation", string(a)) }

func (a Authority) kept(id, ext string) string { return path.Join(a.dir(), id+ext) }

const (
	publicExt  = ".pub"
	privateExt = ".key"
)

func (a Authority) identityFile() string { return path.Join(a.dir(), "recipient") }

// identity is the key that others encrypt to for this host, created at the first call.
func (a Authority) identity(ctx context.Context, h *host.Host, create bool) (*age.X25519Identity, error) {
	raw, err := h.ReadFile(a.identityFile())
	if err == nil {
		id, err := age.ParseX25519Identity(strings.TrimSpace(string(raw)))
		if err != nil {
			return nil, errors.New("the key that other hosts encrypt to can't be read") // The error may quote it.
		}
		return id, nil
	}
	if !errors.Is(err, fs.ErrNotExist) || !create {
		return nil, fmt.Errorf("the key that other hosts encrypt to: %w", err)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	_, err = h.WriteFile(ctx, host.File{Path: a.identityFile(), Mode: 0o600, Content: []byte(id.String() + "\n"), Note: "the key that a CA's key is encrypted to for this host"})
	return id, err
}

// held are the authorities whose private keys this host has, by their IDs.
func (a Authority) held(h *host.Host) (map[string]pki.KeyPair, error) {
	out := map[string]pki.KeyPair{}
	entries, err := h.ReadDir(a.dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), publicExt)
		if !ok {
			continue
		}
		public, errPublic := h.ReadFile(a.kept(id, publicExt))
		private, errPrivate := h.ReadFile(a.kept(id, privateExt))
		if err := errors.Join(errPublic, errPrivate); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if pki.Holds(private, public) {
			out[id] = pki.KeyPair{CertPEM: public, KeyPEM: private}
		}
	}
	inUse, err := a.inUse(h)
	if err == nil {
		out[pki.ID(inUse.CertPEM)] = inUse
	}
	return out, nil
}

// errNoKey says that no private key is in use on this host.
var errNoKey = errors.New("its private key is not on this host")

// inUse is the authority that signs on this host.
func (a Authority) inUse(h *host.Host) (pki.KeyPair, error) {
	trust, key := a.files()
	private, err := h.ReadFile(key)
	if errors.Is(err, fs.ErrNotExist) {
		return pki.KeyPair{}, errNoKey
	}
	if err != nil {
		return pki.KeyPair{}, err
	}
	trusted, err := h.ReadFile(trust)
	if err != nil {
		return pki.KeyPair{}, err
	}
	all := a.split(trusted)
	at := slices.IndexFunc(all, func(p []byte) bool { return pki.Holds(private, p) })
	if at < 0 {
		return pki.KeyPair{}, fmt.Errorf("%s belongs to none of those in %s", key, trust)
	}
	return pki.KeyPair{CertPEM: all[at], KeyPEM: private}, nil
}

// keep puts an authority with its key where the phases to come, and the way back, find it.
func (a Authority) keep(ctx context.Context, h *host.Host, pair pki.KeyPair) error {
	id := pki.ID(pair.CertPEM)
	_, err := h.WriteTogether(ctx,
		host.File{Path: a.kept(id, privateExt), Mode: 0o600, Content: pair.KeyPEM, Note: "the private key of the authority " + string(a) + " during a rotation"},
		host.File{Path: a.kept(id, publicExt), Mode: 0o600, Content: pair.CertPEM, Note: "the authority " + string(a) + " during a rotation"})
	return err
}

// forget removes the keys of a rotation.
func (a Authority) forget(ctx context.Context, h *host.Host) error {
	there, err := h.Exists(a.dir())
	if err != nil || !there {
		return err
	}
	_, err = h.RemoveTree(ctx, a.dir())
	return err
}

// RotationReceive tells where private keys are encrypted to for this host.
func RotationReceive(ctx context.Context, env node.Env, spec RotationLookSpec) (any, error) {
	if err := spec.Authority.checkHeld(); err != nil {
		return nil, err
	}
	id, err := spec.Authority.identity(ctx, env.Host, true)
	if err != nil {
		return nil, err
	}
	return RotationReceiveData{Recipient: id.Recipient().String()}, nil
}

// RotationOffer creates the next authority, unless there is one, and encrypts its private key
// to other hosts.
func RotationOffer(ctx context.Context, env node.Env, spec RotationOfferSpec) (any, error) {
	a := spec.Authority
	if err := a.checkHeld(); err != nil {
		return nil, err
	}
	held, err := a.held(env.Host)
	if err != nil {
		return nil, err
	}
	inUse, err := a.inUse(env.Host)
	if err != nil {
		return nil, host.WithHint(fmt.Errorf("%s cannot be rotated here: %w", a, err),
			"where the key is kept elsewhere, put it on every control plane node for as long as the rotation takes")
	}
	next := pki.KeyPair{}
	for id, pair := range held {
		wanted := spec.Next == nil && id != pki.ID(inUse.CertPEM) || spec.Next != nil && pki.Same(pair.CertPEM, spec.Next)
		if wanted {
			next = pair
		}
	}
	if next.CertPEM == nil {
		if spec.Next != nil {
			return nil, fmt.Errorf("the private key of the authority %s is not on this host", pki.ID(spec.Next))
		}
		if next, err = a.create(inUse.CertPEM, spec); err != nil {
			return nil, err
		}
		if err := a.keep(ctx, env.Host, next); err != nil {
			return nil, err
		}
	}
	data := RotationOfferData{Next: next.CertPEM, Sealed: map[string][]byte{}}
	for name, recipient := range spec.Recipients {
		if data.Sealed[name], err = Seal(next.KeyPEM, recipient); err != nil {
			return nil, fmt.Errorf("encrypt the key for %s: %w", name, err)
		}
	}
	return data, nil
}

// create is a new authority like the one before.
func (a Authority) create(former []byte, spec RotationOfferSpec) (pki.KeyPair, error) {
	if a != AuthorityServiceAccount {
		return pki.NextCA(former, spec.Validity)
	}
	private, err := pki.NewServiceAccountKey(former)
	if err != nil {
		return pki.KeyPair{}, err
	}
	public, err := pki.PublicKey(private)
	return pki.KeyPair{CertPEM: public, KeyPEM: private}, err
}

// Seal encrypts a secret to a host, by what RotationReceive has returned.
func Seal(secret []byte, to string) ([]byte, error) {
	recipient, err := age.ParseX25519Recipient(to)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipient)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(secret); err != nil {
		return nil, err
	}
	err = w.Close() // The last block is written here.
	return out.Bytes(), err
}

// maxKey bounds a private key, in bytes of PEM.
const maxKey = 64 << 10

// receive keeps To's private key, which was encrypted to this host.
func (s RotationSpec) receive(ctx context.Context, h *host.Host) error {
	held, err := s.Authority.held(h)
	if err != nil {
		return err
	}
	if _, ok := held[pki.ID(s.To)]; ok || len(s.SealedKey) == 0 {
		return nil
	}
	id, err := s.Authority.identity(ctx, h, false)
	if err != nil {
		return err
	}
	r, err := age.Decrypt(bytes.NewReader(s.SealedKey), id)
	if err != nil {
		return host.WithHint(fmt.Errorf("the new authority's key was encrypted to another host, or to an earlier key of this one: %w", err), "abort this operation, and run the command again")
	}
	private, err := io.ReadAll(io.LimitReader(r, maxKey))
	if err != nil {
		return err
	}
	if !pki.Holds(private, s.To) {
		return errors.New("what was encrypted to this host is not the new authority's key")
	}
	return s.Authority.keep(ctx, h, pki.KeyPair{CertPEM: s.To, KeyPEM: private})
}
