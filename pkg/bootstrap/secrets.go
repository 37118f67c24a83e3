package bootstrap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const (
	// etcdCA names the etcd CA in the workstation's store.
	etcdCA = "etcd"
	// healthValidity is how long the certificate lives with which a host looks at etcd.
	healthValidity = time.Hour
)

// authority is the etcd CA, whose key never leaves the workstation.
type authority struct {
	cluster string
	// ca signs. other is the one that is trusted besides, PEM: there is one while the CA is
	// rotated.
	ca    pki.KeyPair
	other []byte
	// trusted are all that are trusted, PEM, the one that signs first.
	trusted []byte
	// leaving is the one that is not trusted any more, PEM, in the last phase of a rotation: hosts that
	// are not through have it yet.
	leaving []byte
	// first is the fingerprint of the cluster's first etcd CA, by which it is known.
	first string
	// life is how long what it issues lives; zero is pki.DefaultValidity. For tests.
	life time.Duration
}

// openAuthority loads the etcd CA. Where there is none, an authority without a CA is returned.
func openAuthority(ctx context.Context, dir, cluster string) (authority, error) {
	a := authority{cluster: cluster}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	store, err := pki.OpenStore(dir)
	if err != nil {
		return a, err
	}
	s, err := readSuccession(dir)
	if err != nil {
		return a, err
	}
	return s.authority(ctx, store, cluster)
}

// newAuthority is one with a single CA, the cluster's first as far as is known.
func newAuthority(cluster string, ca pki.KeyPair) (authority, error) {
	a := authority{cluster: cluster, ca: ca, trusted: ca.CertPEM}
	var err error
	a.first, err = fingerprint(ca.CertPEM)
	return a, err
}

// fingerprint is the hex SHA-256 of a CA's DER, as hosts tell theirs; empty without a CA.
func fingerprint(caPEM []byte) (string, error) {
	if len(caPEM) == 0 {
		return "", nil
	}
	cert, err := pki.ParseCert(caPEM)
	if err != nil {
		return "", fmt.Errorf("the etcd CA: %w", err)
	}
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:]), nil
}

// identity is what the cluster is known by; empty without a CA.
func (a authority) identity() string { return a.first }

// fingerprints are those of the CAs that hosts may have, the one that signs first.
func (a authority) fingerprints() ([]string, error) {
	var out []string
	for _, ca := range append(pki.Certs(a.trusted), pki.Certs(a.leaving)...) {
		f, err := fingerprint(ca)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// token is etcd's initial cluster token. It is the same for ever, and no other
// cluster's, since it has the first CA in it. It is no secret.
func (a authority) token() string { return fmt.Sprintf("%s-%.16s", a.cluster, a.identity()) }

// member issues one member's certificates. Both are for both sides of TLS:
// peers are clients of each other, and etcd's gateway is one of its server.
func (a authority) member(h v1alpha1.Host) (server, peer pki.KeyPair, err error) {
	r := memberRequest(h)
	r.Validity = a.life
	if server, err = pki.Issue(a.ca, r); err != nil {
		return server, peer, err
	}
	// A CA of the user's own may be constrained to other names than a new member's.
	if err := pki.Verify(server.CertPEM, a.ca.CertPEM); err != nil {
		return server, peer, err
	}
	peer, err = pki.Issue(a.ca, r)
	return server, peer, err
}

// memberRequest is what a member's certificates are for.
func memberRequest(h v1alpha1.Host) pki.Request {
	return pki.Request{CommonName: h.Name, DNSNames: []string{h.Name, "localhost"}, Server: true, Client: true,
		IPs: []net.IP{net.ParseIP(h.Address), net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
}

// client issues a client's certificate. Zero validity is that of all that it issues.
func (a authority) client(name string, validity time.Duration) (pki.KeyPair, error) {
	if validity == 0 {
		validity = a.life
	}
	return pki.Issue(a.ca, pki.Request{CommonName: name, Client: true, Validity: validity})
}

// files are all that a member needs.
func (a authority) files(h v1alpha1.Host) (MemberFiles, error) {
	server, peer, err := a.member(h)
	if err != nil {
		return MemberFiles{}, err
	}
	return MemberFiles{Identity: a.identity(), Token: a.token(), CA: a.trusted, ServerCert: server.CertPEM, ServerKey: server.KeyPEM, PeerCert: peer.CertPEM, PeerKey: peer.KeyPEM}, nil
}

// SignMember issues the certificates of an etcd member with the etcd CA in a
// cluster's state directory, which has to be there.
func SignMember(ctx context.Context, stateDir, cluster string, h v1alpha1.Host) (MemberFiles, error) {
	a, err := openAuthority(ctx, stateDir, cluster)
	if err != nil {
		return MemberFiles{}, err
	}
	if len(a.ca.CertPEM) == 0 {
		return MemberFiles{}, fmt.Errorf("the key of the etcd CA is not in %s", stateDir)
	}
	return a.files(h)
}

// NewToken makes a bootstrap token in a running cluster, with which kubelets may
// join for twenty minutes.
func NewToken(ctx context.Context, client kubernetes.Interface) (string, error) {
	return newBootstrapToken(ctx, client, time.Now())
}

// TokenLife is how long the token of NewToken lives.
const TokenLife = tokenLife
