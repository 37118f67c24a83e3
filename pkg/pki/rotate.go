package pki

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// NextCA creates the CA that replaces another one: a new key of the same kind, and the same
// name. Its subject has a serial number (RFC 5280, 4.1.2.4) besides, so that programs that look
// an issuer up by its name tell the two apart. It is valid as long as the one before was, or
// for validity if that is greater than zero.
func NextCA(caPEM []byte, validity time.Duration) (KeyPair, error) {
	old, err := ParseCert(caPEM)
	if err != nil {
		return KeyPair{}, err
	}
	if !old.IsCA {
		return KeyPair{}, fmt.Errorf("%s is not a CA", old.Subject)
	}
	keyPEM, err := NewKeyLike(caPEM)
	if err != nil {
		return KeyPair{}, err
	}
	key, err := ParseKey(keyPEM)
	if err != nil {
		return KeyPair{}, err
	}
	if validity <= 0 {
		validity = min(old.NotAfter.Sub(old.NotBefore), DefaultCAValidity)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return KeyPair{}, fmt.Errorf("encode the public key of the new CA: %w", err)
	}
	sum := sha256.Sum256(public)
	template, err := newTemplate(pkix.Name{CommonName: old.Subject.CommonName, Organization: old.Subject.Organization, SerialNumber: hex.EncodeToString(sum[:8])}, validity)
	if err != nil {
		return KeyPair{}, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature | old.KeyUsage
	template.DNSNames = slices.Clone(old.DNSNames)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("sign the new CA %s: %w", old.Subject.CommonName, err)
	}
	return KeyPair{CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), KeyPEM: keyPEM}, nil
}

// CrossSign returns a certificate for the key and the name of another CA, signed by ca. A
// server that sends it after its own certificate is trusted by clients that know only ca. It is
// valid until the first of the two CAs expires.
func CrossSign(ca KeyPair, otherPEM []byte) ([]byte, error) {
	caCert, caKey, err := ca.parse()
	if err != nil {
		return nil, fmt.Errorf("cross-sign a CA: %w", err)
	}
	other, err := ParseCert(otherPEM)
	if err != nil {
		return nil, fmt.Errorf("cross-sign a CA: %w", err)
	}
	template, err := newTemplate(other.Subject, time.Until(other.NotAfter))
	if err != nil {
		return nil, err
	}
	if template.NotAfter.After(caCert.NotAfter) {
		template.NotAfter = caCert.NotAfter
	}
	template.RawSubject, template.SubjectKeyId = other.RawSubject, other.SubjectKeyId
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, other.KeyUsage
	der, err := x509.CreateCertificate(rand.Reader, template, caCert, other.PublicKey, caKey)
	if err != nil {
		return nil, fmt.Errorf("cross-sign the CA %s: %w", other.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// Reissue signs the successor of a certificate by another CA than the one that has signed it:
// during a rotation, ca replaces former. What already carries ca's signature is renewed. The
// rest is as in Renew.
func Reissue(ca KeyPair, formerPEM, certPEM, requestPEM []byte, validity time.Duration) ([]byte, error) {
	request, err := parseRequest(requestPEM)
	if err != nil {
		return nil, err
	}
	if err := checkKeyKind(request.PublicKey); err != nil {
		return nil, err
	}
	old, err := ParseCert(certPEM)
	if err != nil {
		return nil, err
	}
	former, err := ParseCert(formerPEM)
	if err != nil {
		return nil, fmt.Errorf("the former CA: %w", err)
	}
	if err := old.CheckSignatureFrom(former); err != nil {
		return renew(ca, certPEM, request.PublicKey, validity)
	}
	return sign(ca, old, request.PublicKey, validity)
}

// SignedBy reports whether a CA has signed a certificate. Both are PEM.
func SignedBy(certPEM, caPEM []byte) (bool, error) {
	err := IssuedBy(caPEM, certPEM)
	if errors.Is(err, ErrOtherCA) {
		return false, nil
	}
	return err == nil, err
}

// Certs returns every certificate of a PEM file, each as PEM of its own, in their order.
func Certs(certsPEM []byte) [][]byte { return blocks(certsPEM, "CERTIFICATE") }

// PublicKeys returns every public key of a PEM file, each as PEM of its own, in their order.
func PublicKeys(keysPEM []byte) [][]byte { return blocks(keysPEM, "PUBLIC KEY") }

func blocks(content []byte, kind string) [][]byte {
	var out [][]byte
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out
		}
		if block.Type == kind {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: block.Bytes}))
		}
	}
}

// PublicKey encodes the public key of a private one as PEM, the way kubeadm writes sa.pub.
func PublicKey(keyPEM []byte) ([]byte, error) {
	key, err := ParseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode the public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// NewServiceAccountKey creates a private key of the same kind as the public one, for signing
// tokens of service accounts. The API server accepts RSA and ECDSA.
func NewServiceAccountKey(publicPEM []byte) ([]byte, error) {
	block, _ := pem.Decode(publicPEM)
	if block == nil {
		return nil, errors.New("no public key found in the PEM data")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the public key: %w", err)
	}
	return newKeyLike(public, "service accounts")
}

// Same reports whether two PEM blocks have the same content.
func Same(a, b []byte) bool {
	x, _ := pem.Decode(a)
	y, _ := pem.Decode(b)
	return x != nil && y != nil && x.Type == y.Type && bytes.Equal(x.Bytes, y.Bytes)
}

// Holds reports whether a private key belongs to a certificate or public key, all as PEM.
func Holds(keyPEM, publicPEM []byte) bool {
	key, err := ParseKey(keyPEM)
	if err != nil {
		return false
	}
	public, err := publicOf(publicPEM)
	if err != nil {
		return false
	}
	mine, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && mine.Equal(public)
}

func publicOf(content []byte) (crypto.PublicKey, error) {
	if cert, err := ParseCert(content); err == nil {
		return cert.PublicKey, nil
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errors.New("neither a certificate nor a public key found in the PEM data")
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

// SameSet reports whether two lists of PEM blocks have the same contents, in any order.
func SameSet(a, b [][]byte) bool { return within(a, b) && within(b, a) }

func within(some, all [][]byte) bool {
	return !slices.ContainsFunc(some, func(one []byte) bool {
		return !slices.ContainsFunc(all, func(other []byte) bool { return Same(one, other) })
	})
}

// ID is a short name of a CA's certificate or of a public key: the first 16 hexadecimal digits
// of the SHA-256 of its DER.
func ID(content []byte) string {
	block, _ := pem.Decode(content)
	if block == nil {
		return ""
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:8])
}
