package certs

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// Renew renews what CAs sign whose keys are on this host, one certificate after the other.
//
// kubeadm's own `certs renew` does the same for the files, with the names that each has. It is
// not used: it writes certificate and key one after the other in place, keeps nothing of what
// was there, and has to be told the cluster's whole configuration where etcd is external.
func Renew(ctx context.Context, env node.Env, spec RenewSpec) (any, error) {
	return renew(ctx, env, spec, onHost())
}

func renew(ctx context.Context, env node.Env, spec RenewSpec, d deps) (any, error) {
	names := spec.Names
	if len(names) == 0 {
		names = OfHost()
		if localEtcd(env.Host) {
			names = append(names, EtcdClient)
		}
	}
	units, err := named(names)
	if err != nil {
		return nil, err
	}
	var all []fresh
	left := map[string]string{}
	for _, u := range units {
		f, err := u.renewed(ctx, env.Host, spec)
		if errors.Is(err, fs.ErrNotExist) && len(spec.Names) == 0 || errors.Is(err, errNotDue) {
			continue
		}
		if errors.Is(err, pki.ErrOtherCA) {
			// One that is somebody else's to renew is no reason to let the others end.
			left[u.name] = fmt.Sprintf("%v; %s", err, host.Hint(err))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("the certificate %s: %w", u.name, err)
		}
		all = append(all, f)
	}
	data, err := exchange(ctx, env, all, d)
	data.Left = left
	return data, err
}

var errNotDue = errors.New("it is not due")

// renewed is the successor of a unit's certificate, by a CA of this host. Its key waits as one
// for another signer does, so that an attempt that was interrupted is gone on with.
func (u unit) renewed(ctx context.Context, h *host.Host, spec RenewSpec) (fresh, error) {
	now, err := u.current(h)
	if err != nil {
		return fresh{}, err
	}
	if spec.Due {
		cert, err := pki.ParseCert(now.CertPEM)
		if err != nil {
			return fresh{}, err
		}
		if now.Check() == nil && !pki.Due(cert, time.Now()) {
			return fresh{}, errNotDue
		}
	}
	if u.name == EtcdClient && localEtcd(h) {
		u.signer = SignerLocalEtcd
	}
	ca, err := u.signer.authority(h)
	if err != nil {
		return fresh{}, err
	}
	if err := pki.IssuedBy(ca.CertPEM, now.CertPEM); err != nil {
		return fresh{}, theirs(err)
	}
	key, err := u.waitingKey(ctx, h, now.CertPEM)
	if err != nil {
		return fresh{}, err
	}
	request, err := pki.RenewalRequest(now.CertPEM, key)
	if err != nil {
		return fresh{}, err
	}
	cert, err := pki.Renew(ca, now.CertPEM, request, spec.Validity)
	if err != nil {
		return fresh{}, theirs(err)
	}
	f := fresh{unit: u, pair: pki.KeyPair{CertPEM: append(cert, chainOf(now.CertPEM)...), KeyPEM: key}}
	return f, f.check(h, now.CertPEM)
}

// chainOf are the CAs' certificates that a server shows behind its own. The same CA signs the
// successor, so that they belong to that as well: while a CA is rotated, clients that know the former
// one only trust the apiserver by them.
func chainOf(certsPEM []byte) []byte {
	all := pki.Certs(certsPEM)
	return bytes.Join(all[min(1, len(all)):], nil)
}

// theirs says what to do with a certificate that another CA has signed, and with a CA that has ended.
func theirs(err error) error {
	switch {
	case errors.Is(err, pki.ErrCAEnded):
		return host.WithHint(err, "make another certificate for the CA, with its name and its key, so that all that it has signed stays good, and put it in its place on every host (docs/certificates.md, \"If a CA has expired\"); then run this again")
	case errors.Is(err, pki.ErrOtherCA):
		return host.WithHint(err, "it was made by somebody else, who has to renew it: have its successor signed there, with the same names, and put it in its place")
	}
	return err
}

// authority is a CA whose key is on the host.
func (s Signer) authority(h *host.Host) (pki.KeyPair, error) {
	certFile, keyFile := s.ca()
	if certFile == "" {
		return pki.KeyPair{}, host.WithHint(errors.New("the key of etcd's CA is on no host"), "renew it from the machine that the cluster was made on: kubectl ha certs renew")
	}
	cert, err := h.ReadFile(certFile)
	if err != nil {
		return pki.KeyPair{}, fmt.Errorf("the CA: %w", noPath(err))
	}
	key, err := h.ReadFile(keyFile)
	if err != nil {
		return pki.KeyPair{}, host.WithHint(fmt.Errorf("the key of the CA can't be read: %w", noPath(err)),
			"where the CA's key is kept elsewhere, nothing can be signed here: have the certificate's successor signed there, or put the key here for as long as this takes")
	}
	pair := pki.KeyPair{CertPEM: cert, KeyPEM: key}
	if err := pair.Check(); err != nil {
		return pair, host.WithHint(fmt.Errorf("the CA in %s: %w", certFile, err), "put the CA's certificate and its own key there; another control plane node may have both")
	}
	return pair, nil
}

// noPath keeps a missing CA from being taken for a missing certificate.
func noPath(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New(err.Error())
	}
	return err
}

// Sign signs requests of other hosts by the cluster's CA, whose key is on this one: those of
// kubelets that can't log in any more, and nothing else. Nothing changes here.
func Sign(_ context.Context, env node.Env, spec SignSpec) (any, error) {
	data := SignData{Certificates: map[string][]byte{}}
	for name, p := range spec.Requests {
		if name != Kubelet {
			return nil, fmt.Errorf("the certificate %s is not signed here for another host: only a kubelet's login is", name)
		}
		if _, err := KubeletNode(p.Current); err != nil {
			return nil, err
		}
		ca, err := SignerKubernetes.authority(env.Host)
		if err != nil {
			return nil, err
		}
		if data.Certificates[name], err = pki.Renew(ca, p.Current, p.Request, spec.Validity); err != nil {
			return nil, theirs(err)
		}
	}
	return data, nil
}

const (
	// https://kubernetes.io/docs/reference/access-authn-authz/node/
	nodeUser  = "system:node:"
	nodeGroup = "system:nodes"
)

// KubeletNode is the node whose kubelet logs in with a certificate. The error says that it is
// something else, or something more: a host that is in the wrong hands may show any certificate
// that the CA has signed, such as an apiserver's, and ask for its successor.
func KubeletNode(certPEM []byte) (string, error) {
	cert, err := pki.ParseCert(certPEM)
	if err != nil {
		return "", err
	}
	name, ok := strings.CutPrefix(cert.Subject.CommonName, nodeUser)
	names := len(cert.DNSNames) + len(cert.IPAddresses) + len(cert.EmailAddresses) + len(cert.URIs)
	if !ok || name == "" || !slices.Equal(cert.Subject.Organization, []string{nodeGroup}) || names > 0 ||
		!slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) || len(cert.UnknownExtKeyUsage) > 0 {
		return "", fmt.Errorf("the certificate of %s is not a kubelet's login, and nothing more", cert.Subject)
	}
	return name, nil
}
