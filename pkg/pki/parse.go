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

var (
	errNoPrivateKey = errors.New("no private key found in the PEM data")
	errEncrypted    = errors.New("the private key is encrypted, and no program of a cluster asks for a passphrase: " +
		"decrypt it into a file that only you can read, (umask 077; openssl pkey -in KEY -out DECRYPTED)")
)

// isPrivateKey reports whether a PEM block's type is one that ParseKey reads.
func isPrivateKey(kind string) bool {
	return kind == "EC PRIVATE KEY" || kind == "RSA PRIVATE KEY" || kind == "PRIVATE KEY"
}

// encrypted reports whether a block is a private key that needs a passphrase: by PKCS#8, or as OpenSSL
// did it before (RFC 1421, 4.6.1.1).
func encrypted(block *pem.Block) bool {
	return block.Type == "ENCRYPTED PRIVATE KEY" || isPrivateKey(block.Type) && block.Headers["DEK-Info"] != ""
}

// ParseKey reads the first private key of a PEM file: PKCS#8, SEC 1 (EC) or
// PKCS#1 (RSA, as kubeadm makes them). Errors never contain any of the data.
func ParseKey(keyPEM []byte) (crypto.Signer, error) {
	for rest := keyPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errNoPrivateKey
		}
		if encrypted(block) {
			return nil, errEncrypted
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
