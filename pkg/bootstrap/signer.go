package bootstrap

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// renewTimeout bounds the exchange of a host's certificates.
const renewTimeout = 15 * time.Minute

// Signer signs by the etcd CA, whose key never leaves the workstation.
type Signer struct {
	authority authority
	cluster   *v1alpha1.Cluster
	// life is how long what is signed lives; zero: as long as what was there before.
	life time.Duration
}

// ErrNoCA says that the key of the etcd CA is not on this machine.
var ErrNoCA = errors.New("the key of the etcd CA is not on this machine")

// OpenSigner opens the etcd CA in a cluster's state directory. Without one the error is
// ErrNoCA. life is for tests: how long what is signed lives; zero is as long as what was
// there before.
func OpenSigner(ctx context.Context, stateDir string, c *v1alpha1.Cluster, life time.Duration) (Signer, error) {
	a, err := openAuthority(ctx, stateDir, c.Metadata.Name)
	if err != nil {
		return Signer{}, err
	}
	if len(a.ca.CertPEM) == 0 {
		return Signer{}, fmt.Errorf("%w: run it where the cluster was made, or copy that machine's state directory of this cluster to %s", ErrNoCA, stateDir)
	}
	return Signer{authority: a, cluster: c, life: life}, nil
}

// NewSigner is OpenSigner for a CA from elsewhere.
func NewSigner(ca pki.KeyPair, c *v1alpha1.Cluster, life time.Duration) (Signer, error) {
	if err := ca.Check(); err != nil {
		return Signer{}, fmt.Errorf("the etcd CA: %w", err)
	}
	a, err := newAuthority(c.Metadata.Name, ca)
	return Signer{authority: a, cluster: c, life: life}, err
}

// Identity is what the cluster is known by: the fingerprint of its first etcd CA.
func (s Signer) Identity() (string, error) { return s.authority.identity(), nil }

// CA are the certificates of all CAs that are trusted, PEM: one, or two during a rotation.
func (s Signer) CA() []byte { return s.authority.trusted }

// Client issues a client's certificate that lives for an hour.
func (s Signer) Client(name string) (pki.KeyPair, error) {
	return s.authority.client(name, healthValidity)
}

// Signed is nil when the CA has signed a certificate, whether that has ended or not.
func (s Signer) Signed(cert *x509.Certificate) error {
	var err error
	for _, one := range pki.Certs(s.authority.trusted) {
		var ca *x509.Certificate
		if ca, err = pki.ParseCert(one); err == nil {
			err = cert.CheckSignatureFrom(ca)
		}
		if err == nil {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("the etcd CA on this machine has not signed the certificate %s: %w\nnext: look who has put it there; the addon's installation issues another one", cert.Subject.CommonName, err)
	}
	return nil
}

// Addon issues the certificate of an addon that talks to etcd.
func (s Signer) Addon(name string) (pki.KeyPair, error) { return s.authority.client(name, s.life) }

// Sign signs the successors of a host's certificates. A host gets no more than it had, and
// nothing for the name of another host.
func (s Signer) Sign(h v1alpha1.Host, pending map[string]certs.Pending) (certs.InstallSpec, error) {
	out := certs.InstallSpec{Certificates: map[string][]byte{}}
	for _, name := range slices.Sorted(maps.Keys(pending)) {
		p := pending[name]
		if err := s.may(h, name, p.Current); err != nil {
			return out, fmt.Errorf("%s of %s: %w", name, h.Name, err)
		}
		cert, err := s.renew(p)
		if errors.Is(err, pki.ErrOtherCA) {
			err = fmt.Errorf("%w\nnext: look whether the state directory is this cluster's; a certificate that somebody else has signed is theirs to renew", err)
		}
		if err != nil {
			return out, fmt.Errorf("%s of %s: %w", name, h.Name, err)
		}
		out.Certificates[name] = cert
	}
	return out, nil
}

// renew signs a successor. During a rotation, what the other CA has signed is signed by this one.
func (s Signer) renew(p certs.Pending) ([]byte, error) {
	if s.authority.other != nil {
		return pki.Reissue(s.authority.ca, s.authority.other, p.Current, p.Request, s.life)
	}
	return pki.Renew(s.authority.ca, p.Current, p.Request, s.life)
}

// may refuses to sign for a host what is another host's. What the host shows as the certificate
// in use is only its word: members show theirs, which are logins as well, to whoever asks.
func (s Signer) may(h v1alpha1.Host, name string, current []byte) error {
	if !slices.Contains(certs.OfEtcd(), name) {
		return errors.New("it is not the etcd CA's to sign")
	}
	users, what := s.cluster.EtcdMembers(), "etcd member"
	if name == certs.EtcdClient {
		users, what = s.cluster.ControlPlanes(), "control plane"
	}
	if !slices.ContainsFunc(users, func(u v1alpha1.Host) bool { return u.Name == h.Name }) {
		return fmt.Errorf("the host is no %s of the Cluster document\nnext: nothing was signed; look whether the host is in the wrong hands", what)
	}
	cert, err := pki.ParseCert(current)
	if err != nil {
		return err
	}
	if name != certs.EtcdClient && len(pki.Lacking(cert, []string{h.Address})) > 0 {
		return fmt.Errorf("it is not for the host's address %s", h.Address)
	}
	for _, other := range s.cluster.Spec.Hosts {
		for _, of := range []string{other.Address, other.Name} {
			if other.Name != h.Name && len(pki.Lacking(cert, []string{of})) == 0 {
				return fmt.Errorf("it is for %s of %s as well\nnext: nothing was signed; where hosts share a certificate it is renewed where it was made, else look whether the host is in the wrong hands", of, other.Name)
			}
		}
	}
	return nil
}

// HostSigner signs the successors of a host's certificates. A Signer is one.
type HostSigner interface {
	// Identity is what a cluster is known by; empty where that is not known.
	Identity() (string, error)
	// Sign signs what a host asks for, and nothing that is not the host's.
	Sign(h v1alpha1.Host, pending map[string]certs.Pending) (certs.InstallSpec, error)
}

// RenewHost has a host make keys, signs for them, and has the host put the certificates into
// use, over SSH or whatever the runner's way is. step is what events and the ledger name it.
// What is not on the host is left out; nothing is an empty Data.
func RenewHost(ctx context.Context, hosts transport.Runner, cluster string, s HostSigner, h v1alpha1.Host, names []string, step string, sink report.Sink) (certs.Data, error) {
	var data certs.Data
	identity, err := s.Identity()
	if err != nil {
		return data, err
	}
	request := func(task string) node.Request {
		return node.Request{Cluster: cluster, Identity: identity, Task: task, Step: step, Timeout: renewTimeout, LockTimeout: lockWait}
	}
	res, err := Call(ctx, hosts, h.Name, request(tasks.CertificateRequests), certs.RequestSpec{Names: names}, sink)
	if err != nil {
		return data, err
	}
	var asked certs.RequestData
	if err := json.Unmarshal(res.Data, &asked); err != nil {
		return data, fmt.Errorf("%s: cannot read its certificate requests: %w", h.Name, err)
	}
	if err := asked.Check(names); err != nil {
		return data, fmt.Errorf("%s: %w", h.Name, err)
	}
	if len(asked.Pending) == 0 {
		return data, nil
	}
	signed, err := s.Sign(h, asked.Pending)
	if err != nil {
		return data, err
	}
	if res, err = Call(ctx, hosts, h.Name, request(tasks.InstallCertificates), signed, sink); err != nil {
		return data, err
	}
	if err := json.Unmarshal(res.Data, &data); err != nil {
		return data, fmt.Errorf("%s: cannot read its result: %w", h.Name, err)
	}
	return data, nil
}
