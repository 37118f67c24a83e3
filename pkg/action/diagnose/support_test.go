package diagnose

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/inspect"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

// unpackSupport reads an archive back.
func unpackSupport(t *testing.T, data []byte) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = string(content)
	}
}

// secretsOf are secrets as logs and documents have them, and the part of each that
// must not be found.
func secretsOf(t *testing.T) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	inKubeconfig := base64.StdEncoding.EncodeToString([]byte(block))
	return map[string]string{
		block:                                                          strings.Split(block, "\n")[1],
		strings.ReplaceAll(block, "\n", `\n`):                          strings.Split(block, "\n")[1],
		"client-key-data: " + inKubeconfig:                             inKubeconfig[20:60],
		"token: abcdef.0123456789abcdef":                               "0123456789abcdef",
		"joining with abcdef.0123456789abcdef":                         "0123456789abcdef",
		"Authorization: Bearer c2VjcmV0LWJlYXJlcg":                     "c2VjcmV0LWJlYXJlcg",
		"bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlIn0.c2lnbmF0dXJl": "eyJpc3MiOiJrdWJlIn0",
		"http://proxyuser:hunter2@proxy.example:3128":                  "hunter2",
		`{"password": "correct horse"}`:                                "correct horse",
		"certificateKey: " + strings.Repeat("0f", 32):                  strings.Repeat("0f", 32),
		"--certificate-key " + strings.Repeat("1e", 32):                strings.Repeat("1e", 32),
	}
}

func TestNoSecretGetsIntoTheArchive(t *testing.T) {
	for text, secret := range secretsOf(t) {
		b := newCollector()
		line := "May 01 12:00:00 cp1 kubelet[1]: before " + text + " after\n"
		b.add("logs/a.log", []byte(line))
		b.addJSON("state.json", map[string]string{"message": line})
		b.miss("something", errors.New(line))
		b.addNodes(status.Inspection{Facts: map[string]inspect.Facts{"cp1": {Logs: map[string]string{"kubelet.service": line}, Missed: []string{line}}}})
		var out bytes.Buffer
		if err := b.support().Write(&out, time.Now()); err != nil {
			t.Fatal(err)
		}
		all := strings.Join(b.missed, "\n")
		files := unpackSupport(t, out.Bytes())
		if len(files) != 5 {
			t.Errorf("files: %v", len(files))
		}
		for _, content := range files {
			all += content
		}
		if strings.Contains(all, secret) {
			t.Errorf("%q is in the archive:\n%s", secret, all)
		}
		if !strings.Contains(all, "kubelet[1]: before") {
			t.Errorf("more than the secret is gone:\n%s", all)
		}
	}
}

// TestDocumentInTheArchive: neither a network plugin's manifest nor what is patched into static
// pods is told, but that it is there.
func TestDocumentInTheArchive(t *testing.T) {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "demo"}}
	c.Spec.Network.Plugin, c.Spec.Network.Manifest, c.Spec.Network.ManifestContent = v1alpha1.NetworkPluginManifest, "net.yaml", "kind: Secret\nstringData: {psk: hush-net}\n"
	c.Spec.Kubeadm.Patches = map[string]string{"kube-apiserver0+merge.yaml": "spec: {containers: [{env: [{name: A, value: hush-env}]}]}"}
	b := newCollector()
	b.addDocument(c)
	got := string(b.files["cluster.yaml"])
	for _, secret := range []string{"hush-net", "hush-env"} {
		if strings.Contains(got, secret) {
			t.Errorf("%s is in the archive:\n%s", secret, got)
		}
	}
	for _, want := range []string{"net.yaml", "kube-apiserver0+merge.yaml", "left out: "} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in the archive:\n%s", want, got)
		}
	}
	if !strings.Contains(c.Spec.Network.ManifestContent, "hush") || !strings.Contains(c.Spec.Kubeadm.Patches["kube-apiserver0+merge.yaml"], "hush") {
		t.Error("what was given is changed")
	}
}
