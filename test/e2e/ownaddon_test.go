//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ownAddon is a user's own: a certificate for the virtual IP, a setting, and a file of
// upstream's, whose checksum is put in.
const ownAddon = `apiVersion: kubectl-ha.dev/v1alpha1
kind: Addon
name: e2e-own
description: a user's own folder
version: %[1]s
settings: [{kind: ConfigMap, name: own, path: [data, address], value: virtualIP}]
certificates: [{secret: own-tls, namespace: e2e-own, authority: cluster, commonName: own, server: true}]
files: [{url: "https://%[2]s", sha256: %[3]s}]
`

const ownManifest = `apiVersion: v1
kind: Namespace
metadata: {name: e2e-own}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: own, namespace: e2e-own}
data: {address: ""}
`

// ownUpstream is what upstream publishes of each version of it; the second has less.
const ownUpstream = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.e2e.kubectl-ha.dev}
spec:
  group: e2e.kubectl-ha.dev
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: upstream, namespace: e2e-own}
data: {version: %[1]s}
`

// ownFirst is in the first version only.
const ownFirst = `---
apiVersion: v1
kind: ConfigMap
metadata: {name: first-version, namespace: e2e-own}
`

// ownAddon writes a version of the user's own addon, and has the mirror serve its file.
func (x extra) ownAddon(t *testing.T, version, upstream string) string {
	t.Helper()
	dir, url := t.TempDir(), "example.com/e2e-own/"+version+"/install.yaml"
	if strings.Contains(upstream, "%") {
		upstream = fmt.Sprintf(upstream, version)
	}
	sum := x.file(t, url, upstream)
	for name, content := range map[string]string{"addon.yaml": fmt.Sprintf(ownAddon, version, url, sum), "own.yaml": ownManifest} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ownAddonIsUpgraded brings the user's own addon to its next version, whose file comes by
// the mirror: what that has no more goes.
func (c *cluster) ownAddonIsUpgraded(t *testing.T, next string) {
	t.Helper()
	if r := c.ha(t, addonDeadline, "addon", "install", next, "--mirror", c.cached.Mirror, "--yes", "--kubeconfig", c.kubeconfig); r.code != 0 {
		t.Fatalf("addon install of the next version: %s", r)
	}
	maps := c.client.CoreV1().ConfigMaps("e2e-own")
	if _, err := maps.Get(context.Background(), "first-version", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what the next version has no more: %v", err)
	}
	if m, err := maps.Get(context.Background(), "upstream", metav1.GetOptions{}); err != nil || m.Data["version"] != "v2" {
		t.Errorf("what upstream publishes: %v, %v", m.Data, err)
	}
	if r := c.ha(t, suiteDeadline, "addon", "status", "e2e-own", "--kubeconfig", c.kubeconfig); r.code != 0 || !strings.Contains(r.stdout, "v2") {
		t.Errorf("status: %s", r)
	}
}

// certificateIsSigned looks at the own addon's certificate, and at its setting.
func (c *cluster) certificateIsSigned(t *testing.T) {
	t.Helper()
	s, err := c.client.CoreV1().Secrets("e2e-own").Get(context.Background(), "own-tls", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(s.Data["tls.crt"], s.Data["tls.key"])
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: c.roots(), DNSName: c.vip}); err != nil {
		t.Errorf("the certificate for the virtual IP: %v", err)
	}
	m, err := c.client.CoreV1().ConfigMaps("e2e-own").Get(context.Background(), "own", metav1.GetOptions{})
	if err != nil || m.Data["address"] != c.vip {
		t.Errorf("the setting is %v, %v", m.Data, err)
	}
}
