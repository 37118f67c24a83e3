package cmd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/test/bundletest"
	"github.com/kubectl-ha/kubectl-ha/test/golden"
)

// mustRun runs a command that has to end well.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errOut := run(t, args...)
	if code != cli.ExitOK {
		t.Fatalf("%v: exit code %d: %s", args, code, errOut)
	}
	return out
}

// Bundles made of local files alone, by the command line alone.
func TestBundleOfFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	bundletest.SavedImage(t, file("a1.tar"), "example.com/team/a:v1", "somebody")
	bundletest.SavedImage(t, file("a2.tar"), "example.com/team/a:v2", "somebody else")
	bundletest.SavedImage(t, file("b.tar"), "example.com/team/b:v1", "somebody")
	made := mustRun(t, "bundle", "create", "--from", file("a1.tar"), "--from", file("b.tar"), "--out", file("old.tar"))
	if !strings.Contains(made, "old.tar: 2 images for amd64") {
		t.Errorf("got %s", made)
	}
	mustRun(t, "bundle", "create", "--from", file("a2.tar"), "--from", file("b.tar"), "--out", file("new.tar"))
	left := mustRun(t, "bundle", "create", "--from", file("a2.tar"), "--from", file("b.tar"), "--since", file("old.tar"), "--out", file("difference.tar"))
	if !strings.Contains(left, "2 blobs (409 B) are left out because "+file("old.tar")+" has them") ||
		!strings.Contains(left, "kubectl ha images push "+file("difference.tar")+" --base "+file("old.tar")+"\n") || strings.Contains(left, "already") {
		t.Errorf("got %s", left)
	}
	golden.Compare(t, "bundle_inspect.txt", mustRun(t, "bundle", "inspect", file("new.tar")))
	golden.Compare(t, "bundle_difference.txt", mustRun(t, "bundle", "inspect", file("difference.tar")))
	golden.Compare(t, "bundle_diff.txt", mustRun(t, "bundle", "diff", file("old.tar"), file("new.tar")))
	if out := mustRun(t, "bundle", "diff", file("new.tar"), file("difference.tar")); out != "The bundles have the same contents.\n" {
		t.Errorf("got %s", out)
	}
	if out := mustRun(t, "bundle", "verify", file("difference.tar")); !strings.Contains(out, "intact, but partial") || !strings.Contains(out, "Partial bundle") {
		t.Errorf("got %s", out)
	}
	if out := mustRun(t, "bundle", "verify", file("difference.tar"), "--base", file("old.tar")); !strings.Contains(out, "difference.tar is intact: 2 images") {
		t.Errorf("got %s", out)
	}
	var seen struct {
		Digest       string                 `json:"digest"`
		MissingBlobs int                    `json:"missingBlobs"`
		Arch         string                 `json:"arch"`
		Images       []struct{ Ref string } `json:"images"`
	}
	if err := json.Unmarshal([]byte(mustRun(t, "bundle", "inspect", file("difference.tar"), "-o", "json")), &seen); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(seen.Digest, "sha256:") || seen.MissingBlobs != 2 || seen.Arch != "amd64" || len(seen.Images) != 2 {
		t.Errorf("got %+v", seen)
	}
	var moved struct {
		Bytes   int64 `json:"bytes"`
		Changed []struct {
			To struct {
				Name, Version string
			}
		}
	}
	if err := json.Unmarshal([]byte(mustRun(t, "bundle", "diff", file("old.tar"), file("new.tar"), "-o", "json")), &moved); err != nil {
		t.Fatal(err)
	}
	if moved.Bytes <= 0 || len(moved.Changed) != 1 || moved.Changed[0].To.Version != "v2" {
		t.Errorf("got %+v", moved)
	}
	var bill struct {
		Version  string `json:"spdxVersion"`
		Packages []any
	}
	if err := json.Unmarshal([]byte(mustRun(t, "bundle", "inspect", file("new.tar"), "--sbom")), &bill); err != nil {
		t.Fatal(err)
	}
	if bill.Version != "SPDX-2.3" || len(bill.Packages) != 3 {
		t.Errorf("got %+v", bill)
	}
}

func TestBundleMistakes(t *testing.T) {
	t.Chdir(t.TempDir())
	bundletest.SavedImage(t, "a.tar", "example.com/team/a:v1", "somebody")
	if err := os.WriteFile("cut.tar", []byte("not a bundle"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"create", "--out", "x"}, cli.ExitUsage, "--from"},
		{[]string{"create", "--out", "x", "--from", "a.tar", "--arch", "mips"}, cli.ExitUsage, "--arch mips"},
		{[]string{"create", "--out", "x", "--from", "a.tar", "--load-balancer", "envoy"}, cli.ExitUsage, "--load-balancer envoy"},
		{[]string{"create", "--out", "x", "--from", "a.tar", "--arch", "arm64"}, cli.ExitFailed, "it is for linux/amd64"},
		{[]string{"create", "--out", "x", "--from", "none.tar"}, cli.ExitFailed, "none.tar"},
		{[]string{"create", "--out", "x", "--from-manifest", "none.yaml"}, cli.ExitFailed, "none.yaml"},
		{[]string{"create", "--out", "x", "--from", "a.tar", "--since", "cut.tar"}, cli.ExitFailed, "not a bundle"},
		{[]string{"inspect", "cut.tar"}, cli.ExitUsage, "not a bundle"},
		{[]string{"diff", "cut.tar"}, cli.ExitUsage, "specify two"},
		{[]string{"diff", "cut.tar", "cut.tar"}, cli.ExitUsage, "not a bundle"},
		{[]string{"verify", "cut.tar", "--base", "cut.tar"}, cli.ExitUsage, "not a bundle"},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			code, _, errOut := run(t, append([]string{"bundle"}, tc.args...)...)
			if code != tc.code || !strings.Contains(errOut, tc.want) {
				t.Errorf("exit code %d, want %d; %q, want %q", code, tc.code, errOut, tc.want)
			}
			if _, err := os.Stat(filepath.Join(".", "x")); err == nil {
				t.Error("there is something under the bundle's name")
			}
		})
	}
}
