package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	// DefaultCAValidity is how long a CA is valid when nothing else is asked for.
	DefaultCAValidity = 10 * 365 * 24 * time.Hour
	// DefaultValidity is how long a certificate is valid when nothing else is
	// asked for; kubeadm's leaf certificates have the same.
	DefaultValidity = 365 * 24 * time.Hour
	// clockSkew is how far a host's clock may be behind the workstation's
	// without a fresh certificate being "not yet valid" there.
	clockSkew = 5 * time.Minute
)

// KeyPair is a certificate with its private key, both PEM.
type KeyPair struct {
	CertPEM []byte
	KeyPEM  []byte
}

// Request says what a certificate is for.
type Request struct {
	// CommonName is the subject's name, required.
	CommonName string
	// Organization are the subject's groups.
	Organization []string
	// DNSNames and IPs are the names of a server.
	DNSNames []string
	IPs      []net.IP
	// Server and Client say for which sides of TLS it may be used; at least one.
	Server, Client bool
	// Validity is the time until it expires. Default DefaultValidity; never
	// beyond the CA's own end.
	Validity time.Duration
}

// NewCA makes a self-signed CA whose common name is name. Validity 0 means
// DefaultCAValidity.
func NewCA(name string, validity time.Duration) (KeyPair, error) {
	if validity == 0 {
		validity = DefaultCAValidity
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return KeyPair{}, fmt.Errorf("make a key for the CA %s: %w", name, err)
	}
	template, err := newTemplate(pkix.Name{CommonName: name}, validity)
	if err != nil {
		return KeyPair{}, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("sign the CA %s: %w", name, err)
	}
	return encode(der, key)
}

// Issue makes a certificate signed by ca.
func Issue(ca KeyPair, r Request) (KeyPair, error) {
	if r.CommonName == "" || !r.Server && !r.Client {
		return KeyPair{}, fmt.Errorf("a certificate needs a common name and a use (server, client); got %q", r.CommonName)
	}
	caCert, caKey, err := ca.parse()
	if err != nil {
		return KeyPair{}, fmt.Errorf("issue the certificate %s: the CA: %w", r.CommonName, err)
	}
	if !caCert.IsCA {
		return KeyPair{}, fmt.Errorf("issue the certificate %s: %s is no CA", r.CommonName, caCert.Subject.CommonName)
	}
	if r.Validity == 0 {
		r.Validity = DefaultValidity
	}
	template, err := newTemplate(pkix.Name{CommonName: r.CommonName, Organization: r.Organization}, r.Validity)
	if err != nil {
		return KeyPair{}, err
	}
	if template.NotAfter.After(caCert.NotAfter) {
		template.NotAfter = caCert.NotAfter
	}
	if !caCert.NotAfter.After(time.Now()) {
		return KeyPair{}, fmt.Errorf("issue the certificate %s: the CA %s expired on %s",
			r.CommonName, caCert.Subject.CommonName, caCert.NotAfter.Format(time.RFC3339))
	}
	template.DNSNames, template.IPAddresses = r.DNSNames, r.IPs
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	if r.Server {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if r.Client {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return KeyPair{}, fmt.Errorf("make a key for %s: %w", r.CommonName, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, caCert, &key.PublicKey, caKey)
	if err != nil {
		return KeyPair{}, fmt.Errorf("sign the certificate %s: %w", r.CommonName, err)
	}
	return encode(der, key)
}

// newTemplate has what CA and leaf have in common. The serial number has 127
// random bits, and is positive as RFC 5280 wants it (4.1.2.2).
func newTemplate(subject pkix.Name, validity time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	now := time.Now().UTC()
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      subject,
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(validity),
	}, nil
}

func encode(der []byte, key *ecdsa.PrivateKey) (KeyPair, error) {
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("write a key: %w", err)
	}
	return KeyPair{
		CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

// CertHash is the CA's fingerprint for kubeadm's discovery: "sha256:" and the
// hex digest of its subject public key info. CertPEM may hold other blocks; the
// first certificate counts.
// https://kubernetes.io/docs/reference/setup-tools/kubeadm/kubeadm-join/#token-based-discovery-with-ca-pinning
func CertHash(certPEM []byte) (string, error) {
	cert, err := ParseCert(certPEM)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// NotAfter is when the first certificate in certPEM expires.
func NotAfter(certPEM []byte) (time.Time, error) {
	cert, err := ParseCert(certPEM)
	if err != nil {
		return time.Time{}, err
	}
	return cert.NotAfter, nil
}

// Verify checks that the CA in caPEM signed the certificate in certPEM, and that
// both are valid now.
func Verify(certPEM, caPEM []byte) error {
	cert, err := ParseCert(certPEM)
	if err != nil {
		return err
	}
	ca, err := ParseCert(caPEM)
	if err != nil {
		return fmt.Errorf("the CA: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("the certificate %s is not good for the CA %s: %w", cert.Subject.CommonName, ca.Subject.CommonName, err)
	}
	return nil
}

// SameKey tells whether two certificates have the same public key, as a renewed
// CA has. A certificate that can't be read is an error.
func SameKey(aPEM, bPEM []byte) (bool, error) {
	a, errA := ParseCert(aPEM)
	b, errB := ParseCert(bPEM)
	if err := errors.Join(errA, errB); err != nil {
		return false, err
	}
	return string(a.RawSubjectPublicKeyInfo) == string(b.RawSubjectPublicKeyInfo), nil
}
