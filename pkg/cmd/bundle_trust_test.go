package cmd

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/test/bundletest"
)

// writeKeys writes a pair of keys as `openssl` does: NAME.key and NAME.pub.
func writeKeys(t *testing.T, name string) (private, public string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	write := func(file, kind string, der []byte, err error) string {
		if err == nil {
			err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	private = write(name+".key", "PRIVATE KEY", der, err)
	der, err = x509.MarshalPKIXPublicKey(pub)
	return private, write(name+".pub", "PUBLIC KEY", der, err)
}

// TestBundleIsTheOneThatWasMeant: made, signed and asked for by the command line alone.
func TestBundleIsTheOneThatWasMeant(t *testing.T) {
	t.Chdir(t.TempDir())
	key, pub := writeKeys(t, "mine")
	_, others := writeKeys(t, "another")
	bundletest.SavedImage(t, "a.tar", "example.com/team/a:v1", "somebody")
	made := mustRun(t, "bundle", "create", "--from", "a.tar", "--sign-key", key, "--out", "signed.tar")
	mustRun(t, "bundle", "create", "--from", "a.tar", "--out", "plain.tar")
	secret, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := runIn(t, string(secret), "bundle", "create", "--from", "a.tar", "--sign-key", "-", "--out", "again.tar"); code != cli.ExitOK {
		t.Errorf("a key on standard input: %s", errOut)
	}
	one, err := os.ReadFile("signed.tar")
	if err != nil {
		t.Fatal(err)
	}
	if two, err := os.ReadFile("again.tar"); err != nil || string(one) != string(two) {
		t.Errorf("two bundles of the same inputs and key differ (%v)", err)
	}
	var seen struct {
		Digest     string           `json:"digest"`
		Signed     bool             `json:"signed"`
		Unverified []unverifiedPart `json:"unverified"`
		Images     []struct{ Check string }
	}
	if err := json.Unmarshal([]byte(mustRun(t, "bundle", "inspect", "signed.tar", "-o", "json")), &seen); err != nil {
		t.Fatal(err)
	}
	want := unverifiedPart{"example.com/team/a:v1", "the local file it came from"}
	if !seen.Signed || len(seen.Unverified) != 1 || seen.Unverified[0] != want || seen.Images[0].Check != "none" {
		t.Errorf("got %+v", seen)
	}
	for _, out := range []string{made, mustRun(t, "bundle", "inspect", "signed.tar")} {
		if !strings.Contains(out, seen.Digest+"\n") || !strings.Contains(out, "NOT VERIFIED") || !strings.Contains(out, want.KnownBy) {
			t.Errorf("got %s", out)
		}
	}
	if out := mustRun(t, "bundle", "inspect", "signed.tar"); !strings.Contains(out, "`kubectl ha bundle verify --key` checks") {
		t.Errorf("got %s", out)
	}
	other := "sha256:" + strings.Repeat("0a", 32)
	for what, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"signed":                {[]string{"signed.tar", "--key", pub}, cli.ExitOK, "Signed by the owner of " + pub},
		"its digest":            {[]string{"plain.tar", "--digest", seen.Digest}, cli.ExitOK, "Its digest matches the given one."},
		"nobody asked":          {[]string{"signed.tar"}, cli.ExitOK, "the signature was not checked"},
		"nothing to ask":        {[]string{"plain.tar"}, cli.ExitOK, "Not signed; its digest is " + seen.Digest},
		"not signed":            {[]string{"plain.tar", "--key", pub}, cli.ExitUsage, "it is not signed"},
		"by another":            {[]string{"signed.tar", "--key", others}, cli.ExitUsage, "by another key"},
		"another digest":        {[]string{"signed.tar", "--key", pub, "--digest", other}, cli.ExitUsage, "its digest is " + seen.Digest + ", not " + other},
		"no digest":             {[]string{"signed.tar", "--digest", "0a0a"}, cli.ExitUsage, "the bundle's digest"},
		"the private key":       {[]string{"signed.tar", "--key", key}, cli.ExitUsage, "-pubout"},
		"no such key":           {[]string{"signed.tar", "--key", "none.pub"}, cli.ExitUsage, "none.pub"},
		"a key that is no file": {[]string{"signed.tar", "--key", "."}, cli.ExitUsage, "the key ."},
	} {
		t.Run(what, func(t *testing.T) {
			code, out, errOut := run(t, append([]string{"bundle", "verify"}, tc.args...)...)
			if code != tc.code || !strings.Contains(out+errOut, tc.want) {
				t.Errorf("exit code %d, want %d; %s%s, want %q", code, tc.code, out, errOut, tc.want)
			}
		})
	}
}

func TestSignKeyMistakes(t *testing.T) {
	t.Chdir(t.TempDir())
	_, pub := writeKeys(t, "mine")
	bundletest.SavedImage(t, "a.tar", "example.com/team/a:v1", "somebody")
	if err := os.WriteFile("encrypted.key", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, tc := range map[string]struct {
		args []string
		want string
	}{
		"the public key":          {[]string{"--sign-key", pub}, "the private one signs"},
		"encrypted":               {[]string{"--sign-key", "encrypted.key"}, "openssl pkey"},
		"no file":                 {[]string{"--sign-key", "none.key"}, "none.key"},
		"nothing on input":        {[]string{"--sign-key", "-"}, "not a key in PEM"},
		"two from standard input": {[]string{"--sign-key", "-", "-f", "-"}, "cannot both read standard input"},
		"trust in no mirror":      {[]string{"--trust-mirror"}, "--trust-mirror requires --mirror"},
	} {
		t.Run(what, func(t *testing.T) {
			code, _, errOut := run(t, append([]string{"bundle", "create", "--from", "a.tar", "--out", "x.tar"}, tc.args...)...)
			if code != cli.ExitUsage || !strings.Contains(errOut, tc.want) {
				t.Errorf("exit code %d; %s, want %q", code, errOut, tc.want)
			}
			if _, err := os.Stat("x.tar"); err == nil {
				t.Error("there is a bundle")
			}
		})
	}
}

// TestWhereverABundleIsUsed: each command that takes a bundle takes its digest and a key.
func TestWhereverABundleIsUsed(t *testing.T) {
	n := 0
	for _, c := range commands(NewRoot(genericiooptions.IOStreams{})) {
		takes := c.Flags().Lookup("bundle") != nil || c.CommandPath() == "kubectl ha images push"
		for _, name := range []string{"bundle-digest", "bundle-key"} {
			if (c.Flags().Lookup(name) != nil) != takes {
				t.Errorf("%s takes a bundle: %v; --%s: %v", c.CommandPath(), takes, name, !takes)
			}
		}
		if takes {
			n++
		}
	}
	if n < 9 {
		t.Errorf("only %d commands take a bundle", n)
	}
}

// TestAnotherBundleTouchesNothing: a bundle that is not the one that was meant ends it
// before a host or the cluster is asked.
func TestAnotherBundleTouchesNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	bundletest.SavedImage(t, "a.tar", "example.com/team/a:v1", "somebody")
	mustRun(t, "bundle", "create", "--from", "a.tar", "--out", "plain.tar")
	if err := os.WriteFile("cluster.yaml", []byte(trustCluster), 0o600); err != nil {
		t.Fatal(err)
	}
	_, pub := writeKeys(t, "mine")
	other := "sha256:" + strings.Repeat("0a", 32)
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"bootstrap", "-f", "cluster.yaml", "--yes", "--bundle", "plain.tar", "--bundle-digest", other}, "not " + other},
		{[]string{"bootstrap", "-f", "cluster.yaml", "--yes", "--bundle", "plain.tar", "--bundle-key", pub}, "it is not signed"},
		{[]string{"bootstrap", "-f", "cluster.yaml", "--yes", "--bundle-digest", other}, "specify it with --bundle"},
		{[]string{"upgrade", "v1.36.3", "--bundle-digest", other}, "specify it with --bundle"},
		{[]string{"upgrade", "plan", "--bundle-key", pub}, "specify it with --bundle"},
		{[]string{"node", "add", "w1", "-f", "cluster.yaml", "--yes", "--bundle-digest", other}, "specify it with --bundle"},
		{[]string{"node", "replace", "w1", "w2", "-f", "cluster.yaml", "--yes", "--bundle-digest", other}, "specify it with --bundle"},
		{[]string{"loadbalancer", "install", "--yes", "--bundle-key", pub}, "specify it with --bundle"},
		{[]string{"addon", "install", "metrics-server", "--yes", "--bundle-key", pub}, "specify it with --bundle"},
		{[]string{"images", "list", "--bundle-key", pub}, "specify it with --bundle"},
		{[]string{"images", "push", "example.com/a:v1", "--bundle-key", pub}, "specify it with its file"},
	} {
		t.Run(strings.Join(tc.args[:2], " "), func(t *testing.T) {
			code, _, errOut := run(t, tc.args...)
			if code != cli.ExitUsage || !strings.Contains(errOut, tc.want) {
				t.Errorf("%v: exit code %d; %s, want %q", tc.args, code, errOut, tc.want)
			}
		})
	}
}

// trustCluster is a Cluster whose hosts are nowhere.
const trustCluster = `apiVersion: kubectl-ha.dev/v1alpha1
kind: Cluster
metadata: {name: test}
spec:
  kubernetesVersion: v1.36.3
  virtualIP: 192.0.2.10
  hosts:
  - {name: cp1, address: 192.0.2.11, roles: [control-plane]}
  - {name: w1, address: 192.0.2.21}
  - {name: w2, address: 192.0.2.22}
`

// unverifiedPart is what bundle inspect -o json says of one.
type unverifiedPart struct {
	Name    string `json:"name"`
	KnownBy string `json:"knownBy"`
}
