package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// ownCA makes a CA as somebody brings it: the template with defaults, changed, with a key, signed by
// itself or by a parent.
func ownCA(t *testing.T, key crypto.Signer, parent *KeyPair, change func(*x509.Certificate)) KeyPair {
	t.Helper()
	template, err := newTemplate(pkix.Name{CommonName: "Example CA", Organization: []string{"Example"}}, 5*365*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	if change != nil {
		change(template)
	}
	signer, signerKey := template, key
	if parent != nil {
		if signer, signerKey, err = parent.parse(); err != nil {
			t.Fatal(err)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, key.Public(), signerKey)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return KeyPair{CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), KeyPEM: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})}
}

func curveKey(t *testing.T, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t *testing.T, bits int) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var ownTrials = []Request{
	{CommonName: "kube-apiserver", DNSNames: []string{"cp1.example.com", "kubernetes.default.svc"}, IPs: []net.IP{net.IPv4(10, 0, 0, 1)}, Server: true},
	{CommonName: "system:node:cp1", Organization: []string{"system:nodes"}, Client: true},
}

// TestCheckOwn: what a CA that somebody brings can be, and can't.
func TestCheckOwn(t *testing.T) {
	p256 := curveKey(t, elliptic.P256())
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := ownCA(t, curveKey(t, elliptic.P384()), nil, func(c *x509.Certificate) { c.Subject.CommonName = "Example Root" })
	_, only10, err := net.ParseCIDR("10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key    crypto.Signer
		parent *KeyPair
		change func(*x509.Certificate)
		// refused and warned are parts of what is said; warned "-" is that there is no warning.
		refused, warned string
	}{
		"P-256":         {key: p256, warned: "-"},
		"P-384":         {key: curveKey(t, elliptic.P384()), warned: "-"},
		"P-521":         {key: curveKey(t, elliptic.P521()), warned: "-"},
		"RSA":           {key: rsaKey(t, 2048), warned: "-"},
		"intermediate":  {key: p256, parent: &root, warned: "is an intermediate CA: the cluster trusts it, and not CN=Example Root"},
		"path length 0": {key: p256, change: func(c *x509.Certificate) { c.MaxPathLenZero = true }, warned: "-"},
		"names within": {key: p256, change: func(c *x509.Certificate) {
			c.PermittedDNSDomains, c.PermittedIPRanges = []string{"example.com", "svc"}, []*net.IPNet{only10}
		}, warned: "name constraints"},
		"ends soon":        {key: p256, change: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(30 * 24 * time.Hour) }, warned: "everything that it signs expires with it"},
		"without keyUsage": {key: p256, change: func(c *x509.Certificate) { c.KeyUsage = 0 }, warned: "no keyUsage"},
		"for both uses": {key: p256, change: func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
		}, warned: "-"},

		"Ed25519":        {key: ed, refused: "Ed25519: kubeadm reads RSA and ECDSA keys of CAs only"},
		"small RSA":      {key: rsaKey(t, 1024), refused: "RSA key of 1024 bits; use 2048 to 8192"},
		"P-224":          {key: curveKey(t, elliptic.P224()), refused: "curve P-224"},
		"no CA":          {key: p256, change: func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature }, refused: "is not a CA"},
		"no constraints": {key: p256, change: func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = false, false }, refused: "is not a CA"},
		"may not sign":   {key: p256, change: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, refused: "needs keyCertSign"},
		"not yet":        {key: p256, change: func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, refused: "is not valid before"},
		"ended": {key: p256, change: func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		}, refused: "has ended"},
		"for mail":     {key: p256, change: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} }, refused: "a certificate by it for kube-apiserver is not valid"},
		"servers only": {key: p256, change: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, refused: "a certificate by it for system:node:cp1 is not valid"},
		"other names":  {key: p256, change: func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.com"} }, refused: "kubernetes.default.svc"},
		"excluded net": {key: p256, change: func(c *x509.Certificate) { c.ExcludedIPRanges = []*net.IPNet{only10} }, refused: "10.0.0.1"},
		"unknown, critical": {key: p256, change: func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}}}
		}, refused: "unhandled critical extension"},
	} {
		t.Run(name, func(t *testing.T) {
			ca := ownCA(t, c.key, c.parent, c.change)
			own, err := Own(ca.CertPEM, ca.KeyPEM)
			if err != nil {
				t.Fatal(err)
			}
			warnings, err := CheckOwn(own, ownTrials, time.Now())
			if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Fatalf("got %v, want %q", err, c.refused)
			}
			switch {
			case c.warned == "-" && len(warnings) > 0, c.warned != "-" && c.warned != "" && !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, c.warned) }):
				t.Errorf("warnings %q, want %q", warnings, c.warned)
			}
		})
	}
}

// TestReadOwn: the files of a CA, as people have them.
func TestReadOwn(t *testing.T) {
	root := ownCA(t, curveKey(t, elliptic.P384()), nil, func(c *x509.Certificate) { c.Subject.CommonName = "Example Root" })
	middle := ownCA(t, curveKey(t, elliptic.P256()), &root, func(c *x509.Certificate) { c.Subject.CommonName = "Example Middle" })
	ca := ownCA(t, rsaKey(t, 2048), &middle, nil)
	self := ownCA(t, curveKey(t, elliptic.P256()), nil, nil)
	join := func(parts ...[]byte) string { return string(slices.Concat(parts...)) }
	rsaPKCS1 := func() string {
		key, err := ParseKey(ca.KeyPEM)
		if err != nil {
			t.Fatal(err)
		}
		private, ok := key.(*rsa.PrivateKey)
		if !ok {
			t.Fatalf("a key %T", key)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)}))
	}()
	legacy := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("x")}))
	parameters := "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
	for name, c := range map[string]struct {
		cert, key string
		mode      os.FileMode
		refused   string
	}{
		"alone":                {cert: string(ca.CertPEM), key: string(ca.KeyPEM)},
		"with its chain":       {cert: join(ca.CertPEM, middle.CertPEM, root.CertPEM), key: string(ca.KeyPEM)},
		"with part of it":      {cert: join(ca.CertPEM, middle.CertPEM), key: rsaPKCS1},
		"with words":           {cert: "Certificate:\n  Data:\n" + string(self.CertPEM), key: parameters + string(self.KeyPEM)},
		"only its owner's":     {cert: string(self.CertPEM), key: string(self.KeyPEM), mode: 0o400},
		"key of others":        {cert: string(self.CertPEM), key: string(ca.KeyPEM), refused: "does not belong to the certificate"},
		"others may read":      {cert: string(self.CertPEM), key: string(self.KeyPEM), mode: 0o640, refused: "others may read it (mode 0640)"},
		"root first":           {cert: join(root.CertPEM, middle.CertPEM, ca.CertPEM), key: string(ca.KeyPEM), refused: "belongs to certificate 3 of the file"},
		"one left out":         {cert: join(ca.CertPEM, root.CertPEM), key: string(ca.KeyPEM), refused: "has not signed the one before it"},
		"more than one":        {cert: join(self.CertPEM, root.CertPEM), key: string(self.KeyPEM), refused: "is self-signed, and more certificates follow"},
		"encrypted":            {cert: string(self.CertPEM), key: "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", refused: "openssl pkey -in KEY -out DECRYPTED"},
		"encrypted, of before": {cert: string(self.CertPEM), key: legacy, refused: "is encrypted"},
		"key is no key":        {cert: string(self.CertPEM), key: string(self.CertPEM), refused: "no private key"},
		"certificate is none":  {cert: string(self.KeyPEM), key: string(self.KeyPEM), refused: "there is no certificate"},
		"DER":                  {cert: "0\x82\x01", key: string(self.KeyPEM), refused: "openssl x509 -inform der"},
		"damaged":              {cert: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", key: string(self.KeyPEM), refused: "read the certificate"},
		"no key":               {cert: string(self.CertPEM), refused: "no such file"},
		"damaged key":          {cert: string(self.CertPEM), key: "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n", refused: "can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			certPath, keyPath := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
			if err := os.WriteFile(certPath, []byte(c.cert), 0o644); err != nil {
				t.Fatal(err)
			}
			if c.mode == 0 {
				c.mode = 0o600
			}
			if c.key != "" {
				if err := os.WriteFile(keyPath, []byte(c.key), c.mode); err != nil {
					t.Fatal(err)
				}
			}
			got, err := ReadOwn(certPath, keyPath)
			if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Fatalf("got %v, want %q", err, c.refused)
			}
			if err != nil && (strings.Contains(err.Error(), "c2VjcmV0") || strings.Contains(err.Error(), "secret")) {
				t.Errorf("what is in the key is in the error: %v", err)
			}
			if err != nil {
				return
			}
			if n := strings.Count(string(got.CertPEM), "BEGIN"); n != 1 || !Same(got.CertPEM, Certs([]byte(c.cert))[0]) {
				t.Errorf("%d certificates, or another one", n)
			}
			if strings.Count(string(got.KeyPEM), "BEGIN") != 1 || got.Check() != nil {
				t.Error("the key is not alone, or another one")
			}
		})
	}
	if _, err := ReadOwn(t.TempDir(), "x"); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory: %v", err)
	}
}

// TestDistinct: CAs that can't be told apart are refused.
func TestDistinct(t *testing.T) {
	key, other := curveKey(t, elliptic.P256()), curveKey(t, elliptic.P256())
	a := ownCA(t, key, nil, nil)
	for name, c := range map[string]struct {
		b    KeyPair
		want string
	}{
		"itself":          {a, "the same key"},
		"renewed":         {ownCA(t, key, nil, func(c *x509.Certificate) { c.Subject.CommonName = "G2" }), "the same key"},
		"of its name":     {ownCA(t, other, nil, nil), "the same subject"},
		"of another name": {ownCA(t, other, nil, func(c *x509.Certificate) { c.Subject.CommonName = "G2" }), ""},
	} {
		err := Distinct(a.CertPEM, c.b.CertPEM)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if SignsNoCA(a.CertPEM) || !SignsNoCA(ownCA(t, key, nil, func(c *x509.Certificate) { c.MaxPathLenZero = true }).CertPEM) {
		t.Error("the path length is not seen")
	}
	if got := Describe(a.CertPEM); !strings.Contains(got, "CN=Example CA,O=Example ("+ID(a.CertPEM)+"), valid until 2") {
		t.Error(got)
	}
}
