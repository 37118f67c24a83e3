package certs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// Rotate brings a host to a phase of a rotation. It looks first and changes what differs, so
// that it can be interrupted anywhere and run again.
//
// On a host with an apiserver it exchanges what signs and what is trusted there. What every
// node has of its own, its kubelet's certificates or its pods' tokens, comes with Refresh, when
// all of those sign with the new key.
func Rotate(ctx context.Context, env node.Env, spec RotationSpec) (any, error) {
	return rotate(ctx, env, spec, onHost())
}

// rotation is one call of Rotate.
type rotation struct {
	RotationSpec
	env  node.Env
	h    *host.Host
	deps deps
	data RotationData
	// controlPlane: there is an apiserver on the host.
	controlPlane bool
}

func begin(env node.Env, spec RotationSpec, d deps) (*rotation, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	r := &rotation{RotationSpec: spec, env: env, h: env.Host, deps: d, data: RotationData{Unseen: map[string]string{}}}
	var err error
	r.controlPlane, err = r.h.Exists(apiserverManifest)
	return r, err
}

func rotate(ctx context.Context, env node.Env, spec RotationSpec, d deps) (any, error) {
	r, err := begin(env, spec, d)
	if err != nil {
		return nil, err
	}
	if err := r.apart(); err != nil {
		return nil, err
	}
	switch r.Authority {
	case AuthorityKubernetes:
		err = r.kubernetes(ctx)
	case AuthorityFrontProxy:
		err = r.frontProxy(ctx)
	case AuthorityServiceAccount:
		err = r.serviceAccount(ctx)
	case AuthorityEtcd:
		err = r.etcd(ctx)
	}
	return r.data, err
}

// apart refuses a CA that can't be told apart from another one of the cluster, before anything trusts it.
func (r *rotation) apart() error {
	if r.Phase != PhaseTrust {
		return nil
	}
	others, err := r.Authority.others(r.h)
	if err == nil {
		err = RotationLookData{Others: others}.Apart(r.To)
	}
	if err != nil {
		return host.WithHint(err, "take the rotation back with --undo, and begin another one")
	}
	return nil
}

// signer is the one of the two that signs in this phase, other the one that is trusted besides;
// nil for none.
func (s RotationSpec) signer() (signer, other []byte) {
	switch s.Phase {
	case PhaseTrust:
		return s.From, s.To
	case PhaseIssue:
		return s.To, s.From
	}
	return s.To, nil
}

// Anchors are those that are trusted in this phase, PEM. The one that signs comes first: kubeadm
// takes the first one of ca.crt for the one that ca.key belongs to.
func (s RotationSpec) Anchors() []byte {
	signer, other := s.signer()
	return slices.Concat(signer, other)
}

// About reports whether content has authorities of this rotation, and nothing else.
func (s RotationSpec) About(content []byte) bool {
	all := s.Authority.split(content)
	return len(all) > 0 && !slices.ContainsFunc(all, func(c []byte) bool { return !pki.Same(c, s.From) && !pki.Same(c, s.To) })
}

// Reached reports whether content has exactly what is trusted in this phase, in any order.
func (s RotationSpec) Reached(content []byte) bool {
	return pki.SameSet(s.Authority.split(content), s.Authority.split(s.Anchors()))
}

// keepBoth has the keys of both authorities kept: the one to come, and the way back. In the last
// phase it sees that To is the one in use, since all that is kept goes then.
func (r *rotation) keepBoth(ctx context.Context) error {
	if r.Phase == PhaseFinish {
		inUse, err := r.Authority.inUse(r.h)
		if err == nil && !pki.Same(inUse.CertPEM, r.To) {
			err = fmt.Errorf("this host still signs with %s", pki.ID(inUse.CertPEM))
		}
		if err != nil {
			return host.WithHint(fmt.Errorf("the key of the authority %s that stays is not in use here: %w", pki.ID(r.To), err), "somebody has put another key into its place; nothing was changed: repeat the phase issue")
		}
		return nil
	}
	if err := r.receive(ctx, r.h); err != nil {
		return err
	}
	inUse, err := r.Authority.inUse(r.h)
	if err != nil {
		return host.WithHint(fmt.Errorf("the authority %s: %w", r.Authority, err), "put its key there, from another control plane node or a backup")
	}
	if !pki.Same(inUse.CertPEM, r.From) && !pki.Same(inUse.CertPEM, r.To) {
		return host.WithHint(fmt.Errorf("what signs on this host is neither of the two authorities of this rotation, but %s", pki.ID(inUse.CertPEM)),
			"run kubectl ha certs status --deep, which shows who has which CA")
	}
	if _, err := r.h.Stat(r.Authority.kept(pki.ID(inUse.CertPEM), privateExt)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return r.Authority.keep(ctx, r.h, inUse)
}

// signing is the pair that signs in this phase.
func (r *rotation) signing() (pki.KeyPair, error) {
	signer, _ := r.signer()
	held, err := r.Authority.held(r.h)
	if err != nil {
		return pki.KeyPair{}, err
	}
	pair, ok := held[pki.ID(signer)]
	if !ok {
		return pair, host.WithHint(fmt.Errorf("the private key of the authority %s is not on this host", pki.ID(signer)),
			"run the command again: it has another control plane node hand the key over")
	}
	return pair, nil
}

// write writes files in one go, each with the owner and the mode of what is in its place.
func (r *rotation) write(ctx context.Context, files ...host.File) error {
	for i, f := range files {
		like, err := like(r.h, f)
		if err != nil {
			return err
		}
		files[i] = like
	}
	_, err := r.h.WriteTogether(ctx, files...)
	return err
}

// restart restarts a program that was started before the files changed, and waits until it is
// well again.
func (r *rotation) restart(ctx context.Context, program string, files ...string) error {
	restarted, err := r.deps.restart(ctx, r.env, program, files)
	if err != nil || !restarted {
		return err
	}
	r.data.Restarted = append(r.data.Restarted, program)
	return r.well(ctx, program)
}

// well waits until a program answers.
func (r *rotation) well(ctx context.Context, program string) error {
	return host.Until(ctx, settleTimeout, settleInterval, func(ctx context.Context) error { return r.deps.well(ctx, r.env, program) }, func(seen error) error {
		return host.WithHint(fmt.Errorf("%s is not well within %v after its restart: %w", program, settleTimeout, seen), "look at journalctl -u kubelet and /var/log/pods on the host, then resume")
	})
}

// reissue has To sign everything anew that another one has signed.
func (r *rotation) reissue(ctx context.Context, signer Signer) error {
	ca, err := r.signing()
	if err != nil {
		return err
	}
	var all []fresh
	for _, u := range catalogue() {
		if u.signer != signer || u.name == Kubelet {
			continue
		}
		f, err := r.successor(ctx, u, ca)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDue) {
			continue
		}
		if err != nil {
			return fmt.Errorf("the certificate %s: %w", u.name, err)
		}
		all = append(all, f)
	}
	return r.exchange(ctx, all)
}

func (r *rotation) exchange(ctx context.Context, all []fresh) error {
	data, err := exchange(ctx, r.env, all, r.deps)
	r.data.Reissued = append(r.data.Reissued, data.Renewed...)
	r.data.Restarted = append(r.data.Restarted, data.Restarted...)
	for name, why := range data.Unseen {
		r.data.Unseen[name] = why
	}
	return err
}

// successor is a unit's certificate by To. errNotDue says that it has one.
func (r *rotation) successor(ctx context.Context, u unit, ca pki.KeyPair) (fresh, error) {
	now, err := u.current(r.h)
	if err != nil {
		return fresh{}, err
	}
	done, err := pki.SignedBy(now.CertPEM, r.To)
	if err != nil {
		return fresh{}, err
	}
	if done && now.Check() == nil && (u.name != APIServer || len(pki.Certs(now.CertPEM)) > 1) {
		return fresh{}, errNotDue
	}
	key, err := u.waitingKey(ctx, r.h, now.CertPEM)
	if err != nil {
		return fresh{}, err
	}
	request, err := pki.RenewalRequest(now.CertPEM, key)
	if err != nil {
		return fresh{}, err
	}
	cert, err := pki.Reissue(ca, r.From, now.CertPEM, request, r.Validity)
	if err != nil {
		return fresh{}, theirs(err)
	}
	if u.name == APIServer {
		// Who trusts only the former CA still trusts this: pods that have read ca.crt when they
		// began, kubeconfigs that are somewhere.
		chain, err := r.chain()
		if err != nil {
			return fresh{}, err
		}
		cert = append(cert, chain...)
	}
	f := fresh{unit: u, pair: pki.KeyPair{CertPEM: cert, KeyPEM: key}}
	return f, f.check(r.h, now.CertPEM)
}

// chain is To's certificate by From.
func (r *rotation) chain() ([]byte, error) {
	held, err := r.Authority.held(r.h)
	if err != nil {
		return nil, err
	}
	from, ok := held[pki.ID(r.From)]
	if !ok {
		return nil, fmt.Errorf("the private key of the former authority %s is not on this host", pki.ID(r.From))
	}
	return pki.CrossSign(from, r.To)
}

// unfinished is an error when something on this host is still signed by From.
func (r *rotation) unfinished(signer Signer) error {
	var left []string
	for _, u := range catalogue() {
		if u.signer != signer {
			continue
		}
		now, err := u.current(r.h)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("the certificate %s: %w", u.name, err)
		}
		if former, err := pki.SignedBy(now.CertPEM, r.From); err == nil && former {
			left = append(left, u.name)
		}
	}
	if len(left) > 0 {
		return host.WithHint(fmt.Errorf("the former CA has signed certificates that are still in use: %s", strings.Join(left, ", ")),
			"repeat the phase issue: kubectl ha certs rotate-ca "+string(r.Authority)+" --until issue")
	}
	return nil
}
