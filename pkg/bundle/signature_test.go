package bundle

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// keyPair is a pair in PEM, as `openssl` writes it.
func keyPair(t *testing.T, key crypto.Signer) (private, public []byte) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	return pemOf("PRIVATE KEY", der), pemOf("PUBLIC KEY", pub)
}

func ed25519Key(t *testing.T) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return key
}

func ecdsaKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	must(t, err)
	return key
}

func TestKeys(t *testing.T) {
	p256 := ecdsaKey(t, elliptic.P256())
	sec1, err := x509.MarshalECPrivateKey(p256)
	must(t, err)
	edPrivate, edPublic := keyPair(t, ed25519Key(t))
	_, ecPublic := keyPair(t, p256)
	p384Private, p384Public := keyPair(t, ecdsaKey(t, elliptic.P384()))
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	rsaPrivate, rsaPublic := keyPair(t, rsaKey)
	legacy := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1, Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}})
	for what, tc := range map[string]struct {
		signing bool
		data    []byte
		want    string
	}{
		"Ed25519":                 {true, edPrivate, ""},
		"ECDSA, SEC 1":            {true, append(pemOf("EC PARAMETERS", []byte{6}), pemOf("EC PRIVATE KEY", sec1)...), ""},
		"encrypted, PKCS #8":      {true, pemOf("ENCRYPTED PRIVATE KEY", []byte("x")), "openssl pkey"},
		"encrypted, legacy":       {true, legacy, "openssl pkey"},
		"encrypted, cosign's":     {true, pemOf("ENCRYPTED SIGSTORE PRIVATE KEY", []byte("x")), "encrypted"},
		"OpenSSH's":               {true, pemOf("OPENSSH PRIVATE KEY", []byte("x")), "openssl genpkey"},
		"P-384":                   {true, p384Private, "P-384"},
		"RSA":                     {true, rsaPrivate, "RSA"},
		"a public one to sign":    {true, edPublic, "public key"},
		"no key":                  {true, []byte("hello"), "not a key in PEM"},
		"nothing":                 {true, nil, "not a key in PEM"},
		"damaged":                 {true, pemOf("PRIVATE KEY", []byte("x")), "read the key"},
		"public Ed25519":          {false, edPublic, ""},
		"public ECDSA":            {false, ecPublic, ""},
		"a private one to verify": {false, edPrivate, "-pubout"},
		"public P-384":            {false, p384Public, "P-384"},
		"public RSA":              {false, rsaPublic, "RSA"},
		"SSH's public":            {false, []byte("ssh-ed25519 AAAA me"), "not a key in PEM"},
		"a certificate":           {false, pemOf("CERTIFICATE", []byte("x")), "CERTIFICATE"},
		"a damaged public one":    {false, pemOf("PUBLIC KEY", []byte("x")), "read the key"},
	} {
		t.Run(what, func(t *testing.T) {
			var err error
			if tc.signing {
				_, err = SigningKey(tc.data)
			} else {
				_, err = VerifyingKey(tc.data)
			}
			if tc.want == "" {
				must(t, err)
			} else if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if err != nil && bytes.Contains([]byte(err.Error()), tc.data) && len(tc.data) > 0 {
				t.Error("the key is in the error")
			}
		})
	}
}

// signedBundle is a bundle that a key signed, as bytes.
func signedBundle(t *testing.T, m *fakeMirror, key crypto.Signer) []byte {
	t.Helper()
	opts := m.options(t)
	opts.SignKey = key
	created(t, opts)
	data, err := os.ReadFile(opts.Output)
	must(t, err)
	return data
}

func openBytes(t *testing.T, data []byte) (*Bundle, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "b.tar")
	must(t, os.WriteFile(file, data, 0o600))
	b, err := Open(file)
	if err == nil {
		t.Cleanup(func() { must(t, b.Close()) })
	}
	return b, err
}

// changed is the tar with an entry's data changed; nil takes the entry out.
func changed(t *testing.T, data []byte, name string, change func([]byte) []byte) []byte {
	t.Helper()
	entries := untar(t, data)
	i := slices.IndexFunc(entries, func(e entry) bool { return e.header.Name == name })
	if i < 0 {
		t.Fatalf("no %s in it", name)
	}
	if entries[i].data = change(entries[i].data); entries[i].data == nil {
		entries = slices.Delete(entries, i, i+1)
	}
	return retar(t, entries)
}

// TestTrustRefuses: whatever is changed after the signature, opening it, asking for the
// signature, or reading it through says so.
func TestTrustRefuses(t *testing.T) {
	m := newFakeMirror(t)
	m.seed()
	for kind, key := range map[string]crypto.Signer{"Ed25519": ed25519Key(t), "ECDSA": ecdsaKey(t, elliptic.P256())} {
		t.Run(kind, func(t *testing.T) {
			good := signedBundle(t, m, key)
			b, err := openBytes(t, good)
			must(t, err)
			must(t, Trust{Digest: b.Digest(), Key: key.Public()}.Check(b))
			must(t, b.Verify(t.Context(), nil))
			if sum, err := b.Contents().Digest(); err != nil || sum != b.Digest() {
				t.Errorf("the contents' digest is %s (%v), the bundle's %s", sum, err, b.Digest())
			}
			other := ed25519Key(t)
			blob := blobPrefix + b.Contents().Binaries[0].Blob.Digest.Encoded()
			swap := func(old, now string) func([]byte) []byte {
				return func(data []byte) []byte { return bytes.Replace(data, []byte(old), []byte(now), 1) }
			}
			for what, tc := range map[string]struct {
				data []byte
				by   crypto.PublicKey
			}{
				"no signature":       {changed(t, good, signatureFile, func([]byte) []byte { return nil }), key.Public()},
				"an empty one":       {changed(t, good, signatureFile, func([]byte) []byte { return []byte{} }), key.Public()},
				"no base64":          {changed(t, good, signatureFile, func([]byte) []byte { return []byte("%%%") }), key.Public()},
				"too long a one":     {changed(t, good, signatureFile, func([]byte) []byte { return make([]byte, maxSignature+1) }), key.Public()},
				"another key":        {good, other.Public()},
				"a key of no kind":   {good, "key"},
				"other contents":     {resealed(t, good, func(c *Contents) { c.Binaries[0].Version = "v9.9.9" }), key.Public()},
				"another index":      {changed(t, good, "index.json", swap("kube-proxy:v", "kube-proxy:w")), key.Public()},
				"an index with less": {changed(t, good, "index.json", func(d []byte) []byte { return d[:bytes.LastIndex(d, []byte(`,{"mediaType"`))] }), key.Public()},
				"an image left out": {changed(t, good, "index.json", func(d []byte) []byte {
					return append(d[:bytes.LastIndex(d, []byte(`,{"mediaType"`))], "]}"...)
				}), key.Public()},
				"another blob": {changed(t, good, blob, func(d []byte) []byte { d[len(d)/2] ^= 1; return d }), key.Public()},
				"cut off":      {good[:len(good)-700], key.Public()},
				"half of it":   {good[:len(good)/2], key.Public()},
			} {
				t.Run(what, func(t *testing.T) {
					b, err := openBytes(t, tc.data)
					if err == nil {
						err = Trust{Key: tc.by}.Check(b)
					}
					if err == nil {
						err = b.Verify(t.Context(), nil)
					}
					if err == nil || !errors.Is(err, ErrUntrusted) && !errors.Is(err, ErrDamaged) {
						t.Errorf("got %v", err)
					}
				})
			}
		})
	}
}

func TestTrustDigest(t *testing.T) {
	m := newFakeMirror(t)
	m.push("quay.io/a/b:v1", "amd64")
	opts := m.imagesOnly(t, "quay.io/a/b:v1")
	created(t, opts)
	data, err := os.ReadFile(opts.Output)
	must(t, err)
	b, err := openBytes(t, data)
	must(t, err)
	if err := (Trust{Digest: digest.FromBytes(data)}).Check(b); !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), "sha256sum") {
		t.Errorf("the file's own sum: %v", err)
	}
	must(t, Trust{}.Check(b))
	// What was compared is in memory: a file that changes afterwards is not believed.
	must(t, Trust{Digest: b.Digest()}.Check(b))
	evil := resealed(t, data, func(c *Contents) { c.Images[0].Ref = "quay.io/a/evil:v1" })
	must(t, os.WriteFile(b.name, evil, 0o600))
	must(t, Trust{Digest: b.Digest()}.Check(b))
	if got := b.Contents().Images[0].Ref; got != "quay.io/a/b:v1" {
		t.Errorf("it has become %s", got)
	}
	for _, bad := range []string{"", "sha256:", "sha512:" + strings.Repeat("0a", 64), strings.Repeat("0a", 32), "sha256:" + strings.Repeat("0A", 32)} {
		if _, err := ParseDigest(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// TestOpensslVerifies: what is signed here can be checked without this program.
func TestOpensslVerifies(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl")
	}
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, data, 0o600))
		return path
	}
	for kind, key := range map[string]crypto.Signer{"Ed25519": ed25519Key(t), "ECDSA": ecdsaKey(t, elliptic.P256())} {
		document := []byte("a document of " + kind)
		content, err := sign(key, document)
		must(t, err)
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(content)))
		must(t, err)
		_, public := keyPair(t, key)
		args := []string{"pkeyutl", "-verify", "-pubin", "-inkey", file("pub", public), "-rawin", "-in", file("doc", document), "-sigfile", file("sig", raw)}
		if kind == "ECDSA" {
			args = []string{"dgst", "-sha256", "-verify", file("pub", public), "-signature", file("sig", raw), file("doc", document)}
		}
		if out, err := exec.CommandContext(t.Context(), openssl, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", kind, err, out)
		}
	}
}
