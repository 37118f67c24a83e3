package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

// TestOutNamesTheFile: --out does, silently; -o does for one release, and says so.
func TestOutNamesTheFile(t *testing.T) {
	for _, tc := range []struct {
		flags []string
		warns bool
	}{
		{[]string{"--out", "FILE"}, false},
		{[]string{"-o", "FILE"}, true},
		{[]string{"--output", "FILE"}, true},
		// Who means it may have a file of that name.
		{[]string{"--out", "yaml"}, false},
	} {
		t.Run(strings.Join(tc.flags, " "), func(t *testing.T) {
			t.Chdir(t.TempDir())
			code, out, errOut := run(t, append([]string{"init"}, tc.flags...)...)
			if code != cli.ExitOK || !strings.HasPrefix(out, tc.flags[1]+" written") {
				t.Fatalf("exit code %d, %q, %q", code, out, errOut)
			}
			if _, err := os.Stat(tc.flags[1]); err != nil {
				t.Error(err)
			}
			if warned := strings.HasPrefix(errOut, "warning: ") && strings.Contains(errOut, "--out FILE"); warned != tc.warns || !tc.warns && errOut != "" {
				t.Errorf("standard error is %q", errOut)
			}
		})
	}
	t.Chdir(t.TempDir())
	if code, out, errOut := run(t, "init", "-o", "-"); code != cli.ExitOK || !strings.HasPrefix(errOut, "warning: ") || strings.Contains(out, "warning") {
		t.Errorf("to standard output: %d, %q", code, errOut)
	}
}

// TestFormatsAreNoFiles: in each verb that writes a file a format's name after -o is a
// mistake, and no file.
func TestFormatsAreNoFiles(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, verb := range []string{"init", "kubeconfig", "bundle create --add-image example.com/a:v1", "support-bundle"} {
		for _, format := range []string{"yaml", "json", "name", "wide", "JSON", "jsonpath={.users}", "custom-columns=A:.b"} {
			code, out, errOut := run(t, append(strings.Fields(verb), "-o", format)...)
			if code != cli.ExitUsage || out != "" || !strings.Contains(errOut, "-o "+format+": kubectl ha ") || !strings.Contains(errOut, "with --out") {
				t.Errorf("%s -o %s: exit code %d, %q", verb, format, code, errOut)
			}
		}
		if code, _, errOut := run(t, append(strings.Fields(verb), "-o", "a", "--out", "b")...); code != cli.ExitUsage || !strings.Contains(errOut, "mutually exclusive") {
			t.Errorf("%s with both: exit code %d, %q", verb, code, errOut)
		}
	}
	if made, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(made) > 0 {
		t.Errorf("%v was written (%v)", made, err)
	}
}
