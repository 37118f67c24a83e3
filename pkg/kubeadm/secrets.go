package kubeadm

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"regexp"
)

// Their syntax: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/#token-format
// and kubeadm's CertificateKeySize (32 bytes, AES-256).
var (
	tokenSyntax          = regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`)
	certificateKeySyntax = regexp.MustCompile(`^[0-9a-f]{64}$`)
	caCertHashSyntax     = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// NewToken makes a bootstrap token: a public id and a secret, "abcdef.0123456789abcdef".
func NewToken() (string, error) {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	token := make([]byte, 0, 23)
	for len(token) < cap(token) {
		if len(token) == 6 {
			token = append(token, '.')
			continue
		}
		i, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			return "", fmt.Errorf("make a bootstrap token: %w", err)
		}
		token = append(token, alphabet[i.Int64()])
	}
	return string(token), nil
}

// NewCertificateKey makes a key for kubeadm's upload-certs: 32 bytes in hex.
func NewCertificateKey() (string, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return "", fmt.Errorf("make a certificate key: %w", err)
	}
	return hex.EncodeToString(key), nil
}

// The errors name no value: all but the hash are secrets.

func checkToken(token string) error {
	if !tokenSyntax.MatchString(token) {
		return errors.New("the bootstrap token is missing or has not the form abcdef.0123456789abcdef")
	}
	return nil
}

func checkCertificateKey(key string) error {
	if !certificateKeySyntax.MatchString(key) {
		return errors.New("the certificate key is missing or is not 64 hexadecimal digits")
	}
	return nil
}

func checkCACertHash(hash string) error {
	if !caCertHashSyntax.MatchString(hash) {
		return fmt.Errorf("the CA's fingerprint %q is not sha256: and 64 hexadecimal digits", hash)
	}
	return nil
}
