package bundle

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// signatureFile is the signature's name in the tar. Its content is the base64 of the
// signature over the bytes of the bundle's own manifest, the blob that Digest names:
// a pure Ed25519 signature (RFC 8032), or ECDSA with P-256 over SHA-256 in ASN.1, as
// `openssl` and `cosign sign-blob` write them. The manifest names its artifact type, so
// that a signature over a bundle is one over nothing else.
const signatureFile = "signature"

// maxSignature bounds signatureFile, in bytes.
const maxSignature = 4096

// ErrUntrusted is wrapped when a bundle is not the one that was asked for: another
// digest, no signature, or one by another key.
var ErrUntrusted = errors.New("the bundle is not the one that was asked for")

// SigningKey reads a private key in PEM, unencrypted: Ed25519 or ECDSA with P-256, in
// PKCS #8 or SEC 1.
func SigningKey(data []byte) (crypto.Signer, error) {
	block, err := pemBlock(data, func(kind string) bool { return kind != "EC PARAMETERS" })
	if err != nil {
		return nil, err
	}
	var key any
	switch {
	case strings.Contains(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "":
		return nil, errors.New("the key is encrypted; have `openssl pkey -in FILE` ask for its passphrase, and give what that writes on standard input")
	case block.Type == "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case block.Type == "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case block.Type == "PUBLIC KEY":
		return nil, errors.New("it is a public key; the private one signs")
	default:
		return nil, unknownKey(block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, unknownKey(fmt.Sprintf("%T", key))
	}
	return signer, checkKey(signer.Public())
}

// VerifyingKey reads a public key in PEM, of the kinds of SigningKey.
func VerifyingKey(data []byte) (crypto.PublicKey, error) {
	block, err := pemBlock(data, func(string) bool { return true })
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return nil, errors.New("it is a private key, which belongs to who signs; make the public one of it with `openssl pkey -in FILE -pubout`")
	}
	if block.Type != "PUBLIC KEY" {
		return nil, unknownKey(block.Type)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	return key, checkKey(key)
}

// pemBlock is the first block of a kind that is wanted.
func pemBlock(data []byte, wanted func(kind string) bool) (*pem.Block, error) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, fmt.Errorf("it is not a key in PEM; %s", howToMakeKeys)
		}
		if wanted(block.Type) {
			return block, nil
		}
		data = rest
	}
}

const howToMakeKeys = "make one with `openssl genpkey -algorithm ed25519 -out sign.key`, and its public part with `openssl pkey -in sign.key -pubout -out sign.pub`"

func unknownKey(kind string) error {
	return fmt.Errorf("a key of the kind %.50q is not used here, only Ed25519 and ECDSA with P-256 are; %s", kind, howToMakeKeys)
}

func checkKey(public crypto.PublicKey) error {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return nil
		}
		return unknownKey("ECDSA with " + k.Params().Name)
	case *rsa.PublicKey:
		return unknownKey("RSA")
	}
	return unknownKey(fmt.Sprintf("%T", public))
}

// sign makes the content of signatureFile. The same key and document give the same
// signature: Ed25519 always does, and ECDSA without a source of randomness (RFC 6979).
func sign(key crypto.Signer, document []byte) ([]byte, error) {
	if err := checkKey(key.Public()); err != nil {
		return nil, err
	}
	message, opts := document, crypto.SignerOpts(crypto.Hash(0))
	if _, ok := key.Public().(*ecdsa.PublicKey); ok {
		sum := sha256.Sum256(document)
		message, opts = sum[:], crypto.SHA256
	}
	signature, err := key.Sign(nil, message, opts)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return []byte(base64.StdEncoding.EncodeToString(signature) + "\n"), nil
}

// verifySignature checks the content of signatureFile.
func verifySignature(key crypto.PublicKey, document, content []byte) bool {
	signature, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(content)))
	if err != nil {
		return false
	}
	switch k := key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(k, document, signature)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(document)
		return checkKey(k) == nil && ecdsa.VerifyASN1(k, sum[:], signature)
	}
	return false
}

// Trust is what a bundle has to be before it is used. The zero value asks for nothing.
type Trust struct {
	// Digest is the bundle's Digest.
	Digest digest.Digest
	// Key is who signed it, see VerifyingKey.
	Key crypto.PublicKey
}

// Check compares an open bundle. What it compares was read when the bundle was opened,
// and names all that is in the bundle by digest, so that the file may change afterwards
// without being trusted. Its errors wrap ErrUntrusted.
func (t Trust) Check(b *Bundle) error {
	if t.Digest != "" && t.Digest != b.identity {
		return fmt.Errorf("%s: its digest is %s, not %s (it is what `kubectl ha bundle inspect` shows, not what sha256sum says of the file): %w",
			b.name, b.identity, t.Digest, ErrUntrusted)
	}
	switch {
	case t.Key == nil:
	case b.signature == nil:
		return fmt.Errorf("%s: it is not signed: %w", b.name, ErrUntrusted)
	case !verifySignature(t.Key, b.manifest, b.signature):
		return fmt.Errorf("%s: it is signed by another key, or was changed after that: %w", b.name, ErrUntrusted)
	}
	return nil
}

// Signed tells whether there is a signature, by whomever.
func (b *Bundle) Signed() bool { return b.signature != nil }

// ParseDigest reads a bundle's digest as users write it.
func ParseDigest(text string) (digest.Digest, error) {
	d := digest.Digest(text)
	return d, checkDigest(d)
}
