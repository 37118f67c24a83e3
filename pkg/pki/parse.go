package pki

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// ParseCert reads the first certificate of a PEM file.
func ParseCert(certPEM []byte) (*x509.Certificate, error) {
	for rest := certPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("no certificate found in the PEM data")
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read the certificate: %w", err)
		}
		return cert, nil
	}
}

// ParseKey reads the first private key of a PEM file: PKCS#8, SEC 1 (EC) or
// PKCS#1 (RSA, as kubeadm makes them). Errors never contain any of the data.
func ParseKey(keyPEM []byte) (crypto.Signer, error) {
	for rest := keyPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("no private key found in the PEM data")
		}
		var key any
		var err error
		switch block.Type {
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		default:
			continue
		}
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok {
			return nil, fmt.Errorf("the private key (%s) can't be read", block.Type)
		}
		return signer, nil
	}
}

// Check tells whether the pair is readable and the key is the certificate's.
func (p KeyPair) Check() error {
	_, _, err := p.parse()
	return err
}

func (p KeyPair) parse() (*x509.Certificate, crypto.Signer, error) {
	cert, err := ParseCert(p.CertPEM)
	if err != nil {
		return nil, nil, err
	}
	key, err := ParseKey(p.KeyPEM)
	if err != nil {
		return nil, nil, err
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(cert.PublicKey) {
		return nil, nil, fmt.Errorf("the private key does not belong to the certificate %s", cert.Subject.CommonName)
	}
	return cert, key, nil
}

// String keeps the key out of logs, however a pair is printed.
func (p KeyPair) String() string {
	cert, err := ParseCert(p.CertPEM)
	if err != nil {
		return "key pair without a readable certificate"
	}
	return "key pair of " + cert.Subject.CommonName
}

// GoString is String, for %#v.
func (p KeyPair) GoString() string { return p.String() }
