package certs

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// fresh is a certificate that is to take a unit's place.
type fresh struct {
	unit
	pair pki.KeyPair
}

// Install puts certificates into their places that were signed for what Request returned, one
// after the other, and sees each at work before the next. One that is in its place is only
// looked at.
func Install(ctx context.Context, env node.Env, spec InstallSpec) (any, error) {
	return install(ctx, env, spec, onHost())
}

func install(ctx context.Context, env node.Env, spec InstallSpec, d deps) (any, error) {
	var names []string
	for name := range spec.Certificates {
		names = append(names, name)
	}
	units, err := named(names)
	if err != nil {
		return nil, err
	}
	var all []fresh
	for _, u := range units {
		f, err := u.signed(env.Host, spec.Certificates[u.name])
		if err != nil {
			return nil, fmt.Errorf("the certificate %s: %w", u.name, err)
		}
		all = append(all, f)
	}
	return exchange(ctx, env, all, d)
}

// askAgain is what to do with a certificate for which nobody has the key.
const askAgain = "begin the renewal anew: the host makes another key, which is signed then; nothing was changed"

// signed is a certificate with the key that waits for it, or with which it is in use already.
func (u unit) signed(h *host.Host, certPEM []byte) (fresh, error) {
	now, err := u.current(h)
	if err != nil {
		return fresh{}, err
	}
	f := fresh{unit: u, pair: pki.KeyPair{CertPEM: certPEM}}
	if f.pair.KeyPEM, err = h.ReadFile(u.pendingKey()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if f.pair.Check() != nil {
		// An attempt before this one may have come as far as that.
		f.pair.KeyPEM = now.KeyPEM
		if err := f.pair.Check(); err != nil {
			return f, host.WithHint(fmt.Errorf("what was signed does not fit the key that waits on this host: %w", err), askAgain)
		}
	}
	return f, f.check(h, now.CertPEM)
}

// check finds what must not get into use.
func (f fresh) check(h *host.Host, current []byte) error {
	if err := pki.Succeeds(f.pair.CertPEM, current); err != nil {
		return host.WithHint(err, askAgain)
	}
	ca, err := h.ReadFile(f.trust())
	if err != nil {
		return fmt.Errorf("the CA that it is checked against: %w", err)
	}
	if err := verify(f.pair.CertPEM, ca); err != nil {
		return host.WithHint(err, "the host's clock, or the CA that has signed it, is not the right one; nothing was changed")
	}
	return nil
}

// verify checks a certificate against all CAs of a file: there are two while a CA is exchanged.
func verify(certPEM, caPEM []byte) error {
	cert, err := pki.ParseCert(certPEM)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caPEM) {
		return errors.New("there is no CA to check it against")
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return fmt.Errorf("the new certificate %s is no good here: %w", cert.Subject.CommonName, err)
	}
	return nil
}

// deps are the parts that tests replace.
type deps struct {
	// probe tells how well a unit's users are with what is in use now; the error is what is
	// wrong. It is asked before and after.
	probe func(ctx context.Context, env node.Env, u unit) error
	// shown tells whether what serves with the unit shows this certificate. errUnseen: nobody
	// serves with it, or it can't be asked now.
	shown func(ctx context.Context, env node.Env, u unit, cert *x509.Certificate) error
	// restart has a program begin anew that was started before the files changed.
	restart func(ctx context.Context, env node.Env, program string, files []string) (bool, error)
	// revive has static pods begun at once that the kubelet is about to begin in a while.
	revive func(ctx context.Context, env node.Env, data *Data) error
	rotationDeps
}

const (
	// settleTimeout bounds the wait until a new certificate is seen at work. An apiserver looks
	// at its files when they change, and once a minute besides.
	settleTimeout  = 2 * time.Minute
	settleInterval = 250 * time.Millisecond
)

// errUnseen says that nobody can be seen using a certificate.
var errUnseen = errors.New("nothing that runs shows it")

// exchange puts each in its place and sees it at work. What is worse with it than it was
// before is put back as it was, and ends it.
func exchange(ctx context.Context, env node.Env, all []fresh, d deps) (Data, error) {
	data := Data{Unseen: map[string]string{}}
	for _, f := range all {
		if err := f.exchange(ctx, env, d, &data); err != nil {
			return data, fmt.Errorf("the certificate %s: %w", f.name, err)
		}
	}
	return data, d.revive(ctx, env, &data)
}

func (f fresh) exchange(ctx context.Context, env node.Env, d deps, data *Data) error {
	h := env.Host
	cert, err := pki.ParseCert(f.pair.CertPEM)
	if err != nil {
		return err
	}
	now, err := f.current(h)
	if err != nil {
		return err
	}
	well := d.probe(ctx, env, f.unit) == nil
	inPlace := bytes.Equal(firstPEM(now.CertPEM), firstPEM(f.pair.CertPEM)) && (pki.KeyPair{CertPEM: now.CertPEM, KeyPEM: now.KeyPEM}).Check() == nil
	if !inPlace {
		env.Progress("exchanging the certificate %s", f.name)
		if err := f.keep(ctx, h); err != nil {
			return err
		}
		if err := f.put(ctx, h, f.pair); err != nil {
			return err
		}
	}
	if h.DryRun() {
		return nil
	}
	if err := f.settle(ctx, env, d, cert, well, data); err != nil {
		if ctx.Err() != nil {
			return err // Nobody knows how it would have ended; the next attempt looks again.
		}
		return f.putBack(ctx, env, d, err)
	}
	data.Renewed = append(data.Renewed, Renewed{Name: f.name, NotAfter: cert.NotAfter.UTC(), Serial: cert.SerialNumber.Text(16)})
	return f.forget(ctx, h)
}

// settle waits until the certificate is seen at work, and all is as well as before.
func (f fresh) settle(ctx context.Context, env node.Env, d deps, cert *x509.Certificate, well bool, data *Data) error {
	for _, program := range f.restarts {
		restarted, err := d.restart(ctx, env, program, []string{f.cert})
		if err != nil {
			return err
		}
		if restarted {
			data.Restarted = append(data.Restarted, program)
		}
	}
	unseen := false
	err := host.Until(ctx, settleTimeout, settleInterval, func(ctx context.Context) error {
		err := d.shown(ctx, env, f.unit, cert)
		if unseen = errors.Is(err, errUnseen); unseen && !well {
			return nil
		}
		if err != nil && !unseen {
			return err
		}
		if !well {
			return nil // What was not well before need not be, and may take long to say so.
		}
		return d.probe(ctx, env, f.unit)
	}, func(seen error) error {
		return fmt.Errorf("it is not seen at work within %v: %w", settleTimeout, seen)
	})
	if err == nil && unseen {
		data.Unseen[f.name] = errUnseen.Error()
	}
	return err
}

// putBack makes what was before the one in use.
func (f fresh) putBack(ctx context.Context, env node.Env, d deps, cause error) error {
	cert, errCert := env.Host.ReadFile(f.former("crt"))
	key, errKey := env.Host.ReadFile(f.former("key"))
	if err := errors.Join(errCert, errKey); err != nil {
		return fmt.Errorf("%w; and what was there before can't be put back: %w", cause, err)
	}
	if old, err := pki.ParseCert(cert); err == nil && old.NotAfter.Before(time.Now()) {
		return host.WithHint(fmt.Errorf("%w; the new one stays in its place, since the one before has ended", cause), "look at the log of what uses it, on this host; the renewal can be begun anew")
	}
	env.Progress("putting the former certificate %s back", f.name)
	if err := f.put(ctx, env.Host, pki.KeyPair{CertPEM: cert, KeyPEM: key}); err != nil {
		return fmt.Errorf("%w; and what was there before can't be put back: %w", cause, err)
	}
	for _, program := range f.restarts {
		if _, err := d.restart(ctx, env, program, []string{f.cert}); err != nil {
			return fmt.Errorf("%w; what was there before is back, but %s: %w", cause, program, err)
		}
	}
	return host.WithHint(fmt.Errorf("%w; what was there before is in use again", cause), "look at the log of what uses it, on this host; the renewal can be begun anew")
}

// keep copies what is in use to where putBack finds it. A certificate without its key is no
// way back, unless it is what an attempt that ended between two renames has kept already.
func (f fresh) keep(ctx context.Context, h *host.Host) error {
	now, err := f.current(h)
	if err != nil {
		return err
	}
	if now.Check() != nil {
		if kept, err := h.ReadFile(f.former("crt")); err == nil && bytes.Equal(kept, certsOf(now.CertPEM)) {
			return nil
		}
		for _, n := range []string{"crt", "key"} {
			if _, err := h.Remove(ctx, f.former(n)); err != nil {
				return err
			}
		}
		return nil
	}
	_, err = h.WriteTogether(ctx,
		host.File{Path: f.former("crt"), Mode: 0o600, Content: certsOf(now.CertPEM), Note: "the former certificate " + f.name},
		host.File{Path: f.former("key"), Mode: 0o600, Content: now.KeyPEM, Note: "the key of the former certificate " + f.name})
	return err
}

// certsOf is a certificate with those that are shown behind it, without whatever else is in its file.
func certsOf(content []byte) []byte { return bytes.Join(pki.Certs(content), nil) }

// put writes key and certificate into their places, with the owners and modes that are there.
func (u unit) put(ctx context.Context, h *host.Host, pair pki.KeyPair) error {
	note := "the certificate " + u.name
	if u.combined() {
		return u.putCombined(ctx, h, pair)
	}
	if u.kubeconfig() {
		raw, err := h.ReadFile(u.cert)
		if err != nil {
			return err
		}
		content, err := withLogin(raw, pair.CertPEM, pair.KeyPEM)
		if err != nil {
			return fmt.Errorf("%s: %w", u.cert, err)
		}
		f, err := like(h, host.File{Path: u.cert, Mode: 0o600, Content: content, Note: note})
		if err != nil {
			return err
		}
		_, err = h.WriteFile(ctx, f)
		return err
	}
	key, err := like(h, host.File{Path: u.key, Mode: 0o600, Content: pair.KeyPEM, Note: note + "'s key"})
	if err != nil {
		return err
	}
	cert, err := like(h, host.File{Path: u.cert, Mode: 0o644, Content: pair.CertPEM, Note: note})
	if err != nil {
		return err
	}
	if _, err := h.Stat(u.key); errors.Is(err, fs.ErrNotExist) {
		key.UID, key.GID = cert.UID, cert.GID // A key that was lost belonged to who has the certificate.
	}
	_, err = h.WriteTogether(ctx, key, cert)
	return err
}

// like gives a file the owner and the mode of the one in its place.
func like(h *host.Host, f host.File) (host.File, error) {
	info, err := h.Stat(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	if info.Mode().IsRegular() {
		f.Mode = info.Mode().Perm()
		f.UID, f.GID = host.Owner(info)
	}
	return f, nil
}

// putCombined writes one file with both under a name of its own, and has the link point to it,
// as the kubelet does.
func (u unit) putCombined(ctx context.Context, h *host.Host, pair pki.KeyPair) error {
	cert, err := pki.ParseCert(pair.CertPEM)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(path.Base(u.cert), "current.pem") + cert.NotBefore.UTC().Format("2006-01-02-15-04-05") + ".pem"
	file := host.File{Path: path.Join(kubeletPKI, name), Mode: 0o600, Content: append(bytes.Clone(pair.CertPEM), pair.KeyPEM...), Note: "the certificate " + u.name}
	if _, err := h.WriteFile(ctx, file); err != nil {
		return err
	}
	_, err = h.Symlink(ctx, u.cert, name)
	return err
}

// forget removes the key that waited, once it is in use.
func (f fresh) forget(ctx context.Context, h *host.Host) error {
	for _, file := range []string{f.pendingKey(), f.pendingFor()} {
		if _, err := h.Remove(ctx, file); err != nil {
			return err
		}
	}
	return nil
}
