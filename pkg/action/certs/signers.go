package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// errElsewhere is why a certificate of a CA is left whose key is on no host.
var errElsewhere = errors.New("the key of its CA is on no control plane node; provide the CA with --ca-cert and --ca-key, or have requests signed (--csr-dir, then --signed-dir)")

// signers sign what CAs have to sign whose keys are not on the hosts: etcd's on this machine, those
// that were given, and whoever has put certificates into a folder.
type signers struct {
	cluster *v1alpha1.Cluster
	// etcd is the CA of this machine; noEtcd says why it is not here.
	etcd   bootstrap.Signer
	noEtcd error
	given  []pki.KeyPair
	// folder has HOST/NAME.crt.
	folder string
	life   time.Duration
}

var _ bootstrap.HostSigner = signers{}

// signers opens what there is.
func (o Options) signers(ctx context.Context) (signers, error) {
	s := signers{cluster: o.Cluster, given: o.CAs, folder: o.SignedDir, life: o.Life}
	for _, ca := range o.CAs {
		if err := checkCA(ca, time.Now()); err != nil {
			return s, err
		}
	}
	if o.SignedDir != "" {
		if info, err := os.Stat(o.SignedDir); err != nil || !info.IsDir() {
			return s, action.Invalidf("%s is not a directory with signed certificates", o.SignedDir)
		}
	}
	s.etcd, s.noEtcd = o.signer(ctx)
	if s.noEtcd != nil && !errors.Is(s.noEtcd, bootstrap.ErrNoCA) {
		return s, s.noEtcd
	}
	return s, nil
}

// checkCA finds what nothing can be signed by.
func checkCA(ca pki.KeyPair, now time.Time) error {
	if err := ca.Check(); err != nil {
		return action.As(action.Invalid, fmt.Errorf("the CA: %w", err))
	}
	cert, err := pki.ParseCert(ca.CertPEM)
	switch {
	case err != nil:
		return err
	case !cert.IsCA:
		return action.Invalidf("%s is not the certificate of a CA", cert.Subject.CommonName)
	case !cert.NotAfter.After(now):
		return action.As(action.Invalid, fmt.Errorf("%w: that of %s, at %s; issue another certificate for the same CA key and subject first (docs/certificates.md, \"If a CA has expired\")", pki.ErrCAEnded, cert.Subject.CommonName, cert.NotAfter.UTC().Format(time.RFC3339)))
	}
	return nil
}

// file is where a folder has what was signed for a host.
func file(folder, host, name, ending string) string {
	return filepath.Join(folder, host, name+ending)
}

// lacks says why nobody here can sign the successor of a certificate; nil when somebody can, as
// far as can be told without it.
func (s signers) lacks(host string, c certs.Certificate) error {
	if s.folder != "" {
		if _, err := os.Stat(file(s.folder, host, c.Name, ".crt")); err == nil {
			return nil
		}
	}
	if _, given := s.issuer(c); given {
		return nil
	}
	switch {
	case c.RenewedBy == certs.OwnerWorkstation:
		return s.noEtcd
	case s.folder != "":
		return fmt.Errorf("%s is missing", file(s.folder, host, c.Name, ".crt"))
	}
	return errElsewhere
}

// issuer is the one of the given CAs that has signed a certificate, by what a host has told of it: its
// fingerprint, else its name, since its own certificate may have been renewed.
func (s signers) issuer(c certs.Certificate) (pki.KeyPair, bool) {
	for _, same := range []func(*x509.Certificate) bool{
		func(ca *x509.Certificate) bool { return pki.Fingerprint(ca) == c.IssuerFingerprint },
		func(ca *x509.Certificate) bool { return ca.Subject.CommonName == c.Issuer },
	} {
		for _, ca := range s.given {
			if cert, err := pki.ParseCert(ca.CertPEM); err == nil && same(cert) {
				return ca, true
			}
		}
	}
	return pki.KeyPair{}, false
}

// etcdOf is a signer for what a member's CA signs.
func (s signers) etcdOf(c certs.Certificate) (bootstrap.Signer, error) {
	if ca, given := s.issuer(c); given {
		return bootstrap.NewSigner(ca, s.cluster, s.life)
	}
	return s.etcd, s.noEtcd
}

// addons is the signer for addons that talk to etcd: the CA of this machine, or the one of those given that
// has signed the certificates of etcd which were found.
func (s signers) addons(found map[string]certs.LookData) (bootstrap.Signer, error) {
	if s.noEtcd == nil {
		return s.etcd, nil
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		for _, c := range found[name].Certificates {
			if !slices.Contains(certs.OfEtcd(), c.Name) {
				continue
			}
			if ca, given := s.issuer(c); given {
				return bootstrap.NewSigner(ca, s.cluster, s.life)
			}
		}
	}
	return s.etcd, s.noEtcd
}

// Identity is the etcd CA's, by which a cluster is known; empty where that is not here.
func (s signers) Identity() (string, error) {
	if s.noEtcd != nil {
		return "", nil
	}
	return s.etcd.Identity()
}

// Sign signs the successors of a host's certificates, each by who has signed the one in use. A host
// gets no more than it had.
func (s signers) Sign(h v1alpha1.Host, pending map[string]certs.Pending) (certs.InstallSpec, error) {
	out := certs.InstallSpec{Certificates: map[string][]byte{}}
	for _, name := range slices.Sorted(maps.Keys(pending)) {
		cert, err := s.sign(h, name, pending[name])
		if err != nil {
			return out, err
		}
		out.Certificates[name] = cert
	}
	return out, nil
}

func (s signers) sign(h v1alpha1.Host, name string, p certs.Pending) ([]byte, error) {
	if s.folder != "" {
		cert, err := s.signed(h, name, p)
		if err != nil || cert != nil {
			return cert, err
		}
	}
	ofEtcd := slices.Contains(certs.OfEtcd(), name)
	for _, ca := range s.given {
		if pki.IssuedBy(ca.CertPEM, p.Current) != nil {
			continue
		}
		if !ofEtcd {
			return s.byGiven(ca, h, name, p)
		}
		signer, err := bootstrap.NewSigner(ca, s.cluster, s.life)
		if err != nil {
			return nil, err
		}
		spec, err := signer.Sign(h, map[string]certs.Pending{name: p})
		return spec.Certificates[name], err
	}
	switch {
	case !ofEtcd:
		return nil, fmt.Errorf("%s of %s: none of the CAs provided has signed it", name, h.Name)
	case s.noEtcd != nil:
		return nil, fmt.Errorf("%s of %s: %w", name, h.Name, s.noEtcd)
	}
	spec, err := s.etcd.Sign(h, map[string]certs.Pending{name: p})
	return spec.Certificates[name], err
}

// byGiven signs by one of kubeadm's CAs, for control planes only: no other host has one of these.
func (s signers) byGiven(ca pki.KeyPair, h v1alpha1.Host, name string, p certs.Pending) ([]byte, error) {
	may := h.Has(v1alpha1.RoleControlPlane) && slices.Contains(certs.OfHost(), name)
	if name == certs.Kubelet {
		of, err := certs.KubeletNode(p.Current)
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", name, h.Name, err)
		}
		may = of == h.Name
	}
	if !may {
		return nil, fmt.Errorf("%s of %s: the host has no use for it\nnext: nothing was signed; look whether the host is in the wrong hands", name, h.Name)
	}
	cert, err := pki.Renew(ca, p.Current, p.Request, s.life)
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", name, h.Name, err)
	}
	return cert, nil
}

// signed is what somebody has signed for a host's request; nil where there is nothing. What is for
// another key, or for less than the one in use, is refused before anything is changed.
func (s signers) signed(h v1alpha1.Host, name string, p certs.Pending) ([]byte, error) {
	path := file(s.folder, h.Name, name, ".crt")
	cert, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = pki.Answers(cert, p.Request)
	}
	if err == nil {
		err = pki.Succeeds(cert, p.Current)
	}
	if err != nil {
		return nil, action.As(action.Invalid, fmt.Errorf("%s: %w\nnext: sign the request that %s certs renew --csr-dir writes now, with its extensions, and try again", path, err, "kubectl ha"))
	}
	return cert, nil
}
