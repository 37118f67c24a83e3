package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Fingerprint is the hex SHA-256 of a certificate's DER.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Lifetime is how long a certificate was made for, and how long the next one lives: never
// longer than DefaultValidity. Of one that begins long before it was made, as those do that
// kubeadm makes (they begin with their CA), more can't be told.
func Lifetime(cert *x509.Certificate) time.Duration { return lifetime(cert.NotBefore, cert.NotAfter) }

func lifetime(notBefore, notAfter time.Time) time.Duration {
	life := notAfter.Sub(notBefore)
	if life > 2*clockSkew {
		life -= clockSkew
	}
	return min(life, DefaultValidity)
}

// Due tells whether less than half of a certificate's life is left.
func Due(cert *x509.Certificate, now time.Time) bool {
	return cert.NotAfter.Sub(now) < Lifetime(cert)/2
}

// Spent is which part of its life a certificate has behind it, that is valid between these times:
// 0 for a new one, 1 and more for one that has ended.
func Spent(notBefore, notAfter, now time.Time) float64 {
	life := lifetime(notBefore, notAfter)
	if life <= 0 {
		return 1
	}
	return 1 - float64(notAfter.Sub(now))/float64(life)
}

// NewKeyLike makes a private key of the kind that a certificate has: another program may be
// able to use no other one.
func NewKeyLike(certPEM []byte) ([]byte, error) {
	cert, err := ParseCert(certPEM)
	if err != nil {
		return nil, err
	}
	return newKeyLike(cert.PublicKey, "the certificate "+cert.Subject.CommonName)
}

// newKeyLike creates a key of the same kind; of names what has the public one.
func newKeyLike(public crypto.PublicKey, of string) ([]byte, error) {
	switch public := public.(type) {
	case *rsa.PublicKey:
		key, err := rsa.GenerateKey(rand.Reader, max(2048, public.N.BitLen()))
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), nil
	case *ecdsa.PublicKey:
		key, err := ecdsa.GenerateKey(public.Curve, rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("write a key: %w", err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
	}
	return nil, fmt.Errorf("the key of %s is neither RSA nor ECDSA, and can't be renewed here", of)
}

// RenewalRequest asks for the successor of a certificate, with another key. It has the
// subject and the names; who signs goes by the certificate itself.
func RenewalRequest(certPEM, keyPEM []byte) ([]byte, error) {
	cert, err := ParseCert(certPEM)
	if err != nil {
		return nil, err
	}
	key, err := ParseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		RawSubject: cert.RawSubject, DNSNames: cert.DNSNames, IPAddresses: cert.IPAddresses, EmailAddresses: cert.EmailAddresses, URIs: cert.URIs,
		ExtraExtensions: uses(cert),
	}, key)
	if err != nil {
		return nil, fmt.Errorf("ask for another certificate %s: %w", cert.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// uses are a certificate's extensions that say what it is for. Who signs by another program can
// copy them from the request.
func uses(cert *x509.Certificate) []pkix.Extension {
	// https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1: key usage, basic constraints, extended key usage.
	wanted := []asn1.ObjectIdentifier{{2, 5, 29, 15}, {2, 5, 29, 19}, {2, 5, 29, 37}}
	return slices.DeleteFunc(slices.Clone(cert.Extensions), func(e pkix.Extension) bool {
		return !slices.ContainsFunc(wanted, e.Id.Equal)
	})
}

// Answers is nil when a certificate is for the key of a request.
func Answers(certPEM, requestPEM []byte) error {
	cert, err := ParseCert(certPEM)
	if err != nil {
		return err
	}
	request, err := parseRequest(requestPEM)
	if err != nil {
		return err
	}
	public, ok := request.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(cert.PublicKey) {
		return fmt.Errorf("the certificate %s is for another key than the one that waits", cert.Subject.CommonName)
	}
	return nil
}

// parseRequest reads a certificate request, and sees that who made it has the key.
func parseRequest(requestPEM []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(requestPEM)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("no certificate request found in the PEM data")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = request.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("read the certificate request: %w", err)
	}
	return request, nil
}

// ErrOtherCA is why a certificate is not renewed: another CA has signed it.
var ErrOtherCA = errors.New("another CA has signed it")

// ErrCAEnded is why nothing is signed: the CA's own certificate has ended.
var ErrCAEnded = errors.New("the CA's own certificate has ended")

// IssuedBy is nil when one of the CAs in a PEM file has signed a certificate, whether that has
// ended or not; else it is ErrOtherCA.
func IssuedBy(caPEM, certPEM []byte) error {
	cert, err := ParseCert(certPEM)
	if err != nil {
		return err
	}
	var last error
	for rest := caPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("read the CA: %w", err)
		}
		if last = cert.CheckSignatureFrom(ca); last == nil {
			return nil
		}
		last = fmt.Errorf("not by the CA %s: %w: %w", ca.Subject.CommonName, ErrOtherCA, last)
	}
	if last == nil {
		return errors.New("the file of the CA has no certificate")
	}
	return fmt.Errorf("the certificate %s: %w", cert.Subject.CommonName, last)
}

// Renew signs the successor of a certificate, which the same CA has to have signed: with the
// same subject, uses and names, and the key of a request. What else the request asks for is
// left out, so that nobody gets more than there was. That the certificate has ended does not
// matter. Validity 0 is the certificate's Lifetime; never beyond the CA's own end.
func Renew(ca KeyPair, certPEM, requestPEM []byte, validity time.Duration) ([]byte, error) {
	request, err := parseRequest(requestPEM)
	if err != nil {
		return nil, err
	}
	if err := checkKeyKind(request.PublicKey); err != nil {
		return nil, err
	}
	return renew(ca, certPEM, request.PublicKey, validity)
}

func checkKeyKind(key crypto.PublicKey) error {
	switch public := key.(type) {
	case *ecdsa.PublicKey:
		return nil
	case *rsa.PublicKey:
		if public.N.BitLen() >= 2048 {
			return nil
		}
	}
	return errors.New("the key of a certificate request is to be ECDSA, or RSA of 2048 bits or more")
}

func renew(ca KeyPair, certPEM []byte, key crypto.PublicKey, validity time.Duration) ([]byte, error) {
	old, err := ParseCert(certPEM)
	if err != nil {
		return nil, err
	}
	caCert, _, err := ca.parse()
	if err != nil {
		return nil, fmt.Errorf("renew the certificate %s: the CA: %w", old.Subject.CommonName, err)
	}
	if err := old.CheckSignatureFrom(caCert); err != nil {
		return nil, fmt.Errorf("renew the certificate %s: not by the CA %s: %w: %w", old.Subject.CommonName, caCert.Subject.CommonName, ErrOtherCA, err)
	}
	return sign(ca, old, key, validity)
}

// sign signs the successor of a certificate, whoever has signed that.
func sign(ca KeyPair, old *x509.Certificate, key crypto.PublicKey, validity time.Duration) ([]byte, error) {
	what := "renew the certificate " + old.Subject.CommonName
	caCert, caKey, err := ca.parse()
	if err != nil {
		return nil, fmt.Errorf("%s: the CA: %w", what, err)
	}
	if old.IsCA {
		return nil, fmt.Errorf("%s: it is a CA's", what)
	}
	if validity <= 0 {
		validity = Lifetime(old)
	}
	template, err := newTemplate(old.Subject, validity)
	if err != nil {
		return nil, err
	}
	if template.NotAfter.After(caCert.NotAfter) {
		template.NotAfter = caCert.NotAfter
	}
	if !caCert.NotAfter.After(time.Now()) {
		return nil, fmt.Errorf("%s: %w: that of %s, at %s", what, ErrCAEnded, caCert.Subject.CommonName, caCert.NotAfter.UTC().Format(time.RFC3339))
	}
	template.RawSubject, template.BasicConstraintsValid = old.RawSubject, true
	template.KeyUsage, template.ExtKeyUsage, template.UnknownExtKeyUsage = old.KeyUsage, old.ExtKeyUsage, old.UnknownExtKeyUsage
	template.DNSNames, template.IPAddresses = slices.Clone(old.DNSNames), slices.Clone(old.IPAddresses)
	template.EmailAddresses, template.URIs = slices.Clone(old.EmailAddresses), slices.Clone(old.URIs)
	der, err := x509.CreateCertificate(rand.Reader, template, caCert, key, caKey)
	if err != nil {
		return nil, fmt.Errorf("%s: sign it: %w", what, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// Succeeds is nil when a certificate can take another one's place: it has the same subject,
// and at least its names and uses.
func Succeeds(freshPEM, oldPEM []byte) error {
	fresh, err := ParseCert(freshPEM)
	if err != nil {
		return err
	}
	old, err := ParseCert(oldPEM)
	if err != nil {
		return err
	}
	if string(fresh.RawSubject) != string(old.RawSubject) {
		return fmt.Errorf("the new certificate is for %s, and not for %s", fresh.Subject, old.Subject)
	}
	var names []string
	names = append(names, old.DNSNames...)
	for _, ip := range old.IPAddresses {
		names = append(names, ip.String())
	}
	if lacking := Lacking(fresh, names); len(lacking) > 0 {
		return fmt.Errorf("the new certificate of %s lacks the names %v", old.Subject.CommonName, lacking)
	}
	for _, use := range old.ExtKeyUsage {
		if !slices.Contains(fresh.ExtKeyUsage, use) {
			return fmt.Errorf("the new certificate of %s lacks a use that the old one has", old.Subject.CommonName)
		}
	}
	return nil
}

// EncodeCert writes a certificate as PEM.
func EncodeCert(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}
