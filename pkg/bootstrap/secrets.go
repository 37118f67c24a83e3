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
	ca      pki.KeyPair
	// life is how long what it issues lives; zero is pki.DefaultValidity. For tests.
	life time.Duration
}

// openAuthority loads the etcd CA, and makes it when make is true and there is
// none; without that, an authority without a CA is returned.
func openAuthority(ctx context.Context, dir, cluster string, make bool) (authority, error) {
	a := authority{cluster: cluster}
	if _, err := os.Stat(dir); !make && errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	store, err := pki.OpenStore(dir)
	if err != nil {
		return a, err
	}
	if make {
		a.ca, _, err = store.CA(ctx, etcdCA, cluster+" etcd CA")
		return a, err
	}
	a.ca, _, err = store.Load(ctx, etcdCA)
	return a, err
}

// fingerprint is the hex SHA-256 of the CA's DER, as hosts tell theirs; empty
// without a CA.
func (a authority) fingerprint() (string, error) {
	if len(a.ca.CertPEM) == 0 {
		return "", nil
	}
	cert, err := pki.ParseCert(a.ca.CertPEM)
	if err != nil {
		return "", fmt.Errorf("the etcd CA: %w", err)
	}
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:]), nil
}

// token is etcd's initial cluster token. It is the same for ever, and no other
// cluster's, since it has the CA in it. It is no secret.
func (a authority) token() (string, error) {
	f, err := a.fingerprint()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s-%.16s", a.cluster, f), nil
}

// member issues one member's certificates. Both are for both sides of TLS:
// peers are clients of each other, and etcd's gateway is one of its server.
func (a authority) member(h v1alpha1.Host) (server, peer pki.KeyPair, err error) {
	r := pki.Request{CommonName: h.Name, DNSNames: []string{h.Name, "localhost"}, Server: true, Client: true, Validity: a.life,
		IPs: []net.IP{net.ParseIP(h.Address), net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
	if server, err = pki.Issue(a.ca, r); err != nil {
		return server, peer, err
	}
	peer, err = pki.Issue(a.ca, r)
	return server, peer, err
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
	token, err := a.token()
	return MemberFiles{Token: token, CA: a.ca.CertPEM, ServerCert: server.CertPEM, ServerKey: server.KeyPEM, PeerCert: peer.CertPEM, PeerKey: peer.KeyPEM}, err
}

// SignMember issues the certificates of an etcd member with the etcd CA in a
// cluster's state directory, which has to be there.
func SignMember(ctx context.Context, stateDir, cluster string, h v1alpha1.Host) (MemberFiles, error) {
	a, err := openAuthority(ctx, stateDir, cluster, false)
	if err != nil {
		return MemberFiles{}, err
	}
	if len(a.ca.CertPEM) == 0 {
		return MemberFiles{}, fmt.Errorf("the key of the etcd CA is not in %s", stateDir)
	}
	return a.files(h)
}

// NewToken makes a bootstrap token in a running cluster, with which kubelets may
// enrol for twenty minutes.
func NewToken(ctx context.Context, client kubernetes.Interface) (string, error) {
	return newBootstrapToken(ctx, client, time.Now())
}

// TokenLife is how long the token of NewToken lives.
const TokenLife = tokenLife
