package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// NewKey makes a private key, as PEM.
func NewKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// SigningRequest asks for a certificate without giving the key away: who has the
// CA's key gets this PEM, and gives it to Sign.
func SigningRequest(keyPEM []byte, r Request) ([]byte, error) {
	key, err := ParseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: r.CommonName, Organization: r.Organization},
		DNSNames: r.DNSNames, IPAddresses: r.IPs,
	}, key)
	if err != nil {
		return nil, fmt.Errorf("ask for the certificate %s: %w", r.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// SignServer signs what SigningRequest made, for a server and for nothing else:
// what the request asks for beside its name and addresses is left out. The
// validity is DefaultValidity, never beyond the CA's own end.
func SignServer(ca KeyPair, requestPEM []byte) ([]byte, error) {
	request, err := parseRequest(requestPEM)
	if err != nil {
		return nil, err
	}
	if request.Subject.CommonName == "" || len(request.DNSNames)+len(request.IPAddresses) == 0 {
		return nil, errors.New("a server's certificate needs a common name, and names or addresses")
	}
	caCert, caKey, err := ca.parse()
	if err != nil {
		return nil, fmt.Errorf("sign the certificate %s: the CA: %w", request.Subject.CommonName, err)
	}
	template, err := newTemplate(pkix.Name{CommonName: request.Subject.CommonName}, DefaultValidity)
	if err != nil {
		return nil, err
	}
	if template.NotAfter.After(caCert.NotAfter) {
		template.NotAfter = caCert.NotAfter
	}
	if !caCert.IsCA || !template.NotAfter.After(time.Now()) {
		return nil, fmt.Errorf("sign the certificate %s: %s is no CA, or has expired", request.Subject.CommonName, caCert.Subject.CommonName)
	}
	template.DNSNames, template.IPAddresses = request.DNSNames, request.IPAddresses
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, caCert, request.PublicKey, caKey)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate %s: %w", request.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
