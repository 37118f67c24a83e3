package cmd

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
)

// upstream serves files under upstream's own hosts and paths, as a mirror does, and has
// no images.
func upstream(t *testing.T, files map[string]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(content)) // A client that has gone away sees it itself.
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestEtcdOperatorsFile: the file that upstream publishes is looked for where upstream has
// it, and what is not that file is in no bundle. Upstream's own content is not here.
func TestEtcdOperatorsFile(t *testing.T) {
	const path = "/raw.githubusercontent.com/etcd-io/etcd-operator/v0.2.0/dist/install-v0.2.0.yaml"
	const sum = "6e2b9383fee9e70873994f01c52556d82bc193d43ad66e3cd9cbb680b81d82d8"
	out := filepath.Join(t.TempDir(), "addons.tar")
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"another content": {map[string]string{path: "kind: List\n"}, []string{path, "is not the file with the SHA-256 " + sum, "check the mirror"}},
		"not there":       {nil, []string{path, "404"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, errOut := run(t, "bundle", "create", "--addons", "etcd-operator", "--mirror", upstream(t, c.files), "--out", out)
			if code == ExitOK {
				t.Fatal("a bundle was made")
			}
			for _, want := range c.want {
				if !strings.Contains(errOut, want) {
					t.Errorf("%q does not say %q", errOut, want)
				}
			}
			if _, err := os.Stat(out); !os.IsNotExist(err) {
				t.Errorf("something was left: %v", err)
			}
		})
	}
}

// TestUpstreamsFileInABundle makes a bundle of an addon with a file of upstream's, and
// takes the file from there.
func TestUpstreamsFileInABundle(t *testing.T) {
	const content = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine, namespace: default}\n"
	sum := sha256.Sum256([]byte(content))
	dir := t.TempDir()
	descriptor := fmt.Sprintf("apiVersion: kubectl-ha.dev/v1alpha1\nkind: Addon\nname: mine\ndescription: mine\nversion: v1\n"+
		"files: [{url: 'https://example.com/v1/install.yaml', sha256: %s}]\n", hex.EncodeToString(sum[:]))
	if err := os.WriteFile(filepath.Join(dir, addon.DescriptorFile), []byte(descriptor), 0o600); err != nil {
		t.Fatal(err)
	}
	mirror, with, without := upstream(t, map[string]string{"/example.com/v1/install.yaml": content}), filepath.Join(dir, "with.tar"), filepath.Join(dir, "without.tar")
	mustRun(t, "bundle", "create", "--addons", dir, "--mirror", mirror, "--out", with)
	if shown := mustRun(t, "bundle", "inspect", with); !strings.Contains(shown, "install.yaml") {
		t.Errorf("the bundle does not tell of it: %s", shown)
	}
	savedImage(t, filepath.Join(dir, "a.tar"), "example.com/team/a:v1", "somebody")
	mustRun(t, "bundle", "create", "--from", filepath.Join(dir, "a.tar"), "--out", without)
	for _, c := range []struct {
		source addonSource
		want   string
	}{
		{addonSource{bundle: with}, ""},
		{addonSource{mirror: mirror}, ""},
		{addonSource{bundle: without}, "make it with --addons"},
		{addonSource{mirror: upstream(t, map[string]string{"/example.com/v1/install.yaml": content + "\n"})}, "is not the file"},
	} {
		a, err := addon.Load(os.DirFS(dir))
		if err != nil {
			t.Fatal(err)
		}
		err = c.source.fetch(t.Context(), a)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.source, err, c.want)
		}
		if missing := a.Missing(); (len(missing) == 0) != (c.want == "") {
			t.Errorf("%+v: missing are %v", c.source, missing)
		}
	}
}
