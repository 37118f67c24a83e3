package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

const (
	// minRSA and maxRSA are the sizes of an RSA key that are accepted, in bits. Less is not secure
	// (NIST SP 800-131A); Go's TLS accepts no certificate of a larger key (maxRSAKeySize in
	// crypto/tls), which a server sends while the CA is rotated.
	minRSA, maxRSA = 2048, 8192
	// maxOwn bounds a file that somebody brings, in bytes.
	maxOwn = 1 << 20
)

// ReadOwn reads a CA that somebody brings, from two files of this machine. The certificate's file may
// have the certificates behind it that lead to its root: the CA first, each followed by the one that has
// signed it. The chain is checked and left out: the pair has one certificate, and the key, and nothing
// else that is in the files.
//
// A key that others may read is refused, as by ssh. What is in a key is in no error.
func ReadOwn(certPath, keyPath string) (KeyPair, error) {
	certs, err := readOwn(certPath, false)
	if err != nil {
		return KeyPair{}, err
	}
	key, err := readOwn(keyPath, true)
	if err != nil {
		return KeyPair{}, err
	}
	pair, err := Own(certs, key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("%s with %s: %w", certPath, keyPath, err)
	}
	return pair, nil
}

func readOwn(path string, secret bool) ([]byte, error) {
	info, err := os.Stat(path) // Of a link the target counts.
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory; specify the file", path)
	case info.Size() > maxOwn:
		return nil, fmt.Errorf("%s is too large to be a certificate or a key", path)
	case secret && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s is a private key, and others may read it (mode %04o): make sure that nobody has, then run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	return os.ReadFile(path)
}

// Own makes a pair of a CA that somebody brings: see ReadOwn. Both are PEM.
func Own(certsPEM, keyPEM []byte) (KeyPair, error) {
	all := Certs(certsPEM)
	if len(all) == 0 {
		return KeyPair{}, errors.New("there is no certificate in the first file; it has to be PEM (openssl x509 -inform der converts it)")
	}
	key, err := onlyKey(keyPEM)
	if err != nil {
		return KeyPair{}, err
	}
	if at := slices.IndexFunc(all, func(c []byte) bool { return Holds(key, c) }); at > 0 {
		return KeyPair{}, fmt.Errorf("the private key belongs to certificate %d of the file: it has to be the first one, followed by the one that has signed it", at+1)
	}
	pair := KeyPair{CertPEM: all[0], KeyPEM: key}
	if err := pair.Check(); err != nil {
		return KeyPair{}, err
	}
	return pair, checkChain(all)
}

// onlyKey is a key file's private key, without all else that is there.
func onlyKey(keyPEM []byte) ([]byte, error) {
	if _, err := ParseKey(keyPEM); err != nil {
		return nil, err
	}
	for rest := keyPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errNoPrivateKey
		}
		if isPrivateKey(block.Type) {
			return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}), nil
		}
	}
}

// checkChain is nil when each certificate was signed by the one that follows.
func checkChain(all [][]byte) error {
	cert, err := ParseCert(all[0])
	if err != nil {
		return err
	}
	for i, next := range all[1:] {
		if selfSigned(cert) {
			return fmt.Errorf("certificate %d of the file, %s, is self-signed, and more certificates follow: leave only the CA's own, and those that lead to its root", i+1, cert.Subject)
		}
		signer, err := ParseCert(next)
		if err != nil {
			return fmt.Errorf("certificate %d of the file: %w", i+2, err)
		}
		if err := cert.CheckSignatureFrom(signer); err != nil {
			return fmt.Errorf("certificate %d of the file, %s, has not signed the one before it, %s: put the CA first, then the one that has signed it, and so on: %w", i+2, signer.Subject, cert.Subject, err)
		}
		cert = signer
	}
	return nil
}

func selfSigned(cert *x509.Certificate) bool {
	return string(cert.RawIssuer) == string(cert.RawSubject) && cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

// CheckOwn is nil when a CA that somebody brings can sign what is needed, which are the trials: each is
// issued, thrown away, and verified as the programs of a cluster verify it, with the CA as the only one
// that is trusted. So it finds a CA that may not sign, one for other uses, and one whose constraints exclude
// a name. Warnings are of what works now.
func CheckOwn(pair KeyPair, trials []Request, now time.Time) (warnings []string, err error) {
	cert, _, err := pair.parse()
	if err != nil {
		return nil, err
	}
	if err := checkOwnKey(cert); err != nil {
		return nil, err
	}
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return nil, fmt.Errorf("%s is not a CA: its certificate needs basicConstraints with CA:TRUE (RFC 5280, 4.2.1.9)", cert.Subject)
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, fmt.Errorf("%s may not sign certificates: its keyUsage needs keyCertSign (RFC 5280, 4.2.1.3)", cert.Subject)
	case now.Before(cert.NotBefore):
		return nil, fmt.Errorf("%s is not valid before %s; check the clock of this machine", cert.Subject, day(cert.NotBefore))
	case !now.Before(cert.NotAfter):
		return nil, fmt.Errorf("%s: %w, on %s; have its certificate renewed first", cert.Subject, ErrCAEnded, day(cert.NotAfter))
	}
	for _, r := range trials {
		if err := try(pair, cert, r, now); err != nil {
			return nil, fmt.Errorf("%s cannot be used: a certificate by it for %s is not valid: %w", cert.Subject, r.CommonName, err)
		}
	}
	return warningsOf(cert, now), nil
}

func warningsOf(cert *x509.Certificate, now time.Time) []string {
	var out []string
	if cert.NotAfter.Sub(now) < DefaultValidity {
		out = append(out, fmt.Sprintf("%s expires on %s: everything that it signs expires with it; replace it before with certs rotate-ca", cert.Subject, day(cert.NotAfter)))
	}
	if !selfSigned(cert) {
		out = append(out, fmt.Sprintf("%s is an intermediate CA: the cluster trusts it, and not %s, which has signed it; clients that want a chain up to a root have to be given that (docs/certificates.md)", cert.Subject, cert.Issuer))
	}
	if cert.KeyUsage == 0 || len(cert.SubjectKeyId) == 0 {
		out = append(out, fmt.Sprintf("%s has no keyUsage or no subjectKeyIdentifier, which RFC 5280 (4.2.1) requires of a CA: strict clients, such as Python 3.13, refuse what it signs", cert.Subject))
	}
	if constrained(cert) {
		out = append(out, fmt.Sprintf("%s has name constraints: hosts that join later need names and addresses within them", cert.Subject))
	}
	return out
}

// constrained reports whether a CA may sign for some names only.
func constrained(cert *x509.Certificate) bool {
	lists := [][]string{cert.PermittedDNSDomains, cert.ExcludedDNSDomains, cert.PermittedEmailAddresses, cert.ExcludedEmailAddresses, cert.PermittedURIDomains, cert.ExcludedURIDomains}
	return len(cert.PermittedIPRanges)+len(cert.ExcludedIPRanges) > 0 || slices.ContainsFunc(lists, func(l []string) bool { return len(l) > 0 })
}

// SignsNoCA reports whether a CA may not sign other CAs: its path length is 0 (RFC 5280, 4.2.1.9).
func SignsNoCA(caPEM []byte) bool {
	cert, err := ParseCert(caPEM)
	return err == nil && cert.MaxPathLen == 0 && cert.MaxPathLenZero
}

// Parent is the name of the CA that has signed a CA; empty for one that is self-signed, or can't be read.
func Parent(caPEM []byte) string {
	cert, err := ParseCert(caPEM)
	if err != nil || selfSigned(cert) {
		return ""
	}
	return cert.Issuer.String()
}

// checkOwnKey refuses keys that kubeadm refuses, and weak ones. kubeadm reads the keys of its CAs by
// TryLoadKeyFromDisk, which accepts RSA and ECDSA only:
// https://github.com/kubernetes/kubernetes/blob/v1.36.0/cmd/kubeadm/app/util/pkiutil/pki_helpers.go
func checkOwnKey(cert *x509.Certificate) error {
	switch public := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("%s has an RSA key of %d bits; use %d to %d", cert.Subject, bits, minRSA, maxRSA)
		}
		return nil
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return fmt.Errorf("%s has an ECDSA key on the curve %s, which TLS does not use; use P-256, P-384 or P-521", cert.Subject, public.Params().Name)
	}
	return fmt.Errorf("%s has a key of the type %s: kubeadm reads RSA and ECDSA keys of CAs only; create the CA with an ECDSA key on P-256 or P-384, or with an RSA key of %d bits or more", cert.Subject, cert.PublicKeyAlgorithm, minRSA)
}

// try issues a certificate and verifies it for each of its names and uses.
func try(pair KeyPair, ca *x509.Certificate, r Request, now time.Time) error {
	issued, err := Issue(pair, r)
	if err != nil {
		return err
	}
	cert, err := ParseCert(issued.CertPEM)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for _, use := range cert.ExtKeyUsage {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
			return err
		}
	}
	return nil
}

// Describe names a CA for people: subject, ID and end.
func Describe(caPEM []byte) string {
	cert, err := ParseCert(caPEM)
	if err != nil {
		return "a CA that can't be read"
	}
	return fmt.Sprintf("%s (%s), valid until %s", cert.Subject, ID(caPEM), day(cert.NotAfter))
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// Distinct is nil when two CAs can be told apart by their keys and their subjects: programs look an
// issuer up by its name, and this one finds a CA's key by what it belongs to.
func Distinct(aPEM, bPEM []byte) error {
	a, errA := ParseCert(aPEM)
	b, errB := ParseCert(bPEM)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	if string(a.RawSubjectPublicKeyInfo) == string(b.RawSubjectPublicKeyInfo) {
		return errors.New("they have the same key: create a key for each")
	}
	if string(a.RawSubject) == string(b.RawSubject) {
		return fmt.Errorf("they have the same subject, %s: give each its own, since programs look an issuer up by its name", a.Subject)
	}
	return nil
}
