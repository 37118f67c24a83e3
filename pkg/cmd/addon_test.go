package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/test/bundletest"
)

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
			code, _, errOut := run(t, "bundle", "create", "--addons", "etcd-operator", "--mirror", bundletest.Upstream(t, c.files), "--out", out)
			if code == cli.ExitOK {
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
