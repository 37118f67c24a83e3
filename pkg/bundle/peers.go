package bundle

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// How long the certificates of one bootstrap or Operation are good for, and how
// far back they begin, for hosts whose clocks are behind.
const (
	peersLifetime = 24 * time.Hour
	peersBackdate = time.Hour
)

// Peers are the credentials with which hosts serve blobs to each other during
// one bootstrap or Operation: a CA whose key is not kept, and one certificate
// for serving and fetching alike. All are PEM; Key is a secret.
type Peers struct {
	CA, Cert, Key []byte
}

// NewPeers makes credentials for hosts, given by their addresses and names.
func NewPeers(hosts []string) (Peers, error) {
	if len(hosts) == 0 {
		return Peers{}, errors.New("certificate for serving blobs: it needs a host")
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Peers{}, err
	}
	ca, err := template("kubectl-ha blobs CA")
	if err != nil {
		return Peers{}, err
	}
	ca.IsCA, ca.BasicConstraintsValid, ca.MaxPathLenZero = true, true, true
	ca.KeyUsage = x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return Peers{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Peers{}, err
	}
	leaf, err := template("kubectl-ha blobs")
	if err != nil {
		return Peers{}, err
	}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return Peers{}, fmt.Errorf("certificate for serving blobs on %v: %w", hosts, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Peers{}, err
	}
	return Peers{CA: encodePEM("CERTIFICATE", caDER), Cert: encodePEM("CERTIFICATE", der),
		Key: encodePEM("PRIVATE KEY", keyDER)}, nil
}

// TLS is both ends' configuration with these credentials: TLS 1.3, and only
// peers with a certificate of the same CA.
func (p Peers) TLS() (*tls.Config, error) {
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate for serving and fetching blobs: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(p.CA) {
		return nil, errors.New("CA for serving and fetching blobs: there is no certificate in it")
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, RootCAs: pool,
		ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"http/1.1"}}, nil
}

func template(name string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-peersBackdate), NotAfter: now.Add(peersLifetime)}, nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
