package addon

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/bundletest"
)

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
	mirror, with, without := bundletest.Upstream(t, map[string]string{"/example.com/v1/install.yaml": content}), filepath.Join(dir, "with.tar"), filepath.Join(dir, "without.tar")
	_, err := bundle.Create(t.Context(), bundle.CreateOptions{Mirror: mirror, Output: with, WorkDir: t.TempDir(),
		Addons: []bundle.Addon{{Name: "mine", Version: "v1"}}, Files: []bundle.PinnedFile{{URL: "https://example.com/v1/install.yaml", SHA256: hex.EncodeToString(sum[:])}}}, report.Discard())
	if err != nil {
		t.Fatal(err)
	}
	bundletest.Create(t, without, "example.com/team/a:v1")
	for _, c := range []struct {
		source Source
		want   string
	}{
		{Source{Bundle: with}, ""},
		{Source{Mirror: mirror}, ""},
		{Source{Bundle: without}, "create it with --addons"},
		{Source{Mirror: bundletest.Upstream(t, map[string]string{"/example.com/v1/install.yaml": content + "\n"})}, "is not the file"},
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
