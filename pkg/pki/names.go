package pki

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// Lacking are those of the names (host names and addresses) for which a server's
// certificate is not.
func Lacking(cert *x509.Certificate, names []string) []string {
	var out []string
	for _, name := range names {
		// VerifyHostname takes an address in brackets for one.
		asked := name
		if ip := net.ParseIP(name); ip != nil {
			asked = "[" + name + "]"
		}
		if cert.VerifyHostname(asked) != nil {
			out = append(out, name)
		}
	}
	return out
}

// AddNames makes a server's certificate anew that is for more names: with the same
// subject, key, uses and other names, valid from now for as long as the old one was, never
// beyond the CA's own end. The CA must be the one that signed the old one. It returns nil
// when there is nothing to add.
func AddNames(ca KeyPair, certPEM []byte, names []string) ([]byte, error) {
	old, err := ParseCert(certPEM)
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	lacking := Lacking(old, names)
	if len(lacking) == 0 {
		return nil, nil
	}
	what := fmt.Sprintf("add %s to the certificate %s", strings.Join(lacking, ", "), old.Subject.CommonName)
	caCert, caKey, err := ca.parse()
	if err != nil {
		return nil, fmt.Errorf("%s: the CA: %w", what, err)
	}
	if err := old.CheckSignatureFrom(caCert); err != nil {
		return nil, fmt.Errorf("%s: it is not signed by the CA %s: %w", what, caCert.Subject.CommonName, err)
	}
	template, err := newTemplate(old.Subject, old.NotAfter.Sub(old.NotBefore))
	if err != nil {
		return nil, err
	}
	if template.NotAfter.After(caCert.NotAfter) {
		template.NotAfter = caCert.NotAfter
	}
	if !caCert.NotAfter.After(time.Now()) {
		return nil, fmt.Errorf("%s: the CA %s expired on %s", what, caCert.Subject.CommonName, caCert.NotAfter.Format(time.RFC3339))
	}
	template.KeyUsage, template.ExtKeyUsage, template.BasicConstraintsValid = old.KeyUsage, old.ExtKeyUsage, true
	template.DNSNames, template.IPAddresses = slices.Clone(old.DNSNames), slices.Clone(old.IPAddresses)
	for _, name := range lacking {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, caCert, old.PublicKey, caKey)
	if err != nil {
		return nil, fmt.Errorf("%s: sign it: %w", what, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
